"""Deleting the files that transactions listed, once they are committed."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlalchemy import delete, select

from medsiglip.index.catalogue.browsing.schema import maps
from medsiglip.index.catalogue.database import Database, now_of
from medsiglip.index.catalogue.one_of import one_of
from medsiglip.index.catalogue.rows import insert_rows
from medsiglip.index.catalogue.schema import doomed_files, shards, spaces
from medsiglip.index.errors import CatalogError
from medsiglip.index.objects.object_store import FOLDERS
from medsiglip.index.storage import trash

UPLOADS = "received"
"""The folder of a home that holds what was uploaded."""
LISTED_DAYS = 7
"""How long files of one machine stay listed where an archive has several, so that each of them sweeps."""
_IN_BUCKET = {*FOLDERS, trash.FOLDER}


def sweep(database: Database) -> list[str]:
    """Delete the files that transactions listed; what cannot be deleted now stays on the list.

    Returns the globs of objects in a bucket of which something may remain: another version, or all, while the
    bucket cannot be reached.

    With a bucket, each machine has a home of its own: what lies in a home, such as a received file or a
    search snapshot, stays on the list for `LISTED_DAYS`, and each machine deletes what it had before it was
    listed. A received file lies on one machine only, and is done once it was deleted.
    """
    columns = (doomed_files.c.id, doomed_files.c.pattern, doomed_files.c.since)
    with database.read() as connection:
        doomed = list(connection.execute(select(*columns)))
        now = now_of(connection)
    remain: list[str] = []
    if database.objects.is_remote:
        stored = {one.pattern for one in doomed if _is_in_bucket(one.pattern)}
        remain = database.objects.sweep(sorted(stored))
    done = []
    newest = {one.pattern: one.id for one in sorted(doomed, key=lambda one: one.id)}
    for row_id, pattern, since in doomed:
        is_of_a_machine = database.objects.is_remote and since is not None and not _is_in_bucket(pattern)
        with suppress(OSError):
            deleted = _delete_in(database.home, pattern, since if is_of_a_machine else None)
            if is_of_a_machine:
                is_done = (
                    newest[pattern] != row_id
                    or since < now - timedelta(days=LISTED_DAYS)
                    or (deleted and _is_upload(pattern))
                )
            else:
                is_done = pattern not in remain
            if is_done:
                done.append(row_id)
    if done:
        with database.write() as connection:
            connection.execute(delete(doomed_files).where(one_of(doomed_files.c.id, done)))
        database.empty_log()
    return remain


def note_remaining(database: Database, names: Collection[str]) -> None:
    """List objects of which versions remain, by name or glob: `sweep` tries again and reports them."""
    if not names:
        return
    with database.write() as connection:
        listed = set(connection.execute(select(doomed_files.c.pattern)).scalars())
        now = now_of(connection)
        rows = [{"pattern": name, "since": now} for name in sorted(set(names) - listed)]
        insert_rows(connection, doomed_files, rows)


def _is_in_bucket(pattern: str) -> bool:
    return pattern.partition("/")[0] in _IN_BUCKET


def _is_upload(pattern: str) -> bool:
    return pattern.startswith(f"{UPLOADS}/")


def _delete_in(home: Path, pattern: str, before: datetime | None) -> bool:
    """Delete files of a home, but uploads only those of `before` then; whether there were any."""
    found = False
    for path in home.glob(pattern):
        if before is not None and not _is_upload(pattern):
            changed = datetime.fromtimestamp(path.stat().st_mtime, UTC)
            if changed > before:
                continue
        path.unlink(missing_ok=True)
        found = True
        if _is_upload(pattern):
            with suppress(OSError):  # other files of the upload are still there
                path.parent.rmdir()
    return found


def forget_copies(database: Database) -> None:
    """Delete what this machine has of objects that no row names: another machine deleted or merged them."""
    if not database.objects.is_remote:
        return
    of_shards = select(spaces.c.name, shards.c.name).join(spaces, shards.c.space_id == spaces.c.id)
    of_maps = select(spaces.c.name, maps.c.file).join(spaces, maps.c.space_id == spaces.c.id)
    with database.read() as connection:
        named = {f"vectors/{space}/{name}.parquet" for space, name in connection.execute(of_shards)}
        named |= {f"maps/{space}/{name}.parquet" for space, name in connection.execute(of_maps)}
    database.objects.forget_copies(named)


def require_gone(database: Database, remain: Collection[str]) -> None:
    """Raise `CatalogError` `versions-remain` where something that was deleted may be left in the bucket."""
    if remain:
        raise CatalogError(
            "versions-remain",
            f"The archive holds none of this any more, but in {database.objects.url} versions of "
            f"{len(remain)} objects remain: the bucket cannot be reached, holds them for a fixed time "
            "(object lock), or does not grant s3:ListBucketVersions and s3:DeleteObjectVersion; change that, "
            "and run `medsiglip index compact`, which tries again.",
        )
