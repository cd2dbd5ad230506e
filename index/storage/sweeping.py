"""Deleting the files that transactions listed, once they are committed."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from sqlalchemy import delete, select

from medsiglip.index.catalogue.browsing.schema import maps
from medsiglip.index.catalogue.database import Database
from medsiglip.index.catalogue.one_of import one_of
from medsiglip.index.catalogue.schema import doomed_files, shards, spaces
from medsiglip.index.errors import CatalogError
from medsiglip.index.objects.object_store import FOLDERS

UPLOADS = "received"
"""The folder of a home that holds what was uploaded."""


def sweep(database: Database) -> list[str]:
    """Delete the files that transactions listed; what cannot be deleted now stays on the list.

    Returns the globs of objects in a bucket of which something may remain: another version, or all, while the
    bucket cannot be reached.
    """
    with database.read() as connection:
        doomed = list(connection.execute(select(doomed_files.c.id, doomed_files.c.pattern)))
    remain: list[str] = []
    if database.objects.is_remote:
        stored = {pattern for _, pattern in doomed if pattern.partition("/")[0] in FOLDERS}
        remain = database.objects.sweep(sorted(stored))
    done = []
    for row_id, pattern in doomed:
        with suppress(OSError):
            _delete_in(database.home, pattern)
            if pattern not in remain:
                done.append(row_id)
    if done:
        with database.write() as connection:
            connection.execute(delete(doomed_files).where(one_of(doomed_files.c.id, done)))
        database.empty_log()
    return remain


def _delete_in(home: Path, pattern: str) -> None:
    for path in home.glob(pattern):
        path.unlink(missing_ok=True)
        if pattern.startswith(f"{UPLOADS}/"):
            with suppress(OSError):  # other files of the upload are still there
                path.parent.rmdir()


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


def require_gone(database: Database, remain: list[str]) -> None:
    """Raise `CatalogError` `versions-remain` where something that was deleted may be left in the bucket."""
    if remain:
        raise CatalogError(
            "versions-remain",
            f"The archive holds none of this any more, but in {database.objects.url} versions of "
            f"{len(remain)} objects remain: the bucket cannot be reached, holds them for a fixed time "
            "(object lock), or does not grant s3:ListBucketVersions and s3:DeleteObjectVersion; change that, "
            "and run `medsiglip index compact`, which tries again.",
        )
