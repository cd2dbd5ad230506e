from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from sklearn.linear_model import Ridge
from sklearn.metrics import roc_auc_score

from medsiglip.probes import ridge
from medsiglip.probes.ridge import out_of_fold_scores, ridge_scores


def cases(
    count: int, dimension: int = 24, seed: int = 0
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    rng = np.random.default_rng(seed)
    positive = rng.random(count) < 0.3
    vectors = rng.normal(size=(count, dimension))
    vectors[:, :3] += 1.2 * positive[:, None]
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True), positive


@pytest.mark.parametrize("strength", [1e-4, 0.02])
def test_the_fit_is_that_of_scikit_learn(strength: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ridge, "_STRENGTHS", np.array([strength]))
    vectors, positive = cases(60)
    weights = np.where(positive, 0.5 / positive.sum(), 0.5 / (~positive).sum())
    expected = Ridge(alpha=strength, tol=1e-10).fit(vectors, np.where(positive, 1, -1), sample_weight=weights)
    other, _ = cases(9, seed=1)
    assert ridge_scores(vectors, positive, other) == pytest.approx(expected.predict(other), abs=1e-6)


def test_strength_is_chosen_so_that_others_are_ranked() -> None:
    """Among more directions than cases, where a fit that does not shrink knows nothing."""
    vectors, positive = cases(80, 200)
    other, truth = cases(400, 200, seed=1)
    assert roc_auc_score(truth, ridge_scores(vectors, positive, other)) > 0.7
    noise = np.random.default_rng(2).random(80) < 0.3
    assert 0.35 < roc_auc_score(truth, ridge_scores(vectors, noise, other)) < 0.65


def test_out_of_fold_no_group_scores_itself() -> None:
    """Copies of a patient's picture with a random label are not recognised."""
    rng = np.random.default_rng(3)
    groups = np.repeat(np.arange(60), 3)
    vectors = np.repeat(rng.normal(size=(60, 40)), 3, axis=0)
    positive = np.repeat(rng.random(60) < 0.5, 3)
    scores = out_of_fold_scores(vectors, positive, groups)
    assert scores is not None
    assert 0.3 < roc_auc_score(positive, scores) < 0.7
    seen = ridge_scores(vectors, positive, vectors)
    assert roc_auc_score(positive, seen) > 0.9


def test_too_few_of_a_class_have_no_scores() -> None:
    vectors, _ = cases(12)
    only = np.arange(12) == 0
    assert out_of_fold_scores(vectors, only, np.arange(12)) is None
