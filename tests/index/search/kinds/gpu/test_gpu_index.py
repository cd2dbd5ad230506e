"""Kinds on a device against the exact definition: on the processor everywhere, on a GPU where one is."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from medsiglip.index.search.kinds.bounded import BoundedIndex, read_bounded
from medsiglip.index.search.kinds.gpu import device_search, gpu_index, residence
from medsiglip.index.search.kinds.gpu.gpu_index import GpuIndex, new_gpu_index, read_gpu_index
from medsiglip.index.search.kinds.gpu.recipes import FLAT, IVF_FLAT, IVF_PQ, Recipe
from medsiglip.index.search.kinds.vector_search import ExactSearch, Neighbours, VectorSearch
from tests.index.search.kinds.gpu import devices
from tests.index.search.kinds.gpu.devices import embeddings, every_device, moved, unit

pytestmark = pytest.mark.long

DIMENSION = 24
every_recipe = pytest.mark.parametrize("recipe", [FLAT, IVF_FLAT, IVF_PQ], ids=lambda one: one.name)
LISTS = pytest.mark.parametrize("recipe", [IVF_FLAT, IVF_PQ], ids=lambda one: one.name)

ADD = st.tuples(st.just("add"), st.integers(1, 60), st.integers(0, 5))
REMOVE = st.tuples(st.just("remove"), st.integers(1, 40), st.integers(0, 10**6))
MOVE = st.tuples(st.just("move"), st.just(0), st.just(0))
COPY = st.tuples(st.just("copy"), st.just(0), st.just(0))
SEARCH = st.tuples(st.just("search"), st.integers(1, 80), st.integers(0, 10**6))


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    """The device is used for a few rows and filters too."""
    monkeypatch.setattr(gpu_index, "_GATHERED", 8)
    monkeypatch.setattr(residence, "APPENDED", 40)


def hostile(seed: int) -> np.ndarray:
    """Equal vectors, vectors that are equal in float16, and all along one direction."""
    draw = np.random.default_rng(seed)
    few = embeddings(40, seed, DIMENSION)
    near = unit(few[draw.integers(0, 40, 300)] + 1e-6 * draw.standard_normal((300, DIMENSION)))
    along = unit(few[:1] + 1e-4 * draw.standard_normal((200, DIMENSION)))
    return np.concatenate([few, few[::-1], near, along, -along[:20]])


def same(found: Neighbours, expected: Neighbours) -> None:
    assert np.array_equal(found.ids, expected.ids)
    assert np.array_equal(found.scores, expected.scores)


@every_device
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(life=st.lists(st.one_of(ADD, REMOVE, SEARCH, MOVE, COPY), min_size=4, max_size=16))
def test_flat_agrees_with_the_definition(where: str, life: list[tuple[str, int, int]]) -> None:
    exact: VectorSearch = ExactSearch(DIMENSION)
    index = devices.gpu_index(FLAT, devices.device(where), DIMENSION)
    others: list[tuple[VectorSearch, GpuIndex]] = []
    next_id = 0
    for verb, count, seed in [*life, ("move", 0, 0), ("search", 9, 1)]:
        if verb == "add":
            # Few seeds: the same vectors come again under other ids, so that scores tie.
            ids = np.arange(next_id, next_id + count) * 3 + 1
            next_id += count
            for one in (exact, index):
                one.add(ids, embeddings(count, seed, DIMENSION))
        elif verb == "remove" and len(exact.ids):
            gone = np.random.default_rng(seed).choice(exact.ids, min(count, len(exact.ids)), replace=False)
            for one in (exact, index):
                one.remove(np.append(gone, 10**9))
        elif verb == "move":
            moved(index)
        elif verb == "copy":
            others = [*others[-1:], (exact, index)]
            exact, index = exact.copy(), index.copy()
        elif verb == "search":
            draw = np.random.default_rng(seed)
            queries = np.concatenate([embeddings(3, seed, DIMENSION), embeddings(2, 0, DIMENSION)])
            for kept, mine in [*others, (exact, index)]:
                for allowed in (None, draw.random(len(kept.ids)) < draw.random()):
                    same(mine.search(queries, count, allowed), kept.search(queries, count, allowed))
    assert index.ids.tolist() == exact.ids.tolist()
    if len(exact.ids):
        assert index.residence.rows is not None
        assert np.array_equal(index.rows(exact.ids[::-1]), exact.rows(exact.ids[::-1]))
    devices.close(index)


@every_device
@pytest.mark.parametrize("make", [hostile, lambda seed: embeddings(900, seed, DIMENSION)])
def test_no_proof_is_wrong(where: str, make: object, monkeypatch: pytest.MonkeyPatch) -> None:
    """With few candidates, so that many answers are refused at first: none that is called proven is wrong."""
    monkeypatch.setattr(device_search, "MOST_RESULTS", 64)
    few = Recipe("few", True, 3, FLAT.spec, FLAT.need)
    proven = 0
    for seed in range(6):
        rows = make(seed)  # type: ignore[operator]
        exact, index = ExactSearch(DIMENSION), devices.gpu_index(few, devices.device(where), DIMENSION)
        ids = np.random.default_rng(seed).permutation(len(rows))
        for one in (exact, index):
            one.add(ids, rows)
        moved(index)
        queries = np.concatenate([rows[:60], hostile(seed + 3)[:60], embeddings(60, seed + 1, DIMENSION)])
        for k in (1, 5, 20):
            expected = exact.search(queries, k)
            for asked in (True, False):
                found = index.search(queries, k, exact=asked)
                sure = np.array(found.how) != "approximate"
                assert sure.all() or not asked
                assert np.array_equal(found.ids[sure], expected.ids[sure])
                assert np.array_equal(found.scores[sure], expected.scores[sure])
                proven += int((np.array(found.how) == "proven").sum())
        devices.close(index)
    assert proven > 200


@every_device
def test_most_answers_are_proven_with_few_rows_looked_at(where: str) -> None:
    """In the dimension of MedSigLIP."""
    rows = embeddings(6000, 1, 1152)
    index = devices.gpu_index(FLAT, devices.device(where), 1152)
    index.add(np.arange(len(rows)), rows)
    found = moved(index).search(embeddings(40, 2, 1152), 10)
    assert found.how.count("proven") >= 36
    assert 10 <= np.median(found.looked_at) < 60
    assert (index.share.proven, index.share.answers) == (found.how.count("proven"), 40)
    assert (index.device, index.device_reason) == (index.residence.owner.device.name, None)  # type: ignore[union-attr]
    assert index.spec == "SQfp16,RFlat"


@every_device
@every_recipe
def test_filters_of_every_share_give_the_exact_best(where: str, recipe: Recipe) -> None:
    rows = embeddings(3000, 3, DIMENSION)
    exact, index = ExactSearch(DIMENSION), devices.gpu_index(recipe, devices.device(where), DIMENSION)
    for one in (exact, index):
        one.add(np.arange(len(rows)) * 2, rows)
    moved(index)
    assert index.residence.rows is not None, index.device_reason
    queries = embeddings(12, 4, DIMENSION)
    draw = np.random.default_rng(0)
    for share in (0.0, 0.001, 0.01, 0.1, 0.5, 0.9, 1.0):
        allowed = draw.random(len(rows)) < share
        same(index.search(queries, 10, allowed), exact.search(queries, 10, allowed))
        if recipe.proves or 0 < share < 0.8:
            found = index.search(queries, 10, allowed, exact=False)
            expected = exact.search(queries, 10, allowed)
            same(found, expected)


@every_device
@LISTS
def test_lists_reach_their_recall_on_both_sorts_of_queries(where: str, recipe: Recipe) -> None:
    """On queries that they were not tuned on; scores are those of the rows."""
    rows = embeddings(6000, 3, DIMENSION)
    texts = unit(embeddings(300, 8, DIMENSION, 0.5) - 0.6 * np.eye(DIMENSION, dtype=np.float32)[3])
    index = devices.gpu_index(recipe, devices.device(where), DIMENSION, query_sample=texts[:200])
    exact = ExactSearch(DIMENSION)
    for one in (exact, index):
        one.add(np.arange(len(rows)) * 2, rows)
    moved(index)
    held = index.residence
    assert held.rows is not None, index.device_reason
    recall = index.measured_recall
    assert recall is not None
    assert recall.texts is not None
    assert recall.least >= 0.999
    assert (recall.k, recall.queries, recall.rows) == (10, 256, 6000)
    assert index.spec.startswith(f"IVF{held.rows.lists},")
    for queries in (embeddings(200, 44, DIMENSION), texts[200:]):
        expected = exact.search(queries, 10)
        found = index.search(queries, 10, exact=False)
        assert set(found.how) == {"approximate"}
        held_part = np.mean([np.isin(a, b).mean() for a, b in zip(expected.ids, found.ids, strict=True)])
        assert held_part >= 0.99
        right = found.ids == expected.ids
        assert np.array_equal(found.scores[right], expected.scores[right])
        exactly = index.search(queries, 10)
        same(exactly, expected)
        assert "approximate" not in exactly.how
    assert index.approximate == 300


@every_device
def test_many_equal_vectors_are_ranked_by_id(where: str) -> None:
    """Also beyond those that a device finds: then the host looks at all."""
    index = devices.gpu_index(FLAT, devices.device(where), 8)
    ids = np.random.default_rng(1).permutation(3000)
    index.add(ids, np.repeat(embeddings(1, 1, 8), 3000, axis=0))
    found = moved(index).search(embeddings(1, 1, 8), 7)
    assert found.ids.tolist() == [list(range(7))]
    assert found.how == ("compared",)


@every_device
def test_threads_search_copies_while_another_changes(where: str) -> None:
    """Each sees the rows of the copy that it has, whatever is moved and made anew meanwhile."""
    index = devices.gpu_index(FLAT, devices.device(where), DIMENSION)
    exact = ExactSearch(DIMENSION)
    for one in (exact, index):
        one.add(np.arange(800), embeddings(800, 0, DIMENSION))
    moved(index)
    states: list[tuple[GpuIndex, ExactSearch]] = [(index, exact)]
    wrong: list[str] = []
    ended = threading.Event()

    def read(number: int) -> None:
        turn = 0
        while not ended.is_set() or turn < 10:
            mine, kept = states[-1]
            queries = embeddings(1 + turn % 4, number * 1000 + turn, DIMENSION)
            found, expected = mine.search(queries, 9), kept.search(queries, 9)
            if not (
                np.array_equal(found.ids, expected.ids) and np.array_equal(found.scores, expected.scores)
            ):
                wrong.append(f"{number} in turn {turn}")
            turn += 1

    threads = [threading.Thread(target=read, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    draw = np.random.default_rng(0)
    for turn in range(12):
        fast, slow = states[-1][0].copy(), states[-1][1].copy()
        for one in (fast, slow):
            one.add(np.arange(70) + 1000 * (turn + 1), embeddings(70, turn + 1, DIMENSION))
        # The same ids come again with other vectors, as those of series do when an image comes.
        again = draw.choice(fast.ids, 60, replace=False)
        for one in (fast, slow):
            one.remove(again)
            one.add(again[:30], embeddings(30, turn + 50, DIMENSION))
        states.append((fast, slow))
        moved(fast)
    ended.set()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert index.residence.owner.requests > 20  # type: ignore[union-attr]


@every_recipe
def test_a_file_is_that_of_the_kind_on_the_host(recipe: Recipe, tmp_path: Path) -> None:
    index = devices.gpu_index(recipe, devices.device("processor"), 8)
    index.add(np.array([9, 3, 5]), embeddings(3, 0, 8))
    file = tmp_path / "index"
    with file.open("wb") as stream:
        index.write(stream)
    again, plain = read_gpu_index(recipe, file, 8), read_bounded(file, 8)
    assert again is not None
    assert plain is not None
    assert again.ids.tolist() == plain.ids.tolist() == [9, 3, 5]
    assert np.array_equal(again.rows(again.ids), embeddings(3, 0, 8))
    assert again.memory() == plain.memory()
    assert read_gpu_index(recipe, file, 16) is None
    assert read_gpu_index(recipe, tmp_path / "absent", 8) is None


def test_without_a_gpu_the_host_answers_and_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    import faiss

    monkeypatch.setattr(faiss, "get_num_gpus", lambda: 0)
    index, host = new_gpu_index(FLAT, 8, least=2), BoundedIndex(8)
    for one in (index, host):
        one.add(np.arange(30), embeddings(30, 1, 8))
    for _ in range(3):
        same(index.search(embeddings(4, 2, 8), 5), host.search(embeddings(4, 2, 8), 5))
    assert (index.device, index.device_reason) == ("cpu", "faiss sees no GPU")
    assert index.spec == host.spec
    with pytest.raises(KeyError):
        index.rows(np.array([77]))


@every_device
def test_a_single_search_moves_nothing_and_the_second_does(where: str) -> None:
    """A command that asks once would wait for the device at its end."""
    index = devices.gpu_index(FLAT, devices.device(where), 8, least=20)
    index.add(np.arange(19), embeddings(19, 1, 8))
    for _ in range(3):
        index.search(embeddings(1, 2, 8), 3)
    index.residence.settle()
    assert index.residence.rows is None
    assert index.device_reason == "fewer than 20 vectors are searched faster on the processor"
    grown = index.copy()
    grown._searches = 0
    grown.add(np.array([50]), embeddings(1, 3, 8))
    assert grown.device_reason == "the vectors are not on the device yet"
    grown.search(embeddings(1, 2, 8), 3)
    grown.residence.settle()
    assert grown.residence.rows is None
    grown.search(embeddings(1, 2, 8), 3)
    grown.residence.settle()
    assert grown.residence.rows is not None
    assert grown.search(embeddings(1, 2, 8), 0).ids.shape == (1, 0)
    assert grown.search(np.empty((0, 8), np.float32), 3).ids.shape == (0, 3)


@every_device
def test_scores_are_rounded_once_as_those_of_every_kind(where: str) -> None:
    """Of the second row the exact score is just above the middle of two of float32, which a sum in float64
    does not see.
    """
    rows = embeddings(60, 3, DIMENSION)
    rows[:, :4] = 0
    rows[:2] = np.eye(1, DIMENSION)
    rows[1, 1:3] = 2.0**-24, 2.0**-59
    query = np.zeros((1, DIMENSION), np.float32)
    query[0, :4] = 0.5
    index, exact = devices.gpu_index(FLAT, devices.device(where), DIMENSION), ExactSearch(DIMENSION)
    for one in (index, exact):
        one.add(np.arange(60), rows)
    moved(index)
    assert exact.search(query, 2).ids.tolist() == [[1, 0]]
    for k in (1, 2):
        same(index.search(query, k), exact.search(query, k))
    assert index.residence.rows is not None
