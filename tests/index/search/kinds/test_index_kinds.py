"""Every index kind against the exact definition, through `VectorSearch`: the same calls, the same answers."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medsiglip.index.search.kinds import quick_learning
from medsiglip.index.search.kinds.bounded import BoundedIndex
from medsiglip.index.search.kinds.index_kinds import KINDS, IndexKind
from medsiglip.index.search.kinds.quick import QuickIndex
from medsiglip.index.search.kinds.quick_learning import RECALL
from medsiglip.index.search.kinds.vector_search import ExactSearch, VectorSearch
from tests.index.index_cases import unit_vectors
from tests.index.search.kinds import embeddings
from tests.index.search.kinds.embeddings import pictures, texts
from tests.repository import ROOT

ADD = st.tuples(st.just("add"), st.integers(1, 60), st.integers(0, 5))
REMOVE = st.tuples(st.just("remove"), st.integers(1, 40), st.integers(0, 10**6))
SEARCH = st.tuples(st.just("search"), st.integers(1, 80), st.integers(0, 10**6))

# Codes from a few rows on, so that small indexes have them too.
CODED = replace(KINDS["bounded"], new=partial(BoundedIndex, least=20))
ALL = {**KINDS, "coded": CODED, "quickly": replace(KINDS["quick"], new=partial(QuickIndex, least=20))}
every_kind = pytest.mark.parametrize("kind", ALL.values(), ids=list(ALL))
DIMENSION = 40


def focused(count: int, seed: int) -> np.ndarray:
    """Unit vectors with most of their length on few axes, as embeddings have."""
    vectors = unit_vectors(count, seed, DIMENSION) * np.arange(1, DIMENSION + 1) ** -1.5
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)


@pytest.mark.long(every=3)
@every_kind
@settings(max_examples=25, deadline=None)
@given(life=st.lists(st.one_of(ADD, REMOVE, SEARCH), min_size=3, max_size=12))
def test_agrees_with_the_definition(kind: IndexKind, life: list[tuple[str, int, int]]) -> None:
    exact: VectorSearch = ExactSearch(DIMENSION)
    fast: VectorSearch = kind.new(DIMENSION)
    next_id = 0
    for verb, count, seed in life:
        if verb == "add":
            # Few seeds: the same vectors come again under other ids, so that scores tie.
            ids = np.arange(next_id, next_id + count) * 3 + 1
            next_id += count
            for index in (exact, fast):
                index.add(ids, focused(count, seed))
        elif verb == "remove" and len(exact.ids):
            gone = np.random.default_rng(seed).choice(exact.ids, min(count, len(exact.ids)), replace=False)
            for index in (exact, fast):
                index.remove(np.append(gone, 10**9))
        else:
            few = focused(3, seed), focused(1, 0), unit_vectors(1, seed, DIMENSION)
            draw = np.random.default_rng(seed)
            for queries in (np.concatenate(few), np.concatenate([*few, focused(12, seed + 1)])):
                for allowed in (None, draw.random(len(exact.ids)) < draw.random()):
                    expected = exact.search(queries, count, allowed)
                    found = fast.search(queries, count, allowed)
                    assert np.array_equal(found[1], expected[1])
                    assert np.array_equal(found[0], expected[0])
    assert sorted(fast.ids) == sorted(exact.ids)
    if len(exact.ids):
        assert np.array_equal(fast.rows(exact.ids[::-1]), exact.rows(exact.ids[::-1]))


@pytest.mark.long(every=3)
@pytest.mark.parametrize("name", KINDS)
def test_answers_that_may_miss_some_hold_the_stated_recall(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pictures and texts that the index did not see, with removals, duplicates, filters and many neighbours;
    a kind that is exact answers exactly without being asked to.
    """
    # No clock: codes are used at any cost, and the narrowest ones that reach the recall are chosen.
    monkeypatch.setattr(quick_learning, "milliseconds", lambda *_: 1.0)
    monkeypatch.setattr(quick_learning, "_WORTH", 2.0)
    rows = pictures(9000, 1)
    rows[:60] = rows[60:120]
    index, exact = KINDS[name].new(embeddings.DIMENSION, texts(200, 5)), ExactSearch(embeddings.DIMENSION)
    draw = np.random.default_rng(1)
    ids = draw.permutation(9000) + 5
    gone = draw.choice(ids, 200, replace=False)
    for one in (index, exact):
        one.add(ids[:8600], rows[:8600])
        one.remove(gone)
        one.add(ids[8600:], rows[8600:])
    everything = len(exact.ids)
    masks = [None, *(draw.random(everything) < share for share in (0.97, 0.3, 0.001, 0.0))]
    for queries in (pictures(200, 50), texts(200, 51)):
        for allowed in masks:
            for k in (1, 10, 25):
                answer = index.search(queries, k, allowed, exact=False)
                expected = exact.search(queries, k, allowed)
                assert answer.ids.shape == expected.ids.shape
                assert allowed is None or np.isin(answer.ids, exact.ids[allowed]).all()
                sure = np.array([how != "approximate" for how in answer.how])
                assert np.array_equal(answer.ids[sure], expected.ids[sure])
                assert not answer.ids.size or embeddings.recall(answer, expected) >= RECALL
                assert np.array_equal(index.search(queries, k, allowed).ids, expected.ids)
    both = index.search(rows[:2], everything + 5, exact=False), exact.search(rows[:2], everything + 5)
    assert np.array_equal(both[0].ids, both[1].ids)


