"""Bounds of inner products by codes, and the answers that they prove."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from medsiglip.index.search.kinds import bounded, bounded_search, row_blocks
from medsiglip.index.search.kinds.best_rows import best_rows, rounding
from medsiglip.index.search.kinds.bounded import BoundedIndex, read_bounded
from medsiglip.index.search.kinds.bounded_file import is_whole
from medsiglip.index.search.kinds.projection import Projection, principal_axes
from medsiglip.index.search.kinds.row_blocks import RowBlocks
from medsiglip.index.search.kinds.vector_search import ExactSearch

DIMENSION = 64


def unit(vectors: np.ndarray) -> np.ndarray:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)


def embeddings(count: int, seed: int, spread: float = 1.2) -> np.ndarray:
    """Unit vectors in clusters, off the origin, with a spectrum that falls as embeddings' does."""
    draw = np.random.default_rng(seed)
    axes = np.arange(2, DIMENSION + 2) ** -spread
    centres = np.random.default_rng(7).standard_normal((12, DIMENSION)) * axes
    vectors = centres[draw.integers(0, 12, count)] + 0.4 * draw.standard_normal((count, DIMENSION)) * axes
    return unit(vectors + 0.3 * np.eye(DIMENSION)[3])


def hostile(seed: int) -> np.ndarray:
    """Equal vectors, vectors that differ in the last bits, and all along one direction."""
    draw = np.random.default_rng(seed)
    few = embeddings(40, seed)
    near = unit(few[draw.integers(0, 40, 300)] + 1e-7 * draw.standard_normal((300, DIMENSION)))
    along = unit(few[:1] + 1e-4 * draw.standard_normal((200, DIMENSION)))
    return np.concatenate([few, few[::-1], near, along, -along[:20]])


SETS = {
    "embeddings": lambda seed: embeddings(600, seed),
    "flat spectrum": lambda seed: embeddings(600, seed, 0.0),
    "hostile": hostile,
}
every_set = pytest.mark.parametrize("name", SETS)


