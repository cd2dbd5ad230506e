"""The interval of a median covers whatever is drawn, and equals the tables for small numbers."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom

from medsiglip.figures.median import median_interval


@pytest.mark.parametrize(
    ("count", "rank"), [(6, 1), (8, 1), (9, 2), (10, 2), (12, 3), (15, 4), (20, 6), (25, 8), (50, 18)]
)
def test_it_lies_between_the_ranks_of_the_tables(count: int, rank: int) -> None:
    """Conover, Practical Nonparametric Statistics, table A3: ranks of 95 % limits of the median."""
    median, (low, high) = median_interval(np.random.default_rng(0).permutation(np.arange(1.0, count + 1)))
    assert (low, high) == (rank, count + 1 - rank)
    assert median == (count + 1) / 2


@pytest.mark.parametrize("count", [6, 11, 40])
def test_it_covers_of_any_distribution(count: int) -> None:
    rng = np.random.default_rng(count)
    held = 0
    for _ in range(400):
        low, high = median_interval(rng.lognormal(0, 2, count))[1]
        held += low <= 1 <= high
    assert held >= binom.ppf(1e-4, 400, 0.95)


def test_few_values_have_none() -> None:
    assert np.isnan(median_interval(np.arange(5.0))[1]).all()
    assert median_interval(np.arange(5.0))[0] == 2
    assert np.isnan(median_interval(np.array([]))[0])
