"""Backups checked, and put back into a home and a database."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

from sqlalchemy import Connection, delete, inspect, update

from medsiglip.index.catalogue.browsing.schema import sessions
from medsiglip.index.catalogue.database import Database
from medsiglip.index.catalogue.identity import identity_of
from medsiglip.index.catalogue.opening import BUSY_SECONDS
from medsiglip.index.catalogue.schema import home as home_table
from medsiglip.index.catalogue.schema import vector_changes
from medsiglip.index.catalogue.spaces import key_fingerprint
from medsiglip.index.engines import outbox
from medsiglip.index.errors import CatalogError
from medsiglip.index.objects.object_store import FOLDERS
from medsiglip.index.objects.opening import IN_THE_HOME, ObjectPlace
from medsiglip.index.records import BackupDescription
from medsiglip.index.storage.backups.backup import (
    CATALOGUE,
    DESCRIPTION,
    FORMAT,
    LISTING,
    ListedFile,
    OnStep,
    copy_rows,
    listed_file,
    named_by,
    not_empty,
    opened_copy,
    upgraded,
)
from medsiglip.index.storage.backups.backup_folder import Destination, copy_file, reason_of, sync_folders
from medsiglip.index.storage.backups.backup_uploads import move_uploads
from medsiglip.index.storage.backups.restored_objects import RestoredObjects, restoring

_SHOWN = 20


@dataclass(frozen=True, slots=True)
class BackupVerification:
    """What a backup says of itself, and what is wrong with it, in sentences."""

    description: BackupDescription
    problems: tuple[str, ...]


def verify_backup(folder: Path, key_of: Callable[[Path, str], str], on_step: OnStep) -> BackupVerification:
    """Read a whole backup and compare it with what it says of itself; nothing is changed.

    `key_of` gives the fingerprint of a folder's `secret.key` as a catalogue with the second takes it, the
    empty string for none. Raises `CatalogError` `no-backup` where there is none, `bad-backup` where it cannot
    be told what it is, and `newer-backup`.
    """
    folder = folder.absolute()
    description = _description(folder)
    listing = {one.path: one for one in _listing(folder)}
    problems = list(_damaged(folder, listing, on_step))
    if not any(one.startswith(f"{CATALOGUE} ") for one in problems):
        problems += _check_catalogue(folder, description, listing, key_of)
    if len(listing) != description.files:
        problems.append(f"{LISTING} lists {len(listing)} files, where {description.files} were copied.")
    shown = problems[:_SHOWN]
    if len(problems) > _SHOWN:
        shown.append(f"and {len(problems) - _SHOWN} more.")
    return BackupVerification(description, (*shown, *description.problems))


def restore_backup(
    folder: Path,
    home: Path,
    database_url: str | None,
    key_of: Callable[[Path, str], str],
    on_step: OnStep,
    objects: ObjectPlace = IN_THE_HOME,
) -> BackupVerification:
    """Put a backup back as a home that is not there yet, with a catalogue in a database without tables, and
    files in the home or, by `objects`, in a bucket, whichever of the two they were in.

    Uploads are found at their new place. After a failure neither the home nor the tables are there, so that
    the same can be tried again. Raises what `verify_backup` raises, `backup-exists` for a home that holds
    something, `other-object-store` for a bucket of an archive, `database-not-empty`, `bad-backup` for a
    damaged one, and `bad-home` or `disk-full` where the home cannot be written.
    """
    folder, home = folder.absolute(), home.absolute()
    destination = Destination(home, CATALOGUE, "bad-home", "choose another --home")
    destination.check_unused()
    verification = verify_backup(folder, key_of, on_step)
    if damages := [one for one in verification.problems if one not in verification.description.problems]:
        raise CatalogError("bad-backup", f"{folder} is damaged and was not restored: {damages[0]}")
    target = Database(home, database_url, BUSY_SECONDS)
    try:
        if target.holds_tables():
            raise not_empty()
        identity = verification.description.identity
        with destination.filled() as unfinished, restoring(unfinished, objects, identity) as restored:
            _copy_files(folder, unfinished, restored, without_catalogue=not target.is_sqlite, on_step=on_step)
            sync_folders(unfinished)  # before rows are committed, as little as possible is left that may fail
            move = partial(_as_new, home=home, objects=restored)
            if target.is_sqlite:
                _change(unfinished, move)
            else:
                copy_rows(Database(folder, None, BUSY_SECONDS, unchanging=True), target, move)
    finally:
        target.close()
    return verification


def _as_new(connection: Connection, home: Path, objects: RestoredObjects) -> None:
    """What is else than in the backup: where files and uploads lie, and that no browser is signed in, for one
    may have signed out since; and that no vector engine was told anything, for it may hold what came later.
    """
    move_uploads(connection, home=home)
    connection.execute(update(home_table).values(object_store=objects.store.url))
    if inspect(connection).has_table(sessions.name):  # not yet in a backup of an older revision
        connection.execute(delete(sessions))
    if inspect(connection).has_table(vector_changes.name):
        outbox.leave(connection)
    objects.finish()


def _copy_files(
    folder: Path, home: Path, objects: RestoredObjects, *, without_catalogue: bool, on_step: OnStep
) -> None:
    listing = [one for one in _listing(folder) if not (without_catalogue and one.path == CATALOGUE)]
    for done, one in enumerate(listing):
        on_step("files", done, len(listing))
        try:
            if objects.store.is_remote and one.path.partition("/")[0] in FOLDERS:
                objects.put(folder / one.path, one.path)
            else:
                copy_file(folder / one.path, home / one.path, _unreadable)
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
            raise _unreadable(folder / one.path, error) from error


def _change(home: Path, change: Callable[[Connection], object]) -> None:
    """Bring the SQLite catalogue of a home that nobody has open up to date, and change it."""
    database = Database(home, None, BUSY_SECONDS)
    try:
        with database.write_service_tables() as connection:
            upgraded(connection)
            change(connection)
        database.empty_log()
    finally:
        database.close()


def _description(folder: Path) -> BackupDescription:
    try:
        found = json.loads((folder / DESCRIPTION).read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        raise CatalogError(
            "no-backup",
            f"{folder} holds no {DESCRIPTION}: it is no backup, or one that was not finished; name the "
            "folder of `medsiglip backup FOLDER`.",
        ) from None
    except (OSError, ValueError) as error:
        raise _unreadable(folder / DESCRIPTION, error) from None
    try:
        if found["format"] > FORMAT:
            raise CatalogError(
                "newer-backup",
                f"{folder} was made by a newer version of medsiglip ({found['version']}); use that one.",
            )
        return BackupDescription(**{**found, "problems": tuple(found["problems"])})
    except (KeyError, TypeError) as error:
        raise _unreadable(folder / DESCRIPTION, error) from None


def _listing(folder: Path) -> Iterator[ListedFile]:
    path = folder / LISTING
    try:
        with path.open(encoding="utf-8") as stream:
            for line in stream:
                one = ListedFile(**json.loads(line))
                parts = PurePosixPath(one.path).parts
                if PurePosixPath(one.path).is_absolute() or ".." in parts:
                    raise ValueError(f"{one.path!r} leads out of the backup")
                yield one
    except (OSError, ValueError, TypeError) as error:
        raise _unreadable(path, error) from None


def _damaged(folder: Path, listing: dict[str, ListedFile], on_step: OnStep) -> Iterator[str]:
    for done, (name, expected) in enumerate(listing.items()):
        on_step("files", done, len(listing))
        try:
            found = listed_file(folder, name)
        except FileNotFoundError:
            yield f"{name} is gone; make another backup."
            continue
        except OSError as error:
            yield f"{name} cannot be read ({reason_of(error)}); make another backup."
            continue
        if asdict(found) != asdict(expected):
            yield f"{name} is not as it was when the backup was made; make another backup."


def _check_catalogue(
    folder: Path, description: BackupDescription, listing: dict[str, Any], key_of: Callable[[Path, str], str]
) -> Iterator[str]:
    if CATALOGUE not in listing:
        yield f"{CATALOGUE} is not among the files of the backup."
        return
    with opened_copy(folder) as connection:
        if connection.exec_driver_sql("PRAGMA integrity_check").scalar() != "ok":
            yield f"{CATALOGUE} is damaged; make another backup."
            return
        if identity_of(connection) != description.identity:
            yield f"{CATALOGUE} is that of another archive than {DESCRIPTION} says."
        known = {one.partition(" is missing")[0] for one in description.problems}
        absent = [name for name in named_by(connection) if name not in listing and name not in known]
        if absent:
            yield f"{len(absent)} files that the catalogue names, such as {absent[0]}, are not in the backup."
        fingerprint = key_fingerprint(connection)
    if fingerprint is not None and key_of(folder, fingerprint) != fingerprint:
        yield "secret.key is missing, or another one than that of the pseudonyms; put the right one there."


def _unreadable(path: Path, error: Exception) -> CatalogError:
    return CatalogError("bad-backup", f"{path} cannot be read ({error}); use another backup.")
