"""Searches beside writers, deletions and rebuilds: nobody waits, and a view is of one committed version."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import Connection, select

from medsiglip.index.case_index import CaseIndex
from medsiglip.index.catalogue.schema import home as home_table
from medsiglip.index.catalogue.schema import images
from medsiglip.index.errors import CatalogError
from medsiglip.index.group_means import group_means
from medsiglip.index.records import Level
from medsiglip.index.search import space_loader
from medsiglip.index.search.kinds.bounded import BoundedIndex
from medsiglip.index.search.kinds.index_kinds import KINDS, ChosenKind
from medsiglip.index.search.kinds.quick import QuickIndex
from medsiglip.index.search.kinds.vector_search import VectorSearch, top
from medsiglip.index.search.loaded import LoadedSpace
from medsiglip.index.vectors import ShardFolder, mean_directions
from tests.index.conftest import Catalogue
from tests.index.index_cases import make_bundle, unit_vectors

LEVELS: tuple[Level, ...] = ("image", "series", "study")
SECONDS = 60
"""After so long a thread is taken to wait for another that waits for it."""


def vectors_of(study: int, count: int = 3) -> np.ndarray:
    return unit_vectors(count, study)


def fill(index: CaseIndex, studies: range) -> list[int]:
    bundles = [make_bundle(study, 3) for study in studies]
    return index.add(bundles, np.concatenate([vectors_of(study) for study in studies]))


@contextmanager
def working(*works: Callable[[], object]) -> Iterator[None]:
    """Threads that do these while a block runs; their errors are raised."""
    with ThreadPoolExecutor(len(works)) as pool:
        running = [pool.submit(work) for work in works]
        yield
        for one in running:
            one.result(SECONDS)


def check_view(loaded: LoadedSpace, connection: Connection) -> None:
    """What is loaded is what the connection sees, at every level, and is found as by brute force."""
    assert loaded.version == connection.execute(select(home_table.c.version)).scalar_one()
    columns = select(images.c.id, images.c.series_id, images.c.study_id)
    rows = np.array(connection.execute(columns.order_by(images.c.id)).all(), np.int64).reshape(-1, 3)
    held = loaded.index.ids
    assert np.array_equal(np.sort(held), rows[:, 0])
    vectors = loaded.index.rows(rows[:, 0])
    queries = unit_vectors(2, 77)
    for level, groups in zip(LEVELS, rows.T, strict=True):
        ids = np.unique(groups)
        means = vectors if level == "image" else mean_directions(vectors[groups == one] for one in ids)
        if len(ids):
            scores, found, _, _ = loaded.nearest(level, queries, 5, None)
            expected_scores, expected = top(queries, ids, means, 5)
            assert np.array_equal(found, expected)
            assert np.allclose(scores, expected_scores, atol=1e-6)


def test_a_view_stays_what_it_was_while_others_write(index: CaseIndex) -> None:
    first = fill(index, range(4))
    with index._current.view() as (loaded, connection):
        with working(lambda: fill(index, range(4, 8)), lambda: index.search(unit_vectors(1), level="study")):
            pass
        index.search(unit_vectors(1), level="study")
        assert sorted(loaded.index.ids.tolist()) == sorted(first)
        check_view(loaded, connection)
    with index._current.view() as (later, connection):
        assert later is not loaded
        assert len(later.index.ids) == 24
        check_view(later, connection)


def test_searches_do_not_wait_for_each_other(index: CaseIndex, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each goes on only once both are in the middle of it."""
    fill(index, range(4))
    index.search(unit_vectors(1))
    both, search = threading.Barrier(2), LoadedSpace.nearest

    def together(*args: Any, **options: Any) -> Any:
        both.wait(SECONDS)
        return search(*args, **options)

    monkeypatch.setattr(LoadedSpace, "nearest", together)
    with working(*[lambda: index.search(unit_vectors(1))] * 2):
        pass


