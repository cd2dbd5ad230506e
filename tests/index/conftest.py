"""Puts `index_cases` within reach of the tests and opens a fresh home for each, on SQLite and on PostgreSQL;
tables are made once for each.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.append(str(Path(__file__).parent))

from index_cases import SPACE
from sqlalchemy import create_engine, select

import index.service_schema
from index.case_index import CaseIndex
from index.schema import metadata


class Catalogue:
    """Where the catalogue of a test's home lies: in the home, or in a database of a server."""

    def __init__(self, server: Any | None, migrated: Path) -> None:
        self._server = server
        self._migrated = migrated
        self._url: str | None = None

    @property
    def url(self) -> str | None:
        """The database's URL, None for SQLite in the home. At first it holds no tables."""
        if self._server is not None and self._url is None:
            self._url = self._server.new_database()
        return self._url

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

    def drop(self) -> None:
        """Delete the database, if one was made."""
        if self._url is not None:
            self._server.drop(self._url)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture(scope="session")
def _migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    migrated = tmp_path_factory.mktemp("index") / "home"
    with CaseIndex.open(migrated) as opened:
        opened.activate(SPACE)
    return migrated


@pytest.fixture(params=["sqlite", "postgresql"])
def catalogue(request: pytest.FixtureRequest, _migrated: Path) -> Iterator[Catalogue]:
    server = request.getfixturevalue("postgresql_server") if request.param == "postgresql" else None
    made = Catalogue(server, _migrated)
    yield made
    made.drop()


@pytest.fixture
def index(home: Path, catalogue: Catalogue) -> Iterator[CaseIndex]:
    with catalogue.open_migrated(home) as opened:
        yield opened
