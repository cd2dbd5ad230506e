"""Subgroups that do no worse are seldom said to, and those that do worse often are."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import ndtri
from scipy.stats import binom

from medsiglip.figures.subgroups import adjusted, auroc_difference


def chances(
    inside: tuple[int, int], outside: tuple[int, int], areas: tuple[float, float], images: int
) -> list[float]:
    """p values of 400 archives: positive and all patients of either part, and AUROC there."""
    rng = np.random.default_rng(7)
    patients = inside[1] + outside[1]
    codes = np.repeat(np.arange(patients), images)
    within = codes < inside[1]
    positive = (codes < inside[0]) | (~within & (codes < inside[1] + outside[0]))
    apart = np.where(within, *(np.sqrt(2) * ndtri(area) for area in areas))
    found = []
    for _ in range(400):
        shared, own = rng.standard_normal(patients), rng.standard_normal(codes.size)
        scores = (shared[codes] + own) / np.sqrt(2) + apart * positive
        tested = auroc_difference(positive, scores, codes, within)
        assert tested is not None
        found.append(tested[1])
    return found


@pytest.mark.parametrize(
    ("inside", "outside", "area", "images"),
    [
        ((10, 30), (10, 30), 0.8, 1),
        ((15, 30), (100, 200), 0.7, 1),
        ((20, 40), (20, 40), 0.99, 1),
        ((50, 100), (50, 100), 0.85, 4),
    ],
)
def test_what_is_no_worse_is_seldom_said_to_be(
    inside: tuple[int, int], outside: tuple[int, int], area: float, images: int
) -> None:
    found = np.array(chances(inside, outside, (area, area), images))
    for level in (0.05, 0.01):
        assert (found < level).sum() <= binom.ppf(1 - 1e-4, found.size, level)


def test_what_is_worse_is_often_said_to_be() -> None:
    assert np.mean(np.array(chances((40, 100), (80, 200), (0.65, 0.9), 1)) < 0.01) > 0.8


def test_few_patients_are_not_compared() -> None:
    positive = np.array([True] * 9 + [False] * 20 + [True] * 20 + [False] * 20)
    scores = np.random.default_rng(1).standard_normal(positive.size)
    codes = np.arange(positive.size)
    assert auroc_difference(positive, scores, codes, codes < 29) is None
    assert auroc_difference(positive, scores, codes, codes >= 29) is None
    several = np.concatenate([np.arange(29) // 3, codes[29:]])  # many images of few patients are few
    assert auroc_difference(positive, scores, several, codes < 29) is None


def test_chances_are_adjusted_for_their_number() -> None:
    assert adjusted([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert adjusted([0.9, 0.8]) == [1.0, 1.0]
    assert adjusted([]) == []
