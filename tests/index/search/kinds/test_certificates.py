"""An answer that is said to be proven is the true one, to the last bit, whatever the vectors."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from medsiglip.index.search.kinds import batch_bounds, bounded, bounded_search, row_blocks
from medsiglip.index.search.kinds.bounded import BoundedIndex
from medsiglip.index.search.kinds.exact_scores import exact_scores
from medsiglip.index.search.kinds.faiss_flat import FaissFlat
from medsiglip.index.search.kinds.vector_search import ExactSearch, VectorSearch
from tests.index.search.kinds.hostile_vectors import DIMENSION, HOSTILE, true_answer, true_scores

QUERIES = 25
every_set = pytest.mark.parametrize("name", HOSTILE)


@pytest.fixture
def small_steps(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Codes, blocks, rounds and narrow codes for some hundred rows, and a proof tried for every query."""
    for module, values in (
        (bounded, {"_LOOKING": 0.0, "_FEW": 8}),
        (bounded_search, {"_FIRST": 6, "_AT_ONCE": 2, "_FEW": 150, "_RARELY": 0.0, "_BATCH": 8}),
        (batch_bounds, {"_ROWS": 32, "_QUERIES": 7, "_NARROW": 4, "_WIDE": 6, "_FIRST": 2, "_GROWTH": 2}),
        (row_blocks, {"ROWS": 64}),
    ):
        for key, value in values.items():
            monkeypatch.setattr(module, key, value)
    return monkeypatch


def _wrong(
    index: VectorSearch, rows: np.ndarray, queries: np.ndarray, draw: np.random.Generator
) -> Counter[str]:
    """How the answers to queries were found, under some masks, k and numbers of queries at once; fails at a
    wrong one.
    """
    found: Counter[str] = Counter()
    count = len(rows)
    masks = [None, draw.random(count) < draw.choice([0.1, 0.5, 0.99])]
    for allowed in masks:
        within = count if allowed is None else int(allowed.sum())
        k = int(draw.choice([1, 5, 10, max(1, within - int(draw.integers(0, 9))), within + 3]))
        k_true = min(k, within)
        step = int(draw.choice([1, 3, len(queries)]))
        for start in range(0, len(queries), step):
            asked = queries[start : start + step]
            scores, ids, how, _ = index.search(asked, k, allowed)
            true, true_ids = true_answer(rows, index.ids, asked, k_true, allowed)
            assert np.array_equal(ids, true_ids)
            assert np.array_equal(scores, true)
            found.update(how)
    return found


def _tried(name: str, seed: int, patch: pytest.MonkeyPatch) -> Counter[str]:
    draw = np.random.default_rng(seed)
    count = int(draw.integers(120, 260))
    hostile = HOSTILE[name](draw, count, QUERIES)
    patch.setattr(bounded, "_WIDTHS", (int(draw.choice([4, 8, 16])),))
    index = BoundedIndex(DIMENSION, hostile.queries[:5] if seed % 2 else None, least=100)
    ids = draw.permutation(3 * count)[:count]
    for start in range(0, count, 110):
        index.add(ids[start : start + 110], hostile.rows[start : start + 110])
    return _wrong(index, hostile.rows, hostile.queries, draw)


@every_set
def test_answers_are_true_to_the_last_bit(name: str, small_steps: pytest.MonkeyPatch) -> None:
    found = Counter[str]()
    for seed in range(3):
        found += _tried(name, seed, small_steps)
    assert found.keys() <= {"proven", "compared"}
    assert found["proven"] > 5 or name not in ("plain", "tiny", "along")


@pytest.mark.campaign
@every_set
def test_no_certificate_is_wrong(name: str, small_steps: pytest.MonkeyPatch) -> None:
    """10,000 answers of each sort of vectors, 100,000 in all."""
    found, seed = Counter[str](), 1000
    while found.total() < 10_000:
        found += _tried(name, seed, small_steps)
        seed += 1
    print(f"{name}: {dict(found)}")


@every_set
def test_exact_scores_are_true(name: str) -> None:
    for seed in range(20):
        draw = np.random.default_rng(seed)
        hostile = HOSTILE[name](draw, 60, 8)
        row, query = np.divmod(np.arange(60 * 8), 8)
        found = exact_scores(hostile.rows[row], hostile.queries[query])
        assert np.array_equal(found.reshape(60, 8).T, true_scores(hostile.rows, hostile.queries))


@every_set
@pytest.mark.parametrize("kind", [ExactSearch, FaissFlat])
def test_flat_kinds_give_true_answers(name: str, kind: type[ExactSearch] | type[FaissFlat]) -> None:
    for seed in range(4):
        draw = np.random.default_rng(seed)
        hostile = HOSTILE[name](draw, 80, 6)
        index = kind(DIMENSION)
        index.add(draw.permutation(200)[:80], hostile.rows)
        _wrong(index, hostile.rows, hostile.queries, draw)
