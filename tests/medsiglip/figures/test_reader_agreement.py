"""Agreement of readers against scikit-learn and a published example, and how often its intervals hold."""

from __future__ import annotations

import itertools
import math

import numpy as np
import numpy.typing as npt
import pytest
from sklearn.metrics import cohen_kappa_score

from medsiglip.figures.reader_agreement import (
    cohen_interval,
    cohen_kappa,
    krippendorff_alpha,
    krippendorff_interval,
)

Bools = npt.NDArray[np.bool_]


def test_kappa_is_that_of_scikit_learn() -> None:
    rng = np.random.default_rng(1)
    for cases in (2, 5, 30, 400):
        first, second = rng.random((2, cases)) < 0.4
        expected = cohen_kappa_score(first, second)
        assert cohen_kappa(first, second) == pytest.approx(expected, nan_ok=True)


def test_kappa_where_it_is_not_defined_or_perfect() -> None:
    alike = np.array([True] * 8)
    assert math.isnan(cohen_kappa(alike, alike))
    low, high = cohen_interval(alike, alike, 8)
    assert low < 0.5 < high <= 1
    both = np.array([True, False] * 10)
    assert cohen_kappa(both, both) == 1
    low, high = cohen_interval(both, both, 20)
    assert 0.6 < low < 1
    assert high <= 1
    nothing = np.array([], bool)
    assert math.isnan(cohen_kappa(nothing, nothing))
    assert all(map(math.isnan, cohen_interval(nothing, nothing, 0)))


def test_cases_of_one_patient_widen_the_interval() -> None:
    rng = np.random.default_rng(2)
    first = rng.random(60) < 0.5
    second = first ^ (rng.random(60) < 0.1)
    apart, together = (np.subtract(*cohen_interval(first, second, patients)) for patients in (60, 15))
    assert together < 1.5 * apart < 0


def test_alpha_of_krippendorff_s_binary_example() -> None:
    """Two observers, ten units: 0.095 (Computing Krippendorff's Alpha-Reliability, 2011, section A)."""
    first = np.array([0, 1, 0, 0, 0, 0, 0, 0, 1, 0])
    second = np.array([1, 1, 1, 0, 0, 1, 0, 0, 0, 0])
    assert krippendorff_alpha(first + second, np.full(10, 2)) == pytest.approx(0.095, abs=5e-4)


def test_alpha_is_computed_from_all_pairs_of_values() -> None:
    """By its definition, pair by pair, with cases that not all read."""
    rng = np.random.default_rng(3)
    readers = rng.integers(1, 6, 50)
    positive = rng.binomial(readers, rng.beta(0.5, 0.5, 50))
    cases = [[1] * p + [0] * (r - p) for p, r in zip(positive, readers, strict=True) if r > 1]
    values = [value for case in cases for value in case]
    observed = sum(
        sum(a != b for a, b in itertools.permutations(case, 2)) / (len(case) - 1) for case in cases
    ) / len(values)
    pairs = list(itertools.permutations(values, 2))
    expected = sum(a != b for a, b in pairs) / len(pairs)
    assert krippendorff_alpha(positive, readers) == pytest.approx(1 - observed / expected)
    low, high = krippendorff_interval(positive, readers, 50)
    assert low < 1 - observed / expected < high
    assert math.isnan(krippendorff_alpha(np.array([1]), np.array([1])))
    assert all(map(math.isnan, krippendorff_interval(np.array([1]), np.array([1]), 1)))


def readings(rng: np.random.Generator, cases: int, share: float, kappa: float, readers: int) -> Bools:
    """What readers say [n, r]: each repeats a hidden truth of the case, or, at random, draws anew. Any two
    have this kappa, and so has alpha.
    """
    truth = rng.random((cases, 1)) < share
    anew = rng.random((cases, readers)) >= math.sqrt(kappa)
    return np.where(anew, rng.random((cases, readers)) < share, truth)


def coverage(cases: int, share: float, kappa: float, readers: int, repeats: int) -> tuple[float, int]:
    """How often the interval holds the truth, and of how many simulated archives with a defined figure."""
    rng = np.random.default_rng(cases)
    held = []
    for _ in range(repeats):
        said = readings(rng, cases, share, kappa, readers)
        if said.all() or not said.any():
            continue
        if readers == 2:
            low, high = cohen_interval(said[:, 0], said[:, 1], cases)
        else:
            counted = said.sum(axis=1), np.full(cases, readers)
            low, high = krippendorff_interval(*counted, cases)
        held.append(low <= kappa <= high)
    return float(np.mean(held)), len(held)


@pytest.mark.parametrize(("readers", "kappa"), [(2, 0.4), (2, 0.9), (3, 0.6)])
def test_intervals_hold_the_truth(readers: int, kappa: float) -> None:
    assert coverage(40, 0.3, kappa, readers, 200)[0] > 0.9


@pytest.mark.campaign
@pytest.mark.parametrize("readers", [2, 3, 5])
def test_intervals_hold_the_truth_in_many_settings(readers: int) -> None:
    found = {
        (cases, share, kappa): coverage(cases, share, kappa, readers, 600)
        for cases in (10, 20, 50, 100, 300)
        for share in (0.05, 0.2, 0.5)
        for kappa in (0.0, 0.4, 0.8, 0.95)
    }
    # Where archives of one value are common, the others are no fair sample.
    held = {setting: share for setting, (share, count) in found.items() if count >= 570}
    print(readers, len(held), min(held.items(), key=lambda item: item[1]), np.mean(list(held.values())))
    assert min(held.values()) > 0.89
    assert np.mean(list(held.values())) > 0.94
