"""Backups: the catalogue as it is at one moment, and every file that it names.

A row never names a vector file or a probe that is not there yet, so the catalogue is copied first: whatever
was committed before the backup began is in it, with its files, while others go on writing. Where a compaction
or a deletion takes a file away meanwhile, the catalogue is copied anew, which then does not name it.

A backup is a home with SQLite, whichever database the archive has, with two more files: `backup.json`,
written last, and `files.jsonl`, which lists size and SHA-256 of each file. What can be made anew (the search
index) is left out, and so is the trash.
"""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path, PurePosixPath
from typing import Any

from sqlalchemy import Column, Connection, Table, and_, delete, exc, func, insert, inspect, or_, select, text

from medsiglip.index.catalogue import migrations
from medsiglip.index.catalogue.browsing.schema import maps
from medsiglip.index.catalogue.database import Database
from medsiglip.index.catalogue.draft_schema import drafts
from medsiglip.index.catalogue.identity import FILE as IDENTITY
from medsiglip.index.catalogue.identity import identity_of
from medsiglip.index.catalogue.opening import BUSY_SECONDS, open_catalogue
from medsiglip.index.catalogue.schema import files, home, images, metadata, probes, shards, spaces, studies
from medsiglip.index.catalogue.score_schema import predictions
from medsiglip.index.catalogue.service_schema import jobs
from medsiglip.index.durable_files import sync_path
from medsiglip.index.errors import CatalogError
from medsiglip.index.objects.object_store import FOLDERS, DamagedObjectError
from medsiglip.index.objects.opening import IN_THE_HOME, ObjectPlace
from medsiglip.index.records import SEPARATOR, BackupDescription
from medsiglip.index.storage.backups.backup_folder import (
    Destination,
    copy_file,
    copy_object,
    reason_of,
    write_text,
)
from medsiglip.index.storage.deletion import UPLOADS
from medsiglip.index.storage.maps.forgetting import map_files
from medsiglip.index.storage.spool import spooled

FORMAT = 1
CATALOGUE = "catalog.db"
DESCRIPTION = "backup.json"
LISTING = "files.jsonl"
# What a home has beside its catalogue and folders: small files, and folders of its own.
OTHERS = (IDENTITY, "secret.key", "checkpoint-hashes.json", "medsiglip.toml", "generators.toml")
PREVIEWS = "previews"
TABLES: tuple[Table, ...] = tuple(metadata.sorted_tables)
OnStep = Callable[[str, int, int | None], None]
_MOST_COPIES = 20
_ROWS = 2000
# Errors of `sqlite3_backup_step` that are those of the database it reads; it does not say so itself.
_OF_THE_SOURCE = (
    "SQLITE_BUSY",
    "SQLITE_CORRUPT",
    "SQLITE_IOERR_READ",
    "SQLITE_IOERR_SHORT_READ",
    "SQLITE_LOCKED",
    "SQLITE_NOTADB",
)
_DAMAGED = ("catalog-corrupt", "not-a-catalog")
assert {drafts, jobs, predictions} <= set(TABLES)  # of modules that add their tables when they are imported


@dataclass(frozen=True, slots=True)
class ListedFile:
    """A line of `files.jsonl`; the path is relative to the backup."""

    path: str
    bytes: int
    sha256: str


def back_up(
    home_folder: Path,
    folder: Path,
    database_url: str | None,
    on_step: OnStep,
    objects: ObjectPlace = IN_THE_HOME,
) -> BackupDescription:
    """Make a backup of a home in `folder`, which appears when it is whole; other processes may go on.

    `on_step` gets the stage, how much is done, and of how much. Raises `CatalogError` `no-archive`,
    `backup-exists` if the folder holds something, `bad-backup-folder` if it is in the home or cannot be
    written, `disk-full` if its disk is, `disk-error` for a file of the home that cannot be read, and
    `changed-meanwhile`.
    """
    folder = folder.absolute()
    if folder.resolve().is_relative_to(home_folder.resolve()):
        raise CatalogError("bad-backup-folder", f"{folder} is inside of the home: choose a folder elsewhere.")
    cure = "name a folder on another disk that this user may write to"
    destination = Destination(folder, DESCRIPTION, "bad-backup-folder", cure)
    destination.check_unused()
    database = open_catalogue(home_folder, database_url, create=False, objects=objects)
    try:
        with destination.filled() as unfinished, _damage_named(unfinished, database.home):
            return _Copying(database, unfinished, on_step).run()
    finally:
        database.close()


