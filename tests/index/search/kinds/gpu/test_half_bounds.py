"""The bound on scores in float16, against products in float64."""

from __future__ import annotations

import numpy as np
import pytest

from medsiglip.index.search.kinds.gpu.half_bounds import Rounding, half, summation
from tests.index.search.kinds.gpu.devices import embeddings, unit


def hostile(seed: int, dimension: int) -> np.ndarray:
    """One value holds nearly all, values below float16, values between two of float16, and equal ones."""
    draw = np.random.default_rng(seed)
    one = np.eye(dimension)[draw.integers(0, dimension, 40)] + 1e-6 * draw.standard_normal((40, dimension))
    small = draw.standard_normal((40, dimension)) * np.where(np.arange(dimension) < 3, 1, 1e-8)
    between = (1 + 2.0**-11) * np.sign(draw.standard_normal((40, dimension)))
    return np.concatenate([unit(one), unit(small), unit(between), unit(np.ones((5, dimension)))])


@pytest.mark.parametrize("dimension", [64, 1152])
def test_no_score_is_further_from_the_true_one_than_the_slack(dimension: int) -> None:
    """150,000 pairs, summed in float32 in the order of a loop, which errs more than any library."""
    checked = 0
    for seed in range(4):
        rows = np.concatenate([embeddings(150, seed, dimension), hostile(seed, dimension)])
        queries = np.concatenate([embeddings(40, seed + 9, dimension), hostile(seed + 9, dimension)])
        halves, asked = half(rows), half(queries)
        slack = Rounding().with_rows(rows[:100], halves[:100]).with_rows(rows[100:], halves[100:])
        allowed = slack.slack(queries, asked)
        scores = np.zeros((len(queries), len(rows)), np.float32)
        for value in range(dimension):
            scores += asked[:, value, None] * halves[None, :, value]
        exact = queries.astype(np.float64) @ rows.astype(np.float64).T
        error = np.abs(scores - exact.astype(np.float32)).max(axis=1)
        assert (error <= allowed).all()
        assert (allowed < 2e-3).all()
        checked += exact.size
    assert checked >= 150_000


@pytest.mark.parametrize("width", [4, 8, 16])
def test_sums_that_are_cut_off_in_blocks_are_within_the_bound(width: int) -> None:
    """As tensor cores add: each addend is cut to the last place of the block's largest."""
    dimension = 1152
    worst = 0.0
    for seed in range(3):
        rows = half(np.concatenate([embeddings(60, seed, dimension), np.abs(hostile(seed, dimension))]))
        queries = half(np.abs(embeddings(len(rows), seed + 5, dimension)))
        sums = np.zeros(len(rows))
        for start in range(0, dimension, width):
            few = slice(start, start + width)
            addends = np.column_stack([sums, queries[:, few].astype(np.float64) * rows[:, few]])
            largest = np.abs(addends).max(axis=1, keepdims=True)
            place = 2.0 ** (np.floor(np.log2(np.maximum(largest, 1e-30))) - 23)
            sums = (np.trunc(addends / place) * place).sum(axis=1)
            sums = np.trunc(sums / place[:, 0]) * place[:, 0]
        exact = np.einsum("ij,ij->i", queries.astype(np.float64), rows)
        worst = max(worst, float(np.abs(sums - exact).max()))
    assert 2e-6 < worst <= summation(dimension)


def test_no_rows_have_no_rounding() -> None:
    nothing = np.empty((0, 8), np.float32)
    assert Rounding(1.0, 0.1).with_rows(nothing, nothing) == Rounding(1.0, 0.1)
