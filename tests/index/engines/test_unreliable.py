"""Engines that lose rows, keep what was removed, or are changed; and how little is asked of them."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import pytest
from sqlalchemy import Connection, select, update

from medsiglip.index.case_index import CaseIndex
from medsiglip.index.catalogue.schema import home as home_table
from medsiglip.index.engines import draining, home_engine
from medsiglip.index.engines.changed_rows import newest
from medsiglip.index.engines.engine import Candidates, Collection, PushedFilter
from medsiglip.index.engines.home_engine import HomeEngine
from medsiglip.index.errors import CatalogError
from medsiglip.index.search import recall
from medsiglip.index.search.current_space import CurrentSpace
from medsiglip.index.search.engines import engine_check, engine_search
from medsiglip.index.search_records import Asked, SearchOptions
from medsiglip.index.vectors import Vectors
from tests.index.engines.conftest import EngineHome
from tests.index.engines.memory_engine import ForgetfulEngine, MemoryEngine, StaleEngine
from tests.index.index_cases import SPACE, make_bundle, unit_vectors

MakeHome = Callable[[str], EngineHome]


def engine_of(index: CaseIndex) -> HomeEngine:
    engine = index._current.engine
    assert engine is not None
    return engine


def use(index: CaseIndex, engine: MemoryEngine) -> None:
    engine_of(index)._connected = engine


def add(index: CaseIndex, studies: range, size: int = 3) -> None:
    for study in studies:
        index.add([make_bundle(study, size)], unit_vectors(size, study))


@pytest.fixture
def index(make_home: MakeHome) -> Iterator[CaseIndex]:
    with make_home("memory").open() as opened:
        add(opened, range(1, 7))
        yield opened


def test_an_engine_that_lost_most_rows_is_named_at_every_level(index: CaseIndex) -> None:
    engine = ForgetfulEngine()
    use(index, engine)
    assert len(index.search(unit_vectors(1), k=5)[0]) == 5
    engine.lose(1)
    add(index, range(20, 21))  # the next that is told makes the collections anew
    assert len(index.search(unit_vectors(1), k=1)[0]) == 1, "seen to a moment ago"
    seen = engine_of(index)._seen
    seen.update({one: until - home_engine.SEEN_SECONDS for one, until in seen.items()})
    for level in ("image", "series", "study"):
        with pytest.raises(CatalogError, match=r"holds \d+ of the \d+ vectors.*index rebuild") as caught:
            index.search(unit_vectors(1), k=1, level=level)
        assert caught.value.code == "wrong-engine"
    index.rebuild()
    assert index.search(unit_vectors(1, 20), k=1)[0][0].study_instance_uid == "2.25.20"
    index.rebuild()
    engine.lose(1)
    with pytest.raises(CatalogError, match="index rebuild"):
        index.search(unit_vectors(1), k=1)  # what was seen before the rebuild does not count


def test_what_waits_and_what_others_forget_meanwhile_is_no_loss(index: CaseIndex) -> None:
    engine = engine_of(index)
    index.feed_engine()
    collection = Collection(index._current.needed().row_id, "image", SPACE.dimension)
    index._current.load()
    engine.require_filled(collection, 18)
    engine._seen.clear()
    for study in (1, 2, 3):
        index.remove_study(f"2.25.{study}")
    engine.require_filled(collection, 18)  # of a state from before
    assert collection in engine._seen


def test_an_engine_that_keeps_what_was_removed_shows_none_of_it(index: CaseIndex) -> None:
    use(index, StaleEngine())
    index.feed_engine()
    index.remove_study("2.25.2")
    for exact in (None, False):
        [answer] = index.find([Asked(unit_vectors(1, 2)[0])], SearchOptions(4, exact=exact))
        assert len(answer.hits) == 4
        assert "2.25.2" not in {one.hit.study_instance_uid for one in answer.hits}
    assert any("holds vectors of nothing" in one for one in index.verify().problems)


def test_forgetting_tells_the_engine_at_once_and_goes_on_without_one_that_is_away(
    index: CaseIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    index.feed_engine()
    engine = engine_of(index).engine
    collection = Collection(index._current.needed().row_id, "image", SPACE.dimension)
    index.remove_study("2.25.2")
    assert engine.count(collection) == 15

    def fail(*_: object) -> None:
        raise CatalogError("engine-unreachable", "It is away.")

    with monkeypatch.context() as patch:
        patch.setattr(engine, "remove", fail)
        index.remove_study("2.25.3")
    assert engine.count(collection) == 15
    index.feed_engine()
    assert engine.count(collection) == 12


def test_a_change_of_the_engine_while_one_is_told_loses_nothing(
    index: CaseIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    index.feed_engine()
    add(index, range(30, 32))
    other = MemoryEngine()
    other.name = "memory://other"

    def moved(connection: Connection) -> int:
        last = newest(connection)
        with index._database.write() as writing:
            writing.execute(update(home_table).values(vector_engine=other.name))
        return last

    with monkeypatch.context() as patch:
        patch.setattr(draining, "newest", moved)
        with pytest.raises(CatalogError, match="memory://other") as caught:
            index.feed_engine()
    assert caught.value.code == "wrong-engine"
    assert engine_of(index).waiting() == 6
    use(index, other)
    index.feed_engine()
    assert engine_of(index).waiting() == 0
    assert sum(len(rows) for one, rows in other.rows.items() if one.level == "image") == 6


def test_what_is_left_in_a_former_engine_is_dropped_or_named(
    make_home: MakeHome, caplog: pytest.LogCaptureFixture
) -> None:
    place = make_home("memory")
    assert place.memory is not None
    with place.open() as index:
        add(index, range(1, 3))
        place.memory.rows[Collection(999, "image", SPACE.dimension)] = {1: unit_vectors(1)[0]}
        index.feed_engine()
        assert place.memory.spaces() == [index._current.needed().row_id], "nor of spaces that are no more"
    with place.open(engine=False) as index:
        index.rebuild()
        assert place.memory.spaces() == []
        with index._database.write() as connection:
            connection.execute(update(home_table).values(vector_engine="milvus://elsewhere:19530/x"))
        with caplog.at_level(logging.WARNING):
            index.rebuild()
    assert "milvus://elsewhere:19530/x keeps" in caplog.text
    assert "medsiglip_" in caplog.text


def test_recall_is_that_of_approximate_answers(index: CaseIndex, monkeypatch: pytest.MonkeyPatch) -> None:
    class Blind(MemoryEngine):
        def nearest(
            self, collection: Collection, queries: Vectors, count: int, filters: object = ()
        ) -> Candidates:
            ids, _ = self.held(collection, 0, 1 << 30)
            ids = ids[ids % 2 == 0]
            return Candidates((ids,) * len(queries), (np.zeros(len(ids), np.float32),) * len(queries))

        most = 500

    monkeypatch.setattr(engine_search, "_MORE", 0)
    use(index, Blind())
    loaded, query = index._current.load(), unit_vectors(6, 77)
    index.feed_engine()
    ids = loaded.index.ids
    exact = loaded.index.search(query, 4).ids
    true = float(np.mean([(row % 2 == 0).sum() / 4 for row in exact]))
    assert recall.recall_at(loaded.index, query, 4, exact=False) == pytest.approx(true)
    assert recall.recall_at(loaded.index, query, 4) == 1.0
    assert index.check_recall(4, 4) < 1.0
    monkeypatch.setattr(recall, "SAMPLE", 12)
    monkeypatch.setattr(recall, "_BLOCK", 4)
    asked: list[int] = []
    rows = loaded.index.rows
    monkeypatch.setattr(loaded.index, "rows", lambda some: asked.append(len(some)) or rows(some))  # type: ignore[func-returns-value]
    assert recall.sampled_recall(loaded.index, query, 4) < 1.0
    assert sum(asked) <= 12 + len(query) * len(ids) // 2


def test_an_exact_search_of_everything_keeps_its_order_in_linear_time(
    index: CaseIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded, query = index._current.load(), unit_vectors(2, 5)
    expected = loaded.index.search(query, 18)
    few = loaded.index.search(query, 3)
    monkeypatch.setattr(engine_search, "_ROWS", 2)
    sorted_: list[int] = []
    best = engine_search._best

    def counted(parts: object, k: int) -> object:
        sorted_.append(sum(one[0].shape[1] for one in parts))  # type: ignore[attr-defined]
        return best(parts, k)  # type: ignore[arg-type]

    monkeypatch.setattr(engine_search, "_best", counted)
    found = loaded.index.search(query, 18)
    assert np.array_equal(found.ids, expected.ids)
    assert np.array_equal(found.scores, expected.scores)
    assert sum(sorted_) == 18
    assert np.array_equal(loaded.index.search(query, 3).ids, few.ids)


def test_a_check_names_the_first_of_many_and_reads_each_part_once(
    index: CaseIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine_check, "_ROWS", 2)
    index.feed_engine()
    assert index.verify().ok
    engine = engine_of(index).engine
    assert isinstance(engine, MemoryEngine)
    rows = next(rows for one, rows in engine.rows.items() if one.level == "image")
    ids = sorted(rows)
    for row_id in (ids[0], ids[4], ids[5], ids[-1]):
        del rows[row_id]
    rows[ids[-1] + 1000] = rows[ids[1]]
    rows[ids[2]] = rows[ids[1]]
    problems = "\n".join(index.verify().problems)
    assert f"lacks vectors at level image: 4 ({ids[0]}, {ids[4]}, {ids[5]}, ...)" in problems
    assert f"vectors of nothing at level image: 1 ({ids[-1] + 1000})" in problems
    assert f"other vectors at level image: 1 ({ids[2]})" in problems


def test_a_home_that_is_written_to_while_it_is_checked_may_be_right(
    index: CaseIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    number = 100
    load = CurrentSpace.load

    def busy(space: CurrentSpace) -> object:
        nonlocal number
        number += 1
        state = load(space)
        add(index, range(number, number + 1))
        return state

    index.feed_engine()
    monkeypatch.setattr("medsiglip.index.search.check._check_faiss", lambda *_: [])
    monkeypatch.setattr(CurrentSpace, "load", busy)
    monkeypatch.setattr("medsiglip.index.search.check.listed", lambda connection: [])
    assert index.verify().problems == ()


def test_concurrent_searches_leave_connections_to_tell_the_engine(make_home: MakeHome) -> None:
    with make_home("memory").open() as index:
        add(index, range(1, 4))
        engine = engine_of(index)
        index.feed_engine()
        most = index._database.pool()[1]
        together, failures = threading.Barrier(3 * most), list[BaseException]()
        used: list[int] = []
        answer = engine.engine.nearest

        def nearest(
            collection: Collection, queries: Vectors, count: int, filters: tuple[PushedFilter, ...] = ()
        ) -> Candidates:
            with index._database.read() as connection:  # as one beside the catalogue does
                connection.execute(select(home_table.c.version))
                used.append(index._database.pool()[0])
            return answer(collection, queries, count, filters)

        engine.engine.nearest = nearest  # type: ignore[method-assign,assignment]
        add(index, range(4, 6))

        def ask() -> None:
            together.wait()
            try:
                assert len(index.search(unit_vectors(1), k=3)[0]) == 3
            except BaseException as error:  # shown below
                failures.append(error)

        threads = [threading.Thread(target=ask) for _ in range(3 * most)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failures == []
        assert max(used) <= most - 1
        assert engine.waiting() == 0


def test_a_search_asks_by_its_own_view_whether_something_waits(
    index: CaseIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(2):
        index.search(unit_vectors(1), k=1)
    opened: list[int] = []
    connected = index._database._connected

    def counted(**options: object) -> object:
        opened.append(1)
        return connected(**options)

    monkeypatch.setattr(index._database, "_connected", counted)
    index.search(unit_vectors(1), k=1)
    assert len(opened) == 1


def test_an_engine_that_is_away_is_asked_once(index: CaseIndex, monkeypatch: pytest.MonkeyPatch) -> None:
    index.feed_engine()
    for code in ("engine-unreachable", "engine-refused", "missing-extra", "no-pgvector"):
        asked: list[int] = []

        def fail(*_: object, code: str = code, asked: list[int] = asked) -> int:
            asked.append(1)
            raise CatalogError(code, "It cannot be used.")

        with monkeypatch.context() as patch:
            patch.setattr(engine_of(index).engine, "count", fail)
            found = index.info().engine
            assert found is not None
            assert (found.images, found.problem, len(asked)) == (None, code, 1)
            assert not index.engine_answers()
        without = index.info(asks_engine=False).engine
        assert without == replace(found, problem=None)
    assert index.engine_answers()


def test_a_stop_ends_the_telling_after_a_portion(index: CaseIndex, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("medsiglip.index.engines.changed_rows.CHANGES", 3)
    index.feed_engine()
    add(index, range(40, 44))
    with pytest.raises(CatalogError) as caught:
        index.feed_engine(stopped=lambda: True)
    assert caught.value.code == "catalog-busy"
    assert engine_of(index).waiting() == 9
