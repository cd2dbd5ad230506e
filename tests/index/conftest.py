"""Opens a fresh home for each test, on SQLite and on PostgreSQL; tables are made once for each."""

from __future__ import annotations

import itertools
import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, select

from medsiglip.index.case_index import CaseIndex
from medsiglip.index.catalogue.schema import metadata
from tests.index.index_cases import SPACE, make_bundle, unit_vectors
from tests.postgresql_server import PostgresqlServer

_numbers = itertools.count()


class Catalogue:
    """Where the catalogue of a test's home lies: in the home, or in a database of a server."""

    def __init__(self, server: PostgresqlServer | None, migrated: Path) -> None:
        self._server = server
        self._migrated = migrated
        self._url: str | None = None

    @property
    def url(self) -> str | None:
        """The database's URL, None for SQLite in the home. At first it holds no tables."""
        if self._server is not None and self._url is None:
            self._url = self._server.new_database()
        return self._url

    def url_in(self, home: Path) -> str:
        """The URL of the catalogue of a home, wherever it lies."""
        return self.url or f"sqlite:///{home / 'catalog.db'}"

    def open(self, home: Path, **options: Any) -> CaseIndex:
        """The index of a home on this catalogue."""
        return CaseIndex.open(home, database_url=self.url, **options)

    def open_migrated(self, home: Path) -> CaseIndex:
        """The index of a new home with all tables, and a space."""
        if self._server is None:
            shutil.copytree(self._migrated, home)
        else:
            self._url = self._server.new_database(self._fill)
        return self.open(home)

    def content(self, home: Path) -> bytes:
        """All that the catalogue holds: SQLite's files, or every row of a server's tables."""
        if self._url is None:
            return b"".join(path.read_bytes() for path in home.glob("catalog.db*"))
        engine = create_engine(self._url)
        with engine.connect() as connection:
            rows = [list(connection.execute(select(table))) for table in metadata.tables.values()]
        engine.dispose()
        return repr(rows).encode()

    def _fill(self, url: str) -> None:
        with CaseIndex.open(self._migrated.with_name("filling"), database_url=url) as opened:
            opened.activate(SPACE)

    def copied(self, url: str) -> str:
        """The URL of a copy of a database, as a backup of it would give; `url` is this catalogue's."""
        if self._server is None:
            file = Path(url.removeprefix("sqlite:///"))
            copy = file.with_name(f"{file.name}.{next(_numbers)}")
            shutil.copyfile(file, copy)
            return f"sqlite:///{copy}"
        name = f"copy{next(_numbers)}"
        self._server.execute(f"CREATE DATABASE {name} TEMPLATE {url.rpartition('/')[2]}")
        return f"{self._server.url}/{name}"

    def drop(self) -> None:
        """Delete the database, if one was made."""
        if self._server is not None and self._url is not None:
            self._server.drop(self._url)


class Archive:
    """A home with its catalogue apart from it, so that either can be exchanged."""

    def __init__(self, folder: Path, catalogue: Catalogue) -> None:
        self.home = folder / "home"
        self.catalogue = catalogue
        self.file = folder / "its.db"

    @property
    def url(self) -> str:
        return self.catalogue.url or f"sqlite:///{self.file}"

    def open(self, url: str | None = None, **options: Any) -> CaseIndex:
        return CaseIndex.open(self.home, database_url=url or self.url, **options)

    def fill(self, studies: range) -> None:
        """Add studies, a snapshot and a preview."""
        with self.open() as index:
            index.activate(SPACE)
            for study in studies:
                ids = index.add([make_bundle(study, 3)], unit_vectors(3, study))
            index.rebuild()
        (self.home / "previews").mkdir(exist_ok=True)
        (self.home / "previews" / f"{ids[0]}.512.png").write_bytes(b"picture")

    def backup(self) -> str:
        """The URL of a copy of the catalogue as it is now."""
        return self.catalogue.copied(self.url)

    def age(self, days: float = 3) -> None:
        """Set back the times of all files."""
        moment = time.time() - days * 86_400
        for path in self.home.rglob("*"):
            os.utime(path, (moment, moment))

    def files(self) -> dict[str, bytes]:
        """Every file of the home with its content."""
        return {
            str(path.relative_to(self.home)): path.read_bytes()
            for path in sorted(self.home.rglob("*"))
            if path.is_file()
        }


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture(scope="session")
def _migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    migrated = tmp_path_factory.mktemp("index") / "home"
    with CaseIndex.open(migrated) as opened:
        opened.activate(SPACE)
    return migrated


@pytest.fixture(params=["sqlite", "postgresql"], scope="module")
def server(request: pytest.FixtureRequest) -> PostgresqlServer | None:
    """Where catalogues of the test lie: in a server, or in their homes."""
    return request.getfixturevalue("postgresql_server") if request.param == "postgresql" else None


@pytest.fixture(scope="module")
def make_catalogue(server: PostgresqlServer | None, _migrated: Path) -> Iterator[Callable[[], Catalogue]]:
    """Makes a catalogue that holds no tables yet; it goes with the module."""
    made: list[Catalogue] = []

    def make() -> Catalogue:
        made.append(Catalogue(server, _migrated))
        return made[-1]

    yield make
    for one in made:
        one.drop()


@pytest.fixture
def catalogue(server: PostgresqlServer | None, _migrated: Path) -> Iterator[Catalogue]:
    made = Catalogue(server, _migrated)
    yield made
    made.drop()


@pytest.fixture
def index(home: Path, catalogue: Catalogue) -> Iterator[CaseIndex]:
    with catalogue.open_migrated(home) as opened:
        yield opened


@pytest.fixture
def make_archive(tmp_path: Path, make_catalogue: Callable[[], Catalogue]) -> Callable[[str], Archive]:
    def make(name: str) -> Archive:
        (tmp_path / name).mkdir()
        return Archive(tmp_path / name, make_catalogue())

    return make
