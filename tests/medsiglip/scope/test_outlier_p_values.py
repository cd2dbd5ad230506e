"""Conformal p-values against counting, and their false alarms over new archives."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom

from medsiglip.scope.outlier_p_values import FALSE_ALARM, fewest, p_values, thinned


def test_p_values_are_those_of_counting() -> None:
    draw = np.random.default_rng(1)
    usual = draw.integers(0, 9, 40).astype(float)  # with ties
    for score in (-1.0, 0.0, 3.0, 8.0, 9.0):
        assert p_values([score], usual)[0] == (1 + sum(one >= score for one in usual)) / 41
    assert p_values([5.0], [])[0] == 1.0


def test_so_many_are_needed() -> None:
    assert [fewest(one) for one in (0.5, 0.1, 0.05, 0.01)] == [1, 9, 19, 99]
    assert p_values([1.0], np.zeros(fewest()))[0] == pytest.approx(FALSE_ALARM)
    assert p_values([1.0], np.zeros(fewest() - 1))[0] > FALSE_ALARM


@pytest.mark.parametrize("known", [19, 60, 512])
def test_false_alarms_are_as_rare_as_stated(known: int) -> None:
    """Over new archives, whatever the scores are: here skewed ones, and ones with ties."""
    draw = np.random.default_rng(known)
    for scores in (draw.exponential(size=(4000, known + 1)), draw.integers(0, 50, (4000, known + 1))):
        alarms = sum(p_values(one[:1], one[1:])[0] <= FALSE_ALARM for one in scores)
        assert alarms <= binom.ppf(1 - 1e-4, 4000, FALSE_ALARM)


def test_few_scores_are_kept_of_many() -> None:
    scores = np.random.default_rng(2).normal(size=20_000)
    kept = thinned(scores)
    assert len(kept) == 512
    assert kept.min() == scores.min()
    assert kept.max() == scores.max()
    asked = np.linspace(-3, 3, 50)
    np.testing.assert_allclose(p_values(asked, kept), p_values(asked, scores), atol=0.004)
    assert thinned([3.0, 1.0]).tolist() == [1.0, 3.0]
