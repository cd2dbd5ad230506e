"""Opening the catalogue of a home, made and migrated as needed."""

from __future__ import annotations

from pathlib import Path

from medsiglip.index.catalogue import identity
from medsiglip.index.catalogue.database import Database
from medsiglip.index.durable_files import make_folder
from medsiglip.index.errors import CatalogError
from medsiglip.index.objects.opening import IN_THE_HOME, ObjectPlace

BUSY_SECONDS = 30.0


def open_catalogue(
    home: Path,
    database_url: str | None,
    *,
    create: bool,
    busy_seconds: float = BUSY_SECONDS,
    objects: ObjectPlace = IN_THE_HOME,
) -> Database:
    """The catalogue of a home, checked to belong to it, with tables of the newest revision.

    Raises `CatalogError` `bad-home`, `no-archive`, `other-catalogue`, `other-object-store`, `older-home` or
    `newer-home`; nothing is written before these checks.
    """
    home = Path(home).expanduser().absolute()
    database = Database(home, database_url, busy_seconds, objects=objects)
    try:
        with database.translate_errors():
            if home.exists() and not home.is_dir():
                raise _bad_home(f"{home} is a file; a home must be a folder")
            identity.check_pair(database)
            if create:
                _make(home)
                database.make_file()
            elif not home.is_dir() or not database.holds_tables():
                raise _no_archive(home)
        database.migrate()
        identity.keep_object_store(database)
        identity.write_file(database)
    except BaseException:
        database.close()
        raise
    return database


def _make(home: Path) -> None:
    try:
        make_folder(home)
    except (FileNotFoundError, NotADirectoryError, FileExistsError) as error:
        reason = (error.strerror or type(error).__name__).lower()
        raise _bad_home(f"The folder {home} cannot be made ({reason})") from None


def _bad_home(what: str) -> CatalogError:
    return CatalogError("bad-home", f"{what}: choose another --home.")


def _no_archive(home: Path) -> CatalogError:
    return CatalogError(
        "no-archive",
        f"There is no archive in {home}; ingest a folder into it first (`medsiglip ingest FOLDER`), or check "
        "--home.",
    )
