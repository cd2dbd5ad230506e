"""An opened home: its catalogue, the space it works in, and that space's vectors in memory."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from medsiglip.index.catalogue import identity, spaces
from medsiglip.index.catalogue.database import Database
from medsiglip.index.catalogue.paths import Paths
from medsiglip.index.errors import CatalogError
from medsiglip.index.records import Space
from medsiglip.index.search.loaded import LoadedSpace
from medsiglip.index.vectors import Dtype, make_folder

BUSY_SECONDS = 30.0


class OpenHome:
    """What `CaseIndex` stands on: opening, the active space, closing."""

    def __init__(self, home: Path, database: Database, vector_dtype: Dtype) -> None:
        self.home = home
        self._database = database
        self._dtype: Dtype = vector_dtype
        self._paths: Paths = Paths()
        self._active: spaces.ActiveSpace | None = None
        self._loaded: LoadedSpace | None = None
        self._lock = threading.RLock()

    @classmethod
    def open(
        cls,
        home: Path,
        *,
        create: bool = True,
        database_url: str | None = None,
        vector_dtype: Dtype = "float32",
        busy_seconds: float = BUSY_SECONDS,
    ) -> Self:
        """Open a home, made and migrated as needed. Nothing is deleted: see `CaseIndex.clean_up`.

        With `create` False a folder that holds no archive stays as it is: `CatalogError` `no-archive`.
        `vector_dtype` is how new vectors are stored; `busy_seconds` how long to wait for another writer.
        Raises `CatalogError` `other-catalogue` where home and catalogue do not belong together, and
        `older-catalogue` where the home has moved on since the catalogue was saved.
        """
        database = open_catalogue(home, database_url, create=create, busy_seconds=busy_seconds)
        try:
            identity.check_age(database)
        except BaseException:
            database.close()
            raise
        return cls(database.home, database, vector_dtype)

    def close(self) -> None:
        """Keep a snapshot of FAISS if it spares work, and let go of the catalogue."""
        with self._lock:
            try:
                if self._loaded is not None:
                    self._loaded.save()
            finally:
                self._loaded = None
                self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def space(self) -> Space | None:
        """The active space, or None before the first `activate`."""
        return None if self._find_active() is None else self._needed().space

    def activate(self, space: Space) -> None:
        """Make this the home's space; raises `CatalogError` `space-mismatch` if it has another."""
        if self._find_active() is None:
            with self._database.write() as connection:
                self._active = spaces.activate(connection, space)
        spaces.check(self.home, self._needed().space, space)

    @property
    def _snapshots(self) -> Path:
        return self.home / "faiss"

    def _find_active(self) -> spaces.ActiveSpace | None:
        if self._active is None:
            with self._database.read() as connection:
                self._active = spaces.active(connection)
        return self._active

    def _needed(self) -> spaces.ActiveSpace:
        active = self._find_active()
        if active is None:
            raise CatalogError("no-space", f"{self.home} holds nothing yet; ingest a folder first.")
        return active

    def _row_id(self) -> int | None:
        active = self._find_active()
        return None if active is None else active.row_id

    def _load(self) -> LoadedSpace:
        if self._loaded is None:
            active = self._needed()
            self._loaded = LoadedSpace(
                self._database, active.row_id, active.space.name, active.space.dimension
            )
        self._loaded.refresh()
        return self._loaded

    @contextmanager
    def _current(self) -> Iterator[LoadedSpace]:
        with self._lock:
            yield self._load()


def open_catalogue(
    home: Path, database_url: str | None, *, create: bool, busy_seconds: float = BUSY_SECONDS
) -> Database:
    """The catalogue of a home, known to be its own, made and migrated as needed."""
    home = Path(home).expanduser().absolute()
    database = Database(home, database_url, busy_seconds)
    try:
        with database.sentences():
            if home.exists() and not home.is_dir():
                raise _bad_home(f"{home} is a file; a home must be a folder")
            identity.check_pair(database)
            if create:
                _make(home)
                database.make_file()
            elif not home.is_dir() or not database.holds_tables():
                raise _no_archive(home)
        database.migrate()
        identity.settle(database)
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