class _Copying:
    """One backup while it is made in `target`."""

    def __init__(self, database: Database, target: Path, on_step: OnStep) -> None:
        self._database = database
        self._home = database.home
        self._target = target
        self._on_step = on_step
        self._copied: dict[str, ListedFile] = {}

    def run(self) -> BackupDescription:
        missing = self._copy_until_whole()
        for name in set(self._copied) - self._wanted:
            (self._target / name).unlink()
            del self._copied[name]
        for name in OTHERS:
            self._copy(name)
        return self._describe(missing)

    def _copy_until_whole(self) -> list[str]:
        """Copy catalogue and files until nothing is missing that was not missing before; returns what is."""
        before: set[str] | None = None
        for _ in range(_MOST_COPIES):
            # First: what a receiver hands to a job meanwhile is copied here, or the catalogue has the job.
            spooled = self._copy_spool()
            self._on_step("catalogue", 0, None)
            copy_catalogue(self._database, self._target)
            with opened_copy(self._target) as connection:
                needed = list(_needed(connection))
                uploads = [*_uploads(connection), *self._waiting_uploads(connection)]
                wanted_previews = set(self._previews(connection))
            self._wanted = {*spooled, *needed, *uploads, *wanted_previews}
            missing = {name for name in self._copy_all(needed) if name in needed}
            self._copy_all([*uploads, *wanted_previews])
            if not missing or missing == before:
                return sorted(missing)
            before = missing
        raise CatalogError(
            "changed-meanwhile",
            f"The files of {self._home} change faster than they can be copied: wait until nothing is "
            "compacted or deleted, and make the backup again.",
        )

    def _copy_all(self, names: list[str]) -> list[str]:
        """Copy files that are not copied yet; returns those that are not there."""
        left = [name for name in names if name not in self._copied]
        missing = []
        for done, name in enumerate(left):
            self._on_step("files", done, len(left))
            if not self._copy(name):
                missing.append(name)
        return missing

    def _copy(self, name: str) -> bool:
        try:
            objects, source, target = self._database.objects, self._home / name, self._target / name
            if objects.is_remote and name.partition("/")[0] in FOLDERS:
                size, digest = copy_object(objects, name, target)
            else:
                size, digest = copy_file(source, target, _unreadable)
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError, DamagedObjectError):
            return False
        self._copied[name] = ListedFile(name, size, digest)
        return True

    def _copy_spool(self) -> set[str]:
        """Copy what was received and has no job yet; returns its names."""
        copied: set[str] = set()
        for _ in range(_MOST_COPIES):
            listed = set(spooled(self._home))
            gone = self._copy_all(sorted(listed))
            copied |= listed.difference(gone)
            if not gone:
                break
        return copied

    def _waiting_uploads(self, connection: Connection) -> Iterator[str]:
        """The files of uploads whose jobs have not ended, or failed with what a sender was told is stored:
        nobody else has them.
        """
        failed = and_(jobs.c.status.in_(("failed", "cancelled")), jobs.c.parameters["answered"].as_boolean())
        waiting = select(jobs.c.parameters).where(or_(jobs.c.status.in_(("queued", "running")), failed))
        for parameters in connection.execute(waiting.execution_options(yield_per=_ROWS)).scalars():
            received = parameters.get("received")
            if received is None:
                continue
            place = self._home / UPLOADS / PurePosixPath(received).name
            with _reading(place):
                found = [path for path in place.rglob("*") if path.is_file() and not path.is_symlink()]
            yield from (str(path.relative_to(self._home)) for path in found)

    def _previews(self, connection: Connection) -> Iterator[str]:
        """The previews of images of the copied catalogue, by the id in their names."""
        with _reading(self._home / PREVIEWS):
            names = self._database.objects.matching(f"{PREVIEWS}/*")
        ids = {name: name.rpartition("/")[2].partition(".")[0] for name in names}
        known = set(connection.execute(select(images.c.id)).scalars()) if ids else set()
        yield from (name for name, number in ids.items() if number.isdecimal() and int(number) in known)

    def _describe(self, missing: list[str]) -> BackupDescription:
        with opened_copy(self._target) as connection:
            identity = identity_of(connection)
            study_count, image_count = _count(connection, studies), _count(connection, images)
        self._copied[CATALOGUE] = listed_file(self._target, CATALOGUE)
        listing = sorted(self._copied.values(), key=lambda one: one.path)
        write_text(self._target / LISTING, "".join(json.dumps(asdict(one)) + "\n" for one in listing))
        description = BackupDescription(
            format=FORMAT,
            made_at=datetime.now(UTC).isoformat(timespec="seconds"),
            version=version("medsiglip"),
            identity=identity,
            studies=study_count,
            images=image_count,
            files=len(listing),
            bytes=sum(one.bytes for one in listing),
            problems=tuple(f"{name} is missing in the archive: see `index verify`." for name in missing),
        )
        write_text(self._target / DESCRIPTION, json.dumps(asdict(description), indent=1))
        return description


@contextmanager
def opened_copy(folder: Path) -> Iterator[Connection]:
    """The catalogue of a backup, to be read; the backup is not changed."""
    database = Database(folder, None, BUSY_SECONDS, unchanging=True)
    try:
        with database.read() as connection:
            yield connection
    finally:
        database.close()


def copy_catalogue(database: Database, folder: Path) -> None:
    """Write the catalogue as it is now as SQLite into `folder`, in place of one that is there."""
    target = folder / CATALOGUE
    for ending in ("", "-wal", "-shm"):
        target.with_name(f"{CATALOGUE}{ending}").unlink(missing_ok=True)
    if database.is_sqlite:
        os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        with closing(sqlite3.connect(target)) as copy:
            _copy_pages(database, copy)
    else:
        copy_rows(database, Database(folder, None, database.busy_seconds))
    sync_path(target)


