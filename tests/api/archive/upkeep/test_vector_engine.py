"""Commands of an archive whose vectors lie in an engine."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from medsiglip.api.archive.archive import Archive
from medsiglip.api.http import metrics, readiness
from medsiglip.api.http.metrics import ArchiveCollector
from medsiglip.api.http.readiness import Readiness
from medsiglip.index.errors import CatalogError
from medsiglip.index.search.engines import engine_search
from tests.api.conftest import Home
from tests.index.engines.memory_engine import MemoryEngine

QUESTION = ("search", "--text", "a chest x-ray", "--level", "image", "-k", "5")


def ranked(answer: Any) -> list[tuple[int, float]]:
    return [(hit["image_id"], hit["score"]) for hit in answer["hits"]]


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> MemoryEngine:
    made = MemoryEngine()
    monkeypatch.setattr("medsiglip.index.engines.home_engine.connect", lambda setting, database: made)
    monkeypatch.setattr(engine_search, "FEW", 0)
    return made


def test_an_archive_is_fed_searched_shown_and_verified(
    own_home: Home, engine: MemoryEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_memory = own_home.run(*QUESTION).json
    assert in_memory["how"] != "approximate"
    assert own_home.run("index", "info").json["engine"] is None
    monkeypatch.setenv("MEDSIGLIP_VECTOR_URL", "milvus://127.0.0.1:1/x")
    found = own_home.run(*QUESTION).json
    assert found["how"] == "approximate"
    assert ranked(found) == ranked(in_memory)
    exact = own_home.run(*QUESTION, "--exact").json
    assert (exact["how"], ranked(exact)) == ("compared", ranked(in_memory))
    info = own_home.run("index", "info").json
    counts = {name: info[name] for name in ("images", "series", "studies")}
    assert info["engine"] == {"name": engine.name, **counts, "waiting": 0, "problem": None}
    shown = own_home.show("index", "info").out
    assert f"{engine.name} holds {info['images']} images" in shown
    assert "approximate, not measured" in shown
    assert "all answers are exact" not in shown
    assert own_home.run("index", "verify").json["ok"]
    collection = next(one for one in engine.rows if one.level == "image")
    engine.rows[collection].popitem()
    assert "index rebuild" in own_home.run("index", "verify").out
    assert own_home.run("index", "rebuild").json["engine"]["images"] == info["images"]
    assert own_home.run("index", "verify").json["ok"]


def test_an_engine_that_is_away_is_named_without_a_traceback(
    own_home: Home, engine: MemoryEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> int:
        raise CatalogError("engine-unreachable", "memory://test does not answer; start it.")

    own_home.run(*QUESTION)
    monkeypatch.setenv("MEDSIGLIP_VECTOR_URL", "milvus://127.0.0.1:1/x")
    monkeypatch.setattr(engine, "put", fail)
    monkeypatch.setattr(engine, "count", fail)
    ran = own_home.run(*QUESTION)
    assert ran.code == 1
    assert "memory://test does not answer" in ran.err
    assert "Traceback" not in ran.err + ran.out
    engine_info = own_home.run("index", "info").json["engine"]
    assert (engine_info["images"], engine_info["problem"]) == (None, "engine-unreachable")
    assert engine_info["waiting"] > 0


def test_pgvector_needs_a_catalogue_on_postgresql(own_home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_search, "FEW", 0)
    monkeypatch.setenv("MEDSIGLIP_VECTOR_URL", "pgvector")
    monkeypatch.setenv("MEDSIGLIP_VECTOR_PASSWORD_FILE", str(Path(own_home.path) / "none"))
    ran = own_home.run(*QUESTION)
    assert ran.code == 1
    assert "database_url" in ran.err
    engine_info = own_home.run("index", "info").json["engine"]
    assert (engine_info["name"], engine_info["problem"]) == ("pgvector", "no-pgvector")
    assert "cannot be used (no-pgvector)" in own_home.show("index", "info").out


def test_an_engine_that_hangs_keeps_neither_readiness_nor_metrics_waiting(
    own_home: Home, engine: MemoryEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MEDSIGLIP_VECTOR_URL", "milvus://127.0.0.1:1/x")
    released = threading.Event()
    nearest, count = engine.nearest, engine.count
    with Archive(own_home.path) as archive:
        archive.index.feed_engine()
        working = Readiness(archive)._examine()
        tried = next(one for one in working["checks"] if one["name"] == "vector_engine")
        assert (working["ready"], tried["ok"], tried["required"]) == (True, True, False)
        assert values(ArchiveCollector(archive))["medsiglip_vector_engine_up"] == 1

        def hang(call: Any) -> Any:
            return lambda *given, **options: (released.wait(60), call(*given, **options))[1]

        monkeypatch.setattr(engine, "nearest", hang(nearest))
        monkeypatch.setattr(engine, "count", hang(count))
        monkeypatch.setattr(readiness, "ENGINE_SECONDS", 0.1)
        monkeypatch.setattr(metrics, "ENGINE_SECONDS", 0.1)
        try:
            hanging = Readiness(archive)._examine()
            tried = next(one for one in hanging["checks"] if one["name"] == "vector_engine")
            assert (hanging["ready"], tried["ok"]) == (True, False)
            found = values(ArchiveCollector(archive))
            assert found["medsiglip_archive_up"] == 1
            assert found["medsiglip_vector_engine_up"] == 0
            assert not released.is_set()
        finally:
            released.set()


def values(collector: ArchiveCollector) -> dict[str, float]:
    return {family.name: family.samples[0].value for family in collector.collect() if family.samples}
