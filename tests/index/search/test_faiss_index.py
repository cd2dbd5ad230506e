"""FAISS against its definition: the same random life, the same answers."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medsiglip.index.search.exact import ExactSearch, top
from medsiglip.index.search.faiss_index import FaissIndex, discard_snapshot, snapshot_shards
from tests.index.index_cases import unit_vectors
from tests.repository import ROOT

ADD = st.tuples(st.just("add"), st.integers(1, 60), st.integers(0, 5))
REMOVE = st.tuples(st.just("remove"), st.integers(1, 40), st.integers(0, 10**6))
SEARCH = st.tuples(st.just("search"), st.integers(1, 80), st.integers(0, 10**6))


def test_known_answer_with_equal_scores_by_lower_id() -> None:
    vectors = np.array([[1, 0], [0, 1], [1, 0], [0.6, 0.8]], np.float32)
    scores, ids = top(np.array([[1, 0]], np.float32), np.array([30, 20, 10, 40]), vectors, 9)
    assert ids.tolist() == [[10, 30, 40, 20]]
    assert scores.tolist() == [[1, 1, np.float32(0.6), 0]]


@settings(max_examples=25, deadline=None)
@given(st.lists(st.one_of(ADD, REMOVE, SEARCH), min_size=3, max_size=12))
def test_agrees_with_the_definition(life: list[tuple[str, int, int]]) -> None:
    exact, fast = ExactSearch(8), FaissIndex(8)
    next_id = 0
    for verb, count, seed in life:
        if verb == "add":
            # Few seeds: the same vectors come again under other ids, so that scores tie.
            ids = np.arange(next_id, next_id + count) * 3 + 1
            next_id += count
            for index in (exact, fast):
                index.add(ids, unit_vectors(count, seed, 8))
        elif verb == "remove" and len(exact.ids):
            gone = np.random.default_rng(seed).choice(exact.ids, min(count, len(exact.ids)), replace=False)
            for index in (exact, fast):
                index.remove(np.append(gone, 10**9))
        else:
            queries = np.concatenate([unit_vectors(3, seed, 8), unit_vectors(1, 0, 8)])
            expected, found = exact.search(queries, count), fast.search(queries, count)
            assert np.array_equal(found[1], expected[1])
            assert np.array_equal(found[0], expected[0])
    assert sorted(fast.ids) == sorted(exact.ids)
    if len(exact.ids):
        assert np.array_equal(fast.rows(exact.ids[::-1]), exact.rows(exact.ids[::-1]))


def test_many_equal_vectors_are_ranked_by_id_beyond_what_faiss_fetches_first() -> None:
    index = FaissIndex(8)
    ids = np.random.default_rng(1).permutation(500)
    index.add(ids, np.repeat(unit_vectors(1, 1, 8), 500, axis=0))
    assert index.search(unit_vectors(1, 1, 8), 7)[1].tolist() == [list(range(7))]


def test_unknown_rows_are_refused() -> None:
    index = FaissIndex(8)
    index.add(np.array([4, 2]), unit_vectors(2, 0, 8))
    for unknown in ([3], [2, 5], [-1]):
        with pytest.raises(KeyError):
            index.rows(np.array(unknown))


@pytest.fixture
def saved(tmp_path: Path) -> FaissIndex:
    index = FaissIndex(8)
    index.add(np.array([9, 3, 5]), unit_vectors(3, 0, 8))
    index.save(tmp_path, "space", ["b", "a"])
    return index


def test_a_snapshot_is_the_same_index_and_can_live_on(saved: FaissIndex, tmp_path: Path) -> None:
    loaded = FaissIndex.load(tmp_path, "space", 8)
    assert loaded is not None
    assert loaded.ids.tolist() == [9, 3, 5]
    assert np.array_equal(loaded.matrix, saved.matrix)
    assert snapshot_shards(tmp_path, "space") == {"a", "b"}
    loaded.remove(np.array([3]))
    loaded.add(np.array([7]), unit_vectors(1, 4, 8))
    loaded.save(tmp_path, "space", ["c"])
    again = FaissIndex.load(tmp_path, "space", 8)
    assert again is not None
    assert again.ids.tolist() == [9, 5, 7]
    assert again.search(unit_vectors(1, 4, 8), 1)[1].tolist() == [[7]]


@pytest.mark.parametrize(
    "damage", ["absent", "truncated", "garbage", "format", "dimension", "no list", "bad list"]
)
def test_a_snapshot_that_cannot_be_used_is_none(saved: FaissIndex, tmp_path: Path, damage: str) -> None:
    vectors, description = tmp_path / "space.faiss", tmp_path / "space.json"
    content = vectors.read_bytes()
    said = json.loads(description.read_bytes())
    match damage:
        case "absent":
            vectors.unlink()
        case "truncated":
            vectors.write_bytes(content[:-5])
        case "garbage":
            vectors.write_bytes(bytes(len(content)))
        case "format":
            description.write_text(json.dumps(said | {"format": said["format"] + 1}))
        case "no list":
            description.unlink()
        case "bad list":
            description.write_text("[")
    assert FaissIndex.load(tmp_path, "space", 16 if damage == "dimension" else 8) is None


def test_a_discarded_snapshot_is_gone(saved: FaissIndex, tmp_path: Path) -> None:
    discard_snapshot(tmp_path, "space")
    discard_snapshot(tmp_path, "space")
    assert list(tmp_path.iterdir()) == []


def test_a_snapshot_can_be_written_and_read_once_simpleitk_is_loaded(tmp_path: Path) -> None:
    """Both are made by SWIG, which has one table of types for all modules of a process."""
    program = (
        "import pathlib, sys, faiss, SimpleITK\n"
        "import numpy as np\n"
        "from medsiglip.index.search.faiss_index import FaissIndex\n"
        "folder = pathlib.Path(sys.argv[1])\n"
        "index = FaissIndex(4)\n"
        "index.add(np.array([7, 3]), np.eye(4, dtype=np.float32)[:2])\n"
        "index.save(folder, 'space', ['shard'])\n"
        "print(FaissIndex.load(folder, 'space', 4).ids.tolist())\n"
    )
    command = [sys.executable, "-W", "ignore", "-c", program, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert (done.stdout, done.returncode) == ("[7, 3]\n", 0), done.stderr