def _copy_pages(database: Database, copy: sqlite3.Connection) -> None:
    try:
        database.copy_to(copy)
    except sqlite3.Error as error:
        if not getattr(error, "sqlite_errorname", "").startswith(_OF_THE_SOURCE):
            raise
        with database.translate_errors():
            raise exc.OperationalError("backup", None, error) from error


def copy_rows(
    source: Database, target: Database, finish: Callable[[Connection], object] = lambda _connection: None
) -> None:
    """Copy every row of a catalogue, as it is now, into a database without tables, and `finish` there: one
    transaction, so that after a failure there are no tables again. Rows of an older revision are migrated
    there; the source is not changed.

    Raises `CatalogError` `database-not-empty` where another process made tables meanwhile, `newer-backup` for
    a revision that this version does not know.
    """
    try:
        target.make_file()
        with source.read() as rows, target.write_service_tables() as connection:
            _make_tables(
                connection, rows.execute(text("SELECT version_num FROM alembic_version")).scalar_one()
            )
            connection.execute(delete(home))  # the row that the migration made
            for table, columns in _held(rows):
                statement = select(*columns).execution_options(yield_per=_ROWS)
                for part in rows.execute(statement).mappings().partitions(_ROWS):
                    connection.execute(insert(table), [dict(row) for row in part])
            upgraded(connection)
            finish(connection)
        target.empty_log()
    finally:
        target.close()


def _held(connection: Connection) -> Iterator[tuple[Table, list[Column[Any]]]]:
    """The tables of a catalogue and their columns; one of an older revision lacks some."""
    inspector = inspect(connection)
    for table in TABLES:
        if inspector.has_table(table.name):
            names = {column["name"] for column in inspector.get_columns(table.name)}
            yield table, [column for column in table.columns if column.name in names]


def _make_tables(connection: Connection, revision: str) -> None:
    """The tables as they are in this revision."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(5064661)"))  # that of `Database.migrate`
    if inspect(connection).has_table("alembic_version"):
        raise not_empty()
    upgraded(connection, revision)


def upgraded(connection: Connection, revision: str = migrations.HEAD) -> None:
    """Migrate the catalogue of a backup up to this revision; raises `CatalogError` `newer-backup`."""
    try:
        migrations.upgrade(connection, revision)
    except migrations.UnknownRevisionError as error:
        raise CatalogError(
            "newer-backup",
            f"The backup was made by a newer version of medsiglip (catalogue {error}); use that one.",
        ) from None


def not_empty() -> CatalogError:
    """The error of a restore into a database that is in use."""
    return CatalogError(
        "database-not-empty",
        "The database holds an archive already: name an empty one for the restored one.",
    )


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Errors of reading the home, which are not those of the folder of the backup."""
    try:
        yield
    except OSError as error:
        raise _unreadable(path, error) from error


@contextmanager
def _damage_named(copy: Path, home: Path) -> Iterator[None]:
    """A copy of a damaged catalogue is damaged too; say whose it is."""
    try:
        yield
    except CatalogError as error:
        if error.code in _DAMAGED:
            raise CatalogError(error.code, str(error).replace(str(copy), str(home))) from error
        raise


def _unreadable(path: Path, error: OSError) -> CatalogError:
    return CatalogError(
        "disk-error",
        f"{path} of the archive cannot be read ({reason_of(error)}): check the disk and the rights of this "
        "user, and make the backup again.",
    )


def listed_file(folder: Path, name: str) -> ListedFile:
    """Size and hash of a file below a folder; raises OSError."""
    path = folder / name
    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    return ListedFile(name, path.stat().st_size, digest)


def named_by(connection: Connection) -> list[str]:
    """The files that a catalogue cannot do without, relative to the home: vectors, probes and maps."""
    return list(_needed(connection))


def _needed(connection: Connection) -> Iterator[str]:
    # No column that an older revision lacks: backups are checked as they are.
    named = select(spaces.c.name, shards.c.name).join(spaces, shards.c.space_id == spaces.c.id)
    for space, shard in connection.execute(named.order_by(shards.c.id)):
        yield f"vectors/{space}/{shard}.parquet"
    yield from connection.execute(select(probes.c.file)).scalars()
    if inspect(connection).has_table(maps.name):
        yield from map_files(connection)


def _uploads(connection: Connection) -> Iterator[str]:
    """Uploaded files that rows name: those in the index, and those that a job has still to read."""
    part = f"/{UPLOADS}/"
    found = set()
    inside = select(files.c.path).where(files.c.path.contains(part, autoescape=True))
    for path in connection.execute(inside).scalars():
        # The home may have been moved since, so only the part below the folder counts.
        name = path.partition(SEPARATOR)[0].rpartition(part)[2]
        found.add(f"{UPLOADS}/{name}")
    yield from sorted(name for name in found if ".." not in PurePosixPath(name).parts)


def _count(connection: Connection, table: Table) -> int:
    return int(connection.execute(select(func.count()).select_from(table)).scalar_one())