@every_set
def test_no_inner_product_is_above_its_bound(name: str) -> None:
    """400,000 pairs of each sort, some of rows that the axes were not learnt on."""
    for seed in range(12):
        rows, queries = SETS[name](seed), np.concatenate([embeddings(30, seed + 50), hostile(seed)[:30]])
        axes = principal_axes(rows[: len(rows) // 2], queries[:5], rows.shape[1])
        assert np.allclose(axes.T @ axes, np.eye(DIMENSION), atol=1e-13)
        for width in (2, 9, 33):
            projection = Projection(axes[:, : width - 1])
            codes = projection.codes(rows)
            stored = codes.astype(np.float16).astype(np.float32)
            error = np.linalg.norm(codes - stored, axis=1).max()
            bounds = projection.codes(queries).astype(np.float32) @ stored.T
            exact = queries.astype(np.float64) @ rows.astype(np.float64).T
            assert (bounds + error + 2 * rounding(width) >= exact).all()


@pytest.fixture
def codes_at_any_cost(monkeypatch: pytest.MonkeyPatch) -> None:
    """Codes and proofs for small indexes too, which would be compared row by row."""
    monkeypatch.setattr(bounded, "_LOOKING", 0.0)
    monkeypatch.setattr(bounded, "_FEW", 8)
    monkeypatch.setattr(bounded_search, "_FIRST", 4)
    monkeypatch.setattr(bounded_search, "_FEW", 128)


@every_set
@pytest.mark.parametrize("queries", [1, 3, 30])
@pytest.mark.usefixtures("codes_at_any_cost")
def test_answers_are_those_of_the_definition(name: str, queries: int) -> None:
    rows = SETS[name](3)
    index, exact = BoundedIndex(DIMENSION, embeddings(20, 9), least=100), ExactSearch(DIMENSION)
    for start in range(0, len(rows), 130):
        ids = np.arange(start, min(start + 130, len(rows)))[::-1] * 7 + 5
        for one in (index, exact):
            one.add(ids, rows[start : start + 130])
    assert index.spec.startswith("Bound")
    asked = np.concatenate([embeddings(queries, 4), rows[:queries]])
    draw = np.random.default_rng(0)
    masks = [draw.random(len(rows)) < share for share in (0.0, 0.03, 0.5, 0.95, 1.0)]
    for allowed in (None, *masks):
        for k in (1, 10, 60, 2000):
            scores, found, *_ = index.search(asked, k, allowed)
            expected_scores, expected, *_ = exact.search(asked, k, allowed)
            assert np.array_equal(found, expected)
            assert np.array_equal(scores, expected_scores)


def test_bounds_prove_answers_where_few_axes_hold_most_of_the_length(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a comparison with every row: the share that is said to be proven is that which is."""
    rows = embeddings(4000, 1, 2.5)
    index = BoundedIndex(DIMENSION, embeddings(30, 2, 2.5), least=1000)
    index.add(np.arange(len(rows)), rows)
    assert index.spec.startswith("Bound")
    compared: list[int] = []

    def noted(queries: np.ndarray, blocks: Any, count: int) -> Any:
        compared.append(count)
        return best_rows(queries, blocks, count)

    monkeypatch.setattr(bounded_search, "best_rows", noted)
    index.search(embeddings(5, 3, 2.5), 10)
    assert (index.share.proven, index.share.answers, compared) == (5, 5, [])


def test_no_codes_where_they_would_cost_more_than_they_save() -> None:
    rows = embeddings(3000, 1, 0.0)
    draw = np.random.default_rng(5)
    index = BoundedIndex(DIMENSION, unit(draw.standard_normal((30, DIMENSION))), least=1000)
    index.add(np.arange(len(rows)), rows)
    assert index.spec == "Flat"
    exact = ExactSearch(DIMENSION)
    exact.add(np.arange(len(rows)), rows)
    asked = unit(draw.standard_normal((9, DIMENSION)))
    assert np.array_equal(index.search(asked, 10)[1], exact.search(asked, 10)[1])
    assert index.share.proven == 0


@pytest.mark.parametrize("in_memory", [0, 400, 1 << 30])
def test_rows_in_blocks_are_the_rows(in_memory: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """In memory, and mapped from a file as soon as there are more bytes of them; copies stay as they were."""
    monkeypatch.setattr(row_blocks, "ROWS", 16)
    monkeypatch.setattr(row_blocks, "IN_MEMORY", in_memory)
    draw = np.random.default_rng(0)
    held = draw.standard_normal((50, 3)).astype(np.float32)
    blocks, copies = RowBlocks.of(3, [held]), []
    for step in range(60):
        if step % 3 and len(held):
            kept = draw.random(len(held)) < 0.8
            held = held[kept]
            blocks.keep(kept)
        else:
            more = draw.standard_normal((int(draw.integers(0, 40)), 3)).astype(np.float32)
            held = np.concatenate([held, more])
            blocks.append(more)
        assert len(blocks) == len(held)
        places = draw.integers(0, len(held), 30) if len(held) else np.empty(0, np.int64)
        assert np.array_equal(blocks.take(places), held[places])
        assert np.array_equal(blocks.span(len(held) // 3, len(held)), held[len(held) // 3 :])
        copies.append((blocks.copy(), held))
        whole = [block for _, block in blocks.blocks()]
        assert np.array_equal(np.concatenate([*whole, held[:0]]), held)
        assert [start for start, _ in blocks.blocks()] == np.cumsum([0, *map(len, whole)])[:-1].tolist()
        if step % 7 == 3:
            # Whichever of two copies grows first, the other does not see it.
            blocks, held = copies[int(draw.integers(len(copies)))]
            blocks = blocks.copy()
    for former, theirs in copies:
        assert np.array_equal(former.take(np.arange(len(theirs))), theirs)
    mapped = sum(not block.flags.writeable for former, _ in copies for _, block in former.blocks())
    assert bool(mapped) == (in_memory < 1 << 30)


def written(tmp_path: Path, rows: np.ndarray) -> tuple[BoundedIndex, Path]:
    index = BoundedIndex(DIMENSION, embeddings(30, 2, 2.5), least=1000)
    index.add(np.arange(len(rows))[::-1] * 3, rows)
    assert index.spec.startswith("Bound")
    file = tmp_path / "index"
    with file.open("wb") as stream:
        index.write(stream)
    return index, file


def test_an_index_that_was_read_gives_the_same_answers_and_does_not_learn_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bounded, "LEAST", 1000)
    rows = embeddings(1500, 1, 2.5)
    index, file = written(tmp_path, rows)
    again = read_bounded(file, DIMENSION)
    assert again is not None
    file.unlink()  # what was mapped outlives its name
    asked = embeddings(9, 3, 2.5)
    assert again.spec == index.spec
    assert np.array_equal(again.search(asked, 20)[0], index.search(asked, 20)[0])
    assert np.array_equal(again.search(asked, 20)[1], index.search(asked, 20)[1])
    monkeypatch.setattr(BoundedIndex, "learn", lambda self: pytest.fail("axes were learnt again"))
    again.add(np.array([7]), embeddings(1, 4, 2.5))
    assert again.search(embeddings(1, 4, 2.5), 1)[1].tolist() == [[7]]


@pytest.mark.parametrize("start", [0, 4096])
def test_no_damage_of_a_file_is_an_error_or_a_wrong_answer(tmp_path: Path, start: int) -> None:
    """A bit flipped in each part of a file: it is not read if that can prove what is not so, and `is_whole`
    sees it anyway.
    """
    rows = embeddings(1000, 1, 2.5)
    index, file = written(tmp_path, rows)
    whole = bytes(start) + file.read_bytes()
    file.write_bytes(whole)
    assert is_whole(file)
    again = read_bounded(file, DIMENSION, start)
    assert again is not None
    assert np.array_equal(again.rows(index.ids), rows)
    assert read_bounded(file, DIMENSION, start + 64) is None
    content = bytearray(whole)
    held = index.held
    assert held.projection is not None
    ids, axes, codes = held.ids.tobytes(), held.projection.axes.tobytes(), held.codes.span(0, 1000).tobytes()
    draw = np.random.default_rng(0)
    for part, proves in ((ids, True), (axes, True), (codes, True), (rows.tobytes(), False)):
        begin = whole.index(part)
        for _ in range(12):
            byte, bit = begin + int(draw.integers(len(part))), int(draw.integers(8))
            content[byte] ^= 1 << bit
            file.write_bytes(content)
            assert not is_whole(file)
            assert (read_bounded(file, DIMENSION, start) is None) == proves
            content[byte] ^= 1 << bit
    described = len(whole) - whole.index(b'{"format"')
    for byte in range(1, described + 1, 3):
        content[-byte] ^= 1 << int(draw.integers(8))
        file.write_bytes(content)
        assert read_bounded(file, DIMENSION, start) is None
        content[-byte] = whole[-byte]
    for kept in (0, 5, len(whole) // 2, len(whole) - 1):
        file.write_bytes(whole[:kept])
        assert read_bounded(file, DIMENSION, start) is None
        assert not is_whole(file)