@every_kind
def test_many_equal_vectors_are_ranked_by_id(kind: IndexKind) -> None:
    """Also beyond those that an index fetches first."""
    index = kind.new(8)
    ids = np.random.default_rng(1).permutation(500)
    index.add(ids, np.repeat(unit_vectors(1, 1, 8), 500, axis=0))
    assert index.search(unit_vectors(1, 1, 8), 7)[1].tolist() == [list(range(7))]


@every_kind
def test_unknown_rows_are_refused(kind: IndexKind) -> None:
    for index in (kind.new(8), ExactSearch(8)):
        index.add(np.array([4, 2]), unit_vectors(2, 0, 8))
        for unknown in ([3], [2, 5], [-1]):
            with pytest.raises(KeyError) as caught:
                index.rows(np.array(unknown))
            assert caught.value.args == (unknown[-1],)


@every_kind
def test_a_file_of_another_dimension_or_content_is_not_read(kind: IndexKind, tmp_path: Path) -> None:
    index = kind.new(8)
    index.add(np.array([9, 3, 5]), unit_vectors(3, 0, 8))
    file = tmp_path / "index"
    with file.open("wb") as stream:
        kind.write(index, stream)
    again = kind.read(file, 8)
    assert again is not None
    assert again.ids.tolist() == [9, 3, 5]
    assert kind.read(file, 16) is None
    file.write_bytes(file.read_bytes()[:-5])
    assert kind.read(file, 8) is None
    assert kind.read(tmp_path / "absent", 8) is None


def test_flat_indexes_are_written_and_read_once_simpleitk_is_loaded(tmp_path: Path) -> None:
    """FAISS and SimpleITK are both made by SWIG, which has one table of types for all modules
    of a process.
    """
    program = (
        "import pathlib, sys, faiss, SimpleITK\n"
        "import numpy as np\n"
        "from medsiglip.index.search.kinds.index_kinds import KINDS\n"
        "file, kind = pathlib.Path(sys.argv[1]), KINDS['flat']\n"
        "index = kind.new(4)\n"
        "index.add(np.array([7, 3]), np.eye(4, dtype=np.float32)[:2])\n"
        "with file.open('wb') as stream: kind.write(index, stream)\n"
        "print(kind.read(file, 4).ids.tolist())\n"
    )
    command = [sys.executable, "-W", "ignore", "-c", program, str(tmp_path / "index")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert (done.stdout, done.returncode) == ("[7, 3]\n", 0), done.stderr


@pytest.mark.parametrize("modules", ["SimpleITK, faiss", "faiss, SimpleITK"])
def test_kinds_with_codes_search_beside_simpleitk(tmp_path: Path, modules: str) -> None:
    """As in a process that ingests, or that reads a volume: FAISS shares SWIG's table of types with it."""
    program = (
        f"import pathlib, sys, {modules}\n"
        "import numpy as np\n"
        "from medsiglip.index.search.kinds.index_kinds import KINDS\n"
        "rows = np.random.default_rng(1).standard_normal((9000, 64)) * np.arange(1, 65) ** -1.5\n"
        "rows = np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), np.float32)\n"
        "for name, kind in KINDS.items():\n"
        "    index, file = kind.new(64), pathlib.Path(sys.argv[1]) / name\n"
        "    index.add(np.arange(9000), rows)\n"
        "    index.remove(np.arange(5))\n"
        "    index.add(np.arange(5), rows[:5])\n"
        "    with file.open('wb') as stream: kind.write(index, stream)\n"
        "    for one in (index, index.copy(), kind.read(file, 64)):\n"
        "        found = [one.search(rows[:20], 1, exact=exact).ids[:, 0] for exact in (True, False)]\n"
        "        few = one.search(rows[:20], 1, one.ids < 10).ids[:10, 0]\n"
        "        print(name, *((np.arange(len(ids)) == ids).all() for ids in (*found, few)))\n"
    )
    command = [sys.executable, "-W", "ignore", "-c", program, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [f"{name} True True True" for name in KINDS for _ in range(3)]


@pytest.mark.parametrize("name", ["flat", "bounded", "quick"])
def test_every_answer_is_counted_by_copies_too(name: str) -> None:
    index = KINDS[name].new(DIMENSION)
    index.add(np.arange(300), focused(300, 1))
    queries, few = focused(7, 2), np.arange(300) < 20
    for one in (index, index.copy()):
        one.search(queries, 5)
        one.search(queries[:2], 5, few)
    assert getattr(index, "share").answers == 18  # noqa: B009