def test_searches_and_deletions_go_on_during_a_rebuild(
    index: CaseIndex, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(index, range(4))
    index.rebuild()
    before = {path.name: path.read_bytes() for path in (home / "faiss").iterdir()}
    in_the_middle, go_on, read = threading.Event(), threading.Event(), ShardFolder.checked

    def slowly(folder: ShardFolder, name: str, dimension: int) -> Any:
        if not go_on.is_set():
            in_the_middle.set()
            assert go_on.wait(SECONDS)
        return read(folder, name, dimension)

    monkeypatch.setattr(ShardFolder, "checked", slowly)
    with ThreadPoolExecutor(1) as pool:
        rebuilding = pool.submit(index.rebuild, unit_vectors(5))
        assert in_the_middle.wait(SECONDS)
        assert len(index.search(unit_vectors(1), k=50)[0]) == 12
        assert {path.name: path.read_bytes() for path in (home / "faiss").iterdir()} == before
        index.remove_study("2.25.1")
        assert len(index.search(unit_vectors(1), k=50)[0]) == 9
        go_on.set()
        rebuilding.result(SECONDS)
    assert list((home / "faiss").glob("*.study"))
    assert len(index.search(unit_vectors(1), k=50, level="study")[0]) == 3
    assert index.verify().problems == ()


def test_a_failed_rebuild_leaves_index_and_snapshot(
    index: CaseIndex, home: Path, catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(index, range(4))
    index.rebuild()
    before = {path.name: path.read_bytes() for path in (home / "faiss").iterdir()}

    def broken(*_: Any) -> Any:
        raise CatalogError("corrupt-shard", "as if the file were damaged")

    monkeypatch.setattr(ShardFolder, "checked", broken)
    with pytest.raises(CatalogError, match="damaged"):
        index.rebuild(unit_vectors(3))
    assert {path.name: path.read_bytes() for path in (home / "faiss").iterdir()} == before
    assert len(index.search(unit_vectors(1), k=50)[0]) == 12
    with catalogue.open(home) as again:
        assert len(again.search(unit_vectors(1), k=50)[0]) == 12


def test_means_are_kept_with_the_snapshot_and_renewed_by_id(
    index: CaseIndex, home: Path, catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(index, range(30))
    index.rebuild()
    fill(index, range(50, 51))
    computed: list[int] = []

    def counted(rows: Any, image_ids: Any, members: Any, groups: Any) -> Any:
        computed.extend(groups.tolist())
        return group_means(rows, image_ids, members, groups)

    monkeypatch.setattr("medsiglip.index.search.group_level.group_means", counted)
    with catalogue.open(home) as again:
        again.search(unit_vectors(1))
        assert computed == []
        for level in LEVELS[1:]:
            [hits] = again.search(mean_directions([vectors_of(50)]), level=level)
            assert hits[0].study_instance_uid == "2.25.50"
            assert len(computed) == 1, "only the means of what is not in the snapshot"
            computed.clear()
        again.add([make_bundle(3, 2, series=1)], unit_vectors(2, 99))
        again.search(unit_vectors(1), level="study")
        assert len(computed) == 1
        with again._current.view() as (loaded, connection):
            check_view(loaded, connection)
        again.rebuild()
    computed.clear()
    with catalogue.open(home) as afresh, afresh._current.view() as (loaded, connection):
        check_view(loaded, connection)
        assert computed == []


def test_other_processes_go_over_to_a_rebuilt_index(
    index: CaseIndex, home: Path, catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(index, range(8))
    with catalogue.open(home) as other:
        before = [other.search(unit_vectors(1), level=level) for level in LEVELS]
        held = other._current.load().index
        index.rebuild()
        fill(index, range(20, 21))
        monkeypatch.setattr(ShardFolder, "checked", _only_new(ShardFolder.checked))
        found = other._current.load()
        assert found.index is not held, "what was in memory before is let go"
        with other._current.view() as (loaded, connection):
            assert loaded.index is found.index
            check_view(loaded, connection)
        other.remove_study("2.25.20")
        assert [other.search(unit_vectors(1), level=level) for level in LEVELS] == before


def _only_new(read: Any) -> Any:
    """Reading the shards of more than one study is an error: they are in the snapshot."""
    seen: set[str] = set()

    def reading(folder: ShardFolder, name: str, dimension: int) -> Any:
        seen.add(name)
        assert len(seen) == 1
        return read(folder, name, dimension)

    return reading


def test_a_forgotten_patient_leaves_no_vector_and_no_mean_in_any_snapshot(
    index: CaseIndex, home: Path, catalogue: Catalogue
) -> None:
    fill(index, range(6))
    index.search(unit_vectors(1), level="study")
    index.rebuild()
    traces = [one.tobytes() for one in vectors_of(2)]
    traces.append(mean_directions([vectors_of(2)])[0].tobytes())
    written = b"".join(path.read_bytes() for path in (home / "faiss").iterdir())
    assert all(trace in written for trace in traces)
    with catalogue.open(home) as other:
        other.search(unit_vectors(1), level="study")
        index.remove_patient("patient-2")
        for one in (index, other):
            [hits] = one.search(unit_vectors(1), level="study", k=10)
            assert len(hits) == 5
    index.rebuild()
    index.close()
    left = b"".join(path.read_bytes() for path in home.rglob("*") if path.is_file())
    assert not any(trace in left for trace in traces)
    with catalogue.open(home) as again, again._current.view() as (loaded, connection):
        check_view(loaded, connection)


def test_a_state_is_shared_until_the_vectors_change(index: CaseIndex) -> None:
    """A commit without vectors, or the merging of shards, copies and computes nothing."""
    fill(index, range(3))
    fill(index, range(3, 6))
    index.search(unit_vectors(1), level="study")
    with index._current.view() as (before, _):
        pass
    index.bind_key("fingerprint")
    with index._current.view() as (same, _):
        assert same.index is before.index
    index.compact()
    with index._current.view() as (merged, connection):
        assert merged.levels is same.levels
        assert len(merged.shards) == 1
        check_view(merged, connection)


def test_old_states_go_when_nobody_reads_them(index: CaseIndex) -> None:
    import gc
    import weakref

    fill(index, range(3))
    held = weakref.ref(index._current.load().index)
    assert held() is not None
    fill(index, range(3, 6))
    index.search(unit_vectors(1))
    gc.collect()
    assert held() is None


def _script(index: CaseIndex, seed: int, steps: int) -> None:
    """Adds, deletes and merges studies; each study is added once."""
    draw, held = np.random.default_rng(seed), list[int]()
    for step in range(steps):
        study = 1000 * (seed + 1) + step
        match draw.integers(0, 6):
            case 0 if held:
                index.remove_study(f"2.25.{held.pop(int(draw.integers(len(held))))}")
            case 1 if held:
                index.remove_patient(f"patient-{held.pop(int(draw.integers(len(held))))}")
            case 2:
                index.compact()
            case _:
                fill(index, range(study, study + 1))
                held.append(study)


@pytest.mark.long(every=2)
@pytest.mark.parametrize(
    "kind", ["bounded", *(pytest.param(kind, marks=pytest.mark.campaign) for kind in ("quick", "flat"))]
)
def test_many_readers_beside_writers_deletions_and_rebuilds(
    index: CaseIndex, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """Codes are made from few rows on, so that readers meet states with codes and without."""
    made: dict[str, Callable[..., VectorSearch]] = {
        "bounded": partial(BoundedIndex, least=24),
        "quick": partial(QuickIndex, least=24),
    }
    held = replace(KINDS[kind], new=made.get(kind, KINDS[kind].new))
    monkeypatch.setattr(space_loader, "chosen_kind", lambda *_: ChosenKind(kind, held, "for the test"))
    fill(index, range(10))
    done, views = threading.Event(), [0, 0, 0]

    def read(reader: int) -> None:
        last = 0
        while not done.is_set() or views[reader] < 3:
            with index._current.view() as (loaded, connection):
                assert loaded.version >= last
                last = loaded.version
                check_view(loaded, connection)
            [hits] = index.search(unit_vectors(1), level="study", k=3)
            assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
            views[reader] += 1
            done.wait(0.02)  # SQLite's log is emptied in a moment without readers

    def rebuild() -> None:
        while not done.is_set():
            index.rebuild()

    with ThreadPoolExecutor(4) as pool:
        running = [*(pool.submit(read, reader) for reader in range(3)), pool.submit(rebuild)]
        try:
            _script(index, 1, 25)
        finally:
            done.set()
        for one in running:
            one.result(SECONDS)
    assert min(views) >= 3
    assert index.verify().problems == ()


_OTHER_PROCESS = """
import sys
from pathlib import Path
from medsiglip.index.case_index import CaseIndex
from tests.index.search.test_current_space import _script
with CaseIndex.open(Path(sys.argv[1]), database_url=sys.argv[2] or None) as index:
    _script(index, 2, 15)
    index.rebuild()
"""


@pytest.mark.long(every=2)
def test_readers_of_one_process_beside_writers_of_two(
    index: CaseIndex, home: Path, catalogue: Catalogue
) -> None:
    fill(index, range(5))
    command = [sys.executable, "-c", _OTHER_PROCESS, str(home), catalogue.url or ""]
    other = subprocess.Popen(command, stderr=subprocess.PIPE, cwd=Path(__file__).parents[3])
    done, seen = threading.Event(), set[int]()

    def read() -> None:
        while not done.is_set():
            with index._current.view() as (loaded, connection):
                check_view(loaded, connection)
                seen.add(loaded.version)
            done.wait(0.02)

    with working(read, read):
        try:
            _script(index, 3, 10)
            _, error = other.communicate(timeout=SECONDS)
        finally:
            done.set()
            other.kill()
    assert other.returncode == 0, error.decode()
    assert len(seen) > 3
    with index._current.view() as (loaded, connection):
        check_view(loaded, connection)
    assert index.verify().problems == ()


def test_waiting_readers_keep_no_connection_from_the_one_that_loads(
    index: CaseIndex, home: Path, catalogue: Catalogue
) -> None:
    """More readers at once than a pool has connections, while nothing is loaded yet."""
    fill(index, range(5))
    with catalogue.open(home) as again, ThreadPoolExecutor(24) as pool:
        answers = list(pool.map(lambda _: again.search(unit_vectors(1), level="study"), range(48)))
    assert all(answer == answers[0] for answer in answers)
    assert len(answers[0][0]) == 5
