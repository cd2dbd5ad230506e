"""The outbox: whatever ends a drainer, and whoever writes meanwhile, the engine ends up as the shards are."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
from sqlalchemy import update

from medsiglip.index.catalogue.database import Database
from medsiglip.index.catalogue.schema import home as home_table
from medsiglip.index.engines import draining, outbox
from medsiglip.index.engines.engine import LEVELS, Collection
from medsiglip.index.errors import CatalogError
from tests.index.engines.conftest import EngineHome
from tests.index.index_cases import SPACE, make_bundle, unit_vectors
from tests.repository import ROOT


class KilledError(BaseException):
    """Stands for the end of a process: nothing catches it."""


@pytest.fixture(params=["memory", pytest.param("pgvector", marks=pytest.mark.long)])
def place(request: pytest.FixtureRequest, make_home: Callable[[str], EngineHome]) -> EngineHome:
    return make_home(request.param)


@pytest.fixture
def database(place: EngineHome) -> Iterator[Database]:
    opened = Database(place.home, place.url, 10.0)
    yield opened
    opened.close()


def waiting(database: Database) -> int:
    with database.read() as connection:
        return outbox.waiting(connection)


def fill(place: EngineHome, studies: range) -> None:
    with place.open(engine=False) as index:
        for study in studies:
            index.add([make_bundle(study, 3)], unit_vectors(3, study))


def test_a_drainer_that_is_killed_at_any_step_loses_and_doubles_nothing(
    place: EngineHome, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(place, range(4))
    steps: list[str] = []
    deadly = 0

    def step(name: str) -> None:
        steps.append(name)
        if len(steps) == deadly:
            if place.memory is not None:
                place.memory.crash()  # with what it was not asked to keep
            raise KilledError

    drain = draining.drain
    monkeypatch.setattr(
        "medsiglip.index.engines.home_engine.drain", lambda home, engine, **_: drain(home, engine, step)
    )
    reached = set()
    with place.open() as index:
        for round_ in range(14):
            deadly, steps[:] = 1 + round_ % 7, []
            try:
                index.feed_engine()
            except KilledError:
                reached.add(steps[-1])
                assert waiting(database)
            deadly = 0
            index.add([make_bundle(100 + round_, 2)], unit_vectors(2, 100 + round_))
            if round_ % 4 == 1:
                index.remove_study(f"2.25.{100 + round_}")
                index.compact()
        deadly = 0
        index.feed_engine()
        assert not waiting(database)
        found = index.verify()
        assert found.ok, found.problems
        engine = index.info().engine
        assert engine is not None
        assert engine.images == index.info().images
    assert reached >= {"flush", "note", "drop", "put image", "put series", "put study"}


def test_writers_note_and_searches_wait_for_the_engine_to_be_told(
    place: EngineHome, database: Database
) -> None:
    with place.open() as index:
        assert not waiting(database), "a home without an engine notes nothing"
        index.add([make_bundle(1, 2)], unit_vectors(2, 1))
        index.feed_engine()
        fill(place, range(2, 4))  # by a process that does not know the engine
        assert waiting(database) == 6
        [hits] = index.search(unit_vectors(1, 3), k=1)
        assert hits[0].study_instance_uid == "2.25.3"
        assert not waiting(database)


def test_what_nothing_names_any_more_is_removed_at_every_level(place: EngineHome, database: Database) -> None:
    fill(place, range(1, 4))
    with place.open() as index:
        index.feed_engine()
        index.remove_study("2.25.2")
        index.feed_engine()
        engine = index.info().engine
        assert engine is not None
        assert (engine.images, engine.series, engine.studies) == (6, 2, 2)
        assert index.verify().ok


def test_several_drainers_take_turns(place: EngineHome, database: Database) -> None:
    with place.open() as index:
        index.feed_engine()
    fill(place, range(6))
    failures: list[BaseException] = []

    def feed() -> None:
        try:
            with place.open() as index:
                index.feed_engine()
        except BaseException as error:  # shown below
            failures.append(error)

    threads = [threading.Thread(target=feed) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert not waiting(database)
    with place.open() as index:
        assert index.verify().ok


def test_another_engine_is_refused_until_a_rebuild(
    place: EngineHome, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(place, range(1, 3))
    with place.open() as index:
        index.feed_engine()
    with database.write() as connection:
        connection.execute(update(home_table).values(vector_engine="milvus://elsewhere:19530/default"))
    with place.open() as index:
        for call in (lambda: index.search(unit_vectors(1)), index.feed_engine):
            with pytest.raises(CatalogError, match=r"elsewhere.*index rebuild") as caught:
                call()
            assert caught.value.code == "wrong-engine"
        assert not index.verify().ok
        index.rebuild()
        assert index.verify().ok
        assert len(index.search(unit_vectors(1), k=50)[0]) == 6


def test_an_engine_that_lost_its_vectors_is_named_and_filled_by_a_rebuild(
    place: EngineHome, database: Database
) -> None:
    fill(place, range(1, 3))
    with place.open() as index:
        index.feed_engine()
        home = index._current.engine
        assert home is not None
        space_id = index._current.needed().row_id
        home.engine.drop(space_id)
    with place.open() as index:
        with pytest.raises(CatalogError) as caught:
            index.search(unit_vectors(1))
        assert caught.value.code == "wrong-engine"
        index.rebuild()
        home = index._current.engine
        assert home is not None
        home.engine.remove(Collection(space_id, "series", SPACE.dimension), index._current.load().places.ids)
        assert index.verify().ok, "ids of images are none of series"
        held = home.engine.held(Collection(space_id, "series", SPACE.dimension), 0, 10)
        home.engine.remove(Collection(space_id, "series", SPACE.dimension), held.ids[:1])
        [problem] = index.verify().problems
        assert "lacks vectors at level series: 1" in problem
        assert "index rebuild" in problem
        index.rebuild()
        assert index.verify().ok


def test_without_the_setting_a_home_searches_in_memory_and_a_rebuild_leaves_the_engine(
    place: EngineHome, database: Database
) -> None:
    fill(place, range(1, 3))
    with place.open() as index:
        index.feed_engine()
    with place.open(engine=False) as index:
        assert len(index.search(unit_vectors(1), k=50)[0]) == 6
        assert index.info().engine is None
        index.rebuild()
        index.add([make_bundle(9, 1)], unit_vectors(1, 9))
    assert not waiting(database), "nobody is to be told any more"
    with place.open() as index:
        index.feed_engine()
        assert len(index.search(unit_vectors(1), k=50)[0]) == 7
        assert index.verify().ok


def test_a_space_that_is_dropped_leaves_the_engine(place: EngineHome, database: Database) -> None:
    fill(place, range(1, 3))
    with place.open() as index:
        index.feed_engine()
        old = index._current.needed().row_id
        renewal = index.reembedding(replace(SPACE, checkpoint_hash="f" * 64))
        for series in renewal.series(0, 100):
            held = [one for one in renewal.images(series) if not one.done]
            records = make_bundle(int(series), len(held)).images
            vectors = unit_vectors(len(held), int(series))
            renewal.add([(one.image_id, two) for one, two in zip(held, records, strict=True)], vectors)
        assert renewal.finish(())
        assert len(index.search(unit_vectors(1), k=50)[0]) == 6
        index.spaces.drop(SPACE.name)
        index.feed_engine()
        assert index._current.engine is not None
        for level in LEVELS:
            assert index._current.engine.engine.count(Collection(old, level, SPACE.dimension)) == 0
        assert index.verify().ok


def test_a_search_waits_for_some_time_and_what_was_told_meanwhile_stays_told(
    place: EngineHome, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    with place.open() as index:
        index.feed_engine()
    fill(place, range(4))
    monkeypatch.setattr("medsiglip.index.engines.changed_rows.CHANGES", 3)
    with place.open() as index:
        home = index._current.engine
        assert home is not None
        for left in (9, 6, 3):
            with pytest.raises(CatalogError, match=f"{left} changes wait") as caught:
                home.catch_up(0.0)
            assert caught.value.code == "catalog-busy"
        home.catch_up(0.0)
        assert not waiting(database)
        assert index.verify().ok


@pytest.mark.campaign
def test_processes_that_end_at_each_step_lose_and_double_nothing(
    make_home: Callable[[str], EngineHome],
) -> None:
    place = make_home("pgvector")
    with place.open() as index:
        index.feed_engine()
    reached: set[str] = set()
    for number in range(1, 10):
        fill(place, range(10 * number, 10 * number + 3))
        with place.open(engine=False) as index:
            index.remove_study(f"2.25.{10 * number}")
        words = [sys.executable, "-m", "tests.index.engines.killed_drainer", place.home, place.url, number]
        ran = subprocess.run([str(one) for one in words], cwd=ROOT, capture_output=True, text=True)
        reached |= set(ran.stdout.split("\n"))
        assert ran.returncode in (0, 9), ran.stderr
    assert reached >= {"remove image", "put image", "put series", "put study", "flush", "note"}
    with place.open() as index:
        index.feed_engine()
        assert index.verify().ok
        assert len(index.search(unit_vectors(1), k=100)[0]) == 9 * 2 * 3
