"""Two groups of patients against plain loops, and how often nothing is called a difference."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.spatial.distance import cdist
from scipy.stats import binom
from sklearn.linear_model import Ridge
from sklearn.metrics import roc_auc_score

from medsiglip.errors import ModelError
from medsiglip.figures.drift import MOST_PATIENTS, group_difference


def drawn(
    rng: np.random.Generator, patients: int, apart: float = 0.0, spread: float = 1.0, dimension: int = 12
) -> tuple[NDArray[np.float64], NDArray[np.bool_], list[str]]:
    """One to four images of each patient; the second half is shifted, or wider."""
    codes = np.repeat(np.arange(patients), rng.integers(1, 5, patients))
    later = codes >= patients // 2
    centres = (
        rng.standard_normal((patients, dimension))
        * np.where(np.arange(patients) >= patients // 2, spread, 1.0)[:, None]
    )
    vectors = centres[codes] + 0.5 * rng.standard_normal((codes.size, dimension)) + 4 * np.eye(dimension)[1]
    vectors[:, 0] += apart * later
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True), later, [f"p{code}" for code in codes]


def test_the_figures_are_those_of_plain_loops() -> None:
    rng = np.random.default_rng(2)
    vectors, later, patients = drawn(rng, 40, apart=2.0)
    last = {one: place for place, one in enumerate(patients)}
    two = [place for one in last for place in (patients.index(one), last[one])]  # as many of each
    vectors, later, patients = vectors[two], later[two], [patients[place] for place in two]
    found = group_difference(vectors, later, patients, permutations=99)
    names = sorted(set(patients), key=lambda name: (later[patients.index(name)], name))
    points = []
    for name in names:
        mean = vectors[[one == name for one in patients]].mean(axis=0)
        points.append(mean / np.linalg.norm(mean))
    first, second = np.array(points[:20]), np.array(points[20:])
    between = 2 * cdist(first, second).mean()
    energy = (between - cdist(first, first).mean() - cdist(second, second).mean()) / between
    assert found.energy == pytest.approx(energy)
    # The classifier with any other folds is nearly the same.
    every, labels = np.array(points), np.repeat([0, 1], 20)
    scores = np.empty(40)
    fold = np.random.default_rng(9).permutation(40) % 5
    for held in range(5):
        inside = fold != held
        strength = ((every[inside] - every[inside].mean(axis=0)) ** 2).sum() / inside.sum()
        model = Ridge(alpha=strength).fit(every[inside], labels[inside])
        scores[~inside] = model.predict(every[~inside]) - model.intercept_
    assert found.auroc == pytest.approx(roc_auc_score(labels, scores), abs=0.12)
    assert found.auroc_interval()[0] < found.auroc < found.auroc_interval()[1]
    assert found.auroc == pytest.approx(roc_auc_score(found.current, found.scores))
    assert found.patients == found.drawn == (20, 20)
    row = int(np.flatnonzero(later)[0])
    own = names.index(patients[row]) - 20
    to_own = cdist(vectors[[row]], np.delete(second, own, axis=0)).mean()
    assert found.apart[row] == pytest.approx(cdist(vectors[[row]], first).mean() - to_own)


def test_no_difference_is_found_as_seldom_as_the_p_value_says() -> None:
    """At .05, in 300 archives without one; exactly, by permutation, so also for few and clustered images."""
    rng = np.random.default_rng(7)
    values = np.array(
        [
            (found.auroc_p, found.energy_p)
            for found in (group_difference(*drawn(rng, 16), permutations=99, seed=k) for k in range(300))
        ]
    )
    assert ((values <= 0.05).sum(axis=0) <= binom.ppf(1 - 1e-4, 300, 0.05)).all()
    assert ((values <= 0.5).mean(axis=0) > 0.4).all(), "and no more seldom"


def test_a_shift_and_a_wider_spread_are_found() -> None:
    rng = np.random.default_rng(3)
    shifted = group_difference(*drawn(rng, 60, apart=2.5))
    assert shifted.auroc > 0.8
    assert max(shifted.auroc_p, shifted.energy_p) <= 0.01
    wider = group_difference(*drawn(rng, 100, spread=4.0))
    assert wider.energy_p <= 0.01
    vectors, later, patients = drawn(rng, 60)
    odd = int(np.flatnonzero(later)[3])
    vectors[odd] = -np.eye(12)[1]  # like nothing else
    apart = group_difference(vectors, later, patients).apart
    assert np.isfinite(apart).all()


def test_a_patient_in_both_groups_is_in_neither() -> None:
    rng = np.random.default_rng(4)
    vectors, later, patients = drawn(rng, 30)
    whole = group_difference(vectors, later, patients)
    shared = np.concatenate([vectors, vectors[:2]])
    names = [*patients, "p99", "p99"]
    found = group_difference(shared, np.append(later, [False, True]), names)
    assert (found.both, found.patients) == (1, (15, 15))
    assert (found.energy, found.auroc) == (whole.energy, whole.auroc)
    assert np.isnan(found.apart[-2:]).all()
    with pytest.raises(ModelError, match="4 in the current group") as few:
        group_difference(vectors[:20], np.arange(20) > 15, list(range(20)))
    assert few.value.code == "too-few-patients"
    with pytest.raises(ModelError, match="for each row"):
        group_difference(vectors, later[:3], patients)


def test_of_many_patients_some_are_drawn() -> None:
    rng = np.random.default_rng(5)
    count = MOST_PATIENTS + 50
    vectors = rng.standard_normal((count + 20, 3))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    found = group_difference(vectors, np.arange(count + 20) >= count, range(count + 20), permutations=9)
    assert (found.patients, found.drawn) == ((count, 20), (MOST_PATIENTS, 20))
    assert np.isfinite(found.apart).all()


def test_patients_with_the_same_pictures_count_half() -> None:
    """Ties in the order of the rows would place each current patient above the reference."""
    for seed in range(5):
        rng = np.random.default_rng(seed)
        vectors = rng.standard_normal((2, 8))[rng.integers(0, 2, 40)]
        found = group_difference(vectors, np.arange(40) >= 20, range(40), permutations=99, seed=seed)
        assert found.auroc == pytest.approx(roc_auc_score(found.current, np.round(found.scores, 10)))


def test_more_cases_of_a_patient_are_no_difference() -> None:
    """Means of eight cases lie nearer to the middle than single ones: by these, 56 of 60 are told apart."""
    rng = np.random.default_rng(5)
    codes = np.repeat(np.arange(60), np.repeat([1, 8], 30))
    told = 0
    for seed in range(60):
        vectors = np.eye(1, 16) + 0.2 * rng.standard_normal((60, 16))[codes]
        vectors += 0.5 * rng.standard_normal(vectors.shape)
        found = group_difference(vectors, codes >= 30, codes.tolist(), permutations=99, seed=seed)
        told += min(found.auroc_p, found.energy_p) <= 0.025
    assert told <= binom.ppf(0.9999, 60, 0.05)
