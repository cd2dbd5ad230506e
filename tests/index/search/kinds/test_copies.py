"""Copies of an index: what one thread changes is not seen by those that search another."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest

from medsiglip.index.search.kinds import bounded, bounded_search, row_blocks
from medsiglip.index.search.kinds.bounded import BoundedIndex, read_bounded
from medsiglip.index.search.kinds.coded_rows import CodedRows
from medsiglip.index.search.kinds.faiss_flat import FaissFlat
from medsiglip.index.search.kinds.vector_search import ExactSearch, VectorSearch
from tests.index.search.kinds.hostile_vectors import DIMENSION, HOSTILE


def _rows(count: int, seed: int) -> np.ndarray:
    return HOSTILE["plain"](np.random.default_rng(seed), count, 1).rows


@pytest.fixture(params=["bounded", "without codes", "read", "flat", "exact"])
def index(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> VectorSearch:
    """300 rows, in blocks of 64."""
    monkeypatch.setattr(row_blocks, "ROWS", 64)
    monkeypatch.setattr(bounded, "_LOOKING", 0.0)
    monkeypatch.setattr(bounded, "_FEW", 8)
    monkeypatch.setattr(bounded_search, "_FIRST", 10)
    made: VectorSearch
    match request.param:
        case "flat":
            made = FaissFlat(DIMENSION)
        case "exact":
            made = ExactSearch(DIMENSION)
        case _:
            made = BoundedIndex(DIMENSION, least=1000 if request.param == "without codes" else 100)
    made.add(np.arange(300), _rows(300, 1))
    if request.param == "read":
        assert isinstance(made, BoundedIndex)
        with (tmp_path / "index").open("wb") as stream:
            made.write(stream)
        read = read_bounded(tmp_path / "index", DIMENSION)
        assert read is not None
        made = read
    return made


def test_changes_of_copies_are_seen_nowhere_else(index: VectorSearch) -> None:
    """Copies of copies, each added to and taken from in turn, against indexes of their own."""
    draw = np.random.default_rng(0)
    truth = ExactSearch(DIMENSION)
    truth.add(index.ids, index.rows(index.ids))
    pairs = [(index, truth)]
    new = 1000
    for step in range(25):
        one, theirs = pairs[int(draw.integers(len(pairs)))]
        one, theirs = one.copy(), theirs.copy()
        for changed in (one, theirs):
            if step % 3:
                changed.add(np.arange(new, new + 40), _rows(40, step))
            else:
                changed.remove(theirs.ids[step % 5 :: 5].copy())
        new += 40
        pairs.append((one, theirs))
    asked = _rows(3, 77)
    for one, theirs in pairs:
        assert np.array_equal(one.ids, theirs.ids)
        assert np.array_equal(one.rows(theirs.ids), theirs.rows(theirs.ids))
        assert np.array_equal(one.search(asked, 10).ids, theirs.search(asked, 10).ids)


def test_threads_search_while_a_copy_changes(index: VectorSearch) -> None:
    asked = _rows(40, 5)
    expected = [index.search(asked, 10).ids, index.search(asked[:1], 10).ids]
    wrong: list[np.ndarray] = []
    done = threading.Event()

    def search() -> None:
        while not done.is_set():
            for queries, ids in zip((asked, asked[:1]), expected, strict=True):
                found = index.search(queries, 10).ids
                if not np.array_equal(found, ids):
                    wrong.append(found)

    readers = [threading.Thread(target=search) for _ in range(3)]
    for reader in readers:
        reader.start()
    latest = index
    for step in range(30):
        latest = latest.copy()
        latest.add(np.arange(1000 + 20 * step, 1020 + 20 * step), _rows(20, step))
        latest.remove(latest.ids[step::11].copy())
    done.set()
    for reader in readers:
        reader.join()
    assert not wrong


def test_what_is_read_is_mapped_and_not_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounded, "_LOOKING", 0.0)
    made = BoundedIndex(DIMENSION, least=100)
    made.add(np.arange(300), _rows(300, 1))
    assert made.memory().mapped == 0
    with (tmp_path / "index").open("wb") as stream:
        made.write(stream)
    monkeypatch.setattr(CodedRows, "_add_codes", lambda *_: pytest.fail("codes were made again"))
    read = read_bounded(tmp_path / "index", DIMENSION)
    assert read is not None
    held = made.memory()
    assert read.memory() == (0, 0, held.codes + held.vectors)
    assert read.held.error == made.held.error > 0
