from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from medsiglip.probes.basis import Basis
from medsiglip.probes.logistic import Solver, fit_path
from tests.medsiglip.probes.embeddings import embeddings

STRENGTHS = (1e-6, 1e-3, 1e-1, 1.0, 1e2, 1e4, 1e6)


def objective(coef: Any, intercept: Any, strength: Any, vectors: Any, labels: Any) -> Any:
    logits = vectors @ coef + intercept
    return strength * (np.logaddexp(0, logits) - labels * logits).sum() + coef @ coef / 2


@pytest.mark.parametrize(("n", "d"), [(300, 40), (60, 200), (200, 1)])
def test_objective_is_no_higher_than_scikit_learns_at_convergence(n: Any, d: Any) -> None:
    vectors, truth = embeddings(n, d, labels=3)
    vectors = vectors.astype(np.float64) if d > 1 else np.random.default_rng(0).normal(size=(n, 1))
    labels = truth.copy()
    labels[np.random.default_rng(1).random(labels.shape) < 0.2] = np.nan
    path = fit_path(Basis.of(vectors), labels, STRENGTHS, 1e-11)
    for column in range(3):
        known = ~np.isnan(labels[:, column])
        part, target = vectors[known], labels[known, column]
        for strength, solution in zip(STRENGTHS, path, strict=True):
            theirs = LogisticRegression(C=strength, solver="newton-cholesky", tol=1e-12, max_iter=1000).fit(
                part, target
            )
            ours = objective(solution.coef[column], solution.intercept[column], strength, part, target)
            best = objective(theirs.coef_[0], theirs.intercept_[0], strength, part, target)
            # The tolerance is of the mean log-loss, which is next to nothing at the weakest regularisation.
            assert ours <= best * (1 + 1e-9) + strength * len(part) * 1e-11


@pytest.mark.parametrize("strength", [1e-4, 1.0, 1e4])
def test_gradient_vanishes_at_the_solution(strength: Any) -> None:
    vectors, truth = embeddings(120, 300)
    rows = vectors.astype(np.float64)
    solution = fit_path(Basis.of(rows), truth, [strength], 1e-11)[0]
    residual = 1 / (1 + np.exp(-solution.logits(rows)[:, 0])) - truth[:, 0]
    scale = np.abs(rows).T @ np.abs(residual)
    assert (
        np.abs(strength * (rows.T @ residual) + solution.coef[0]).max() < 1e-4 * strength * scale.max() + 1e-9
    )
    assert abs(residual.sum()) < 1e-4 * np.abs(residual).sum()


def test_separable_labels_have_a_finite_solution() -> None:
    rows = np.r_[np.full((20, 2), -1.0), np.full((20, 2), 1.0)]
    labels = np.r_[np.zeros(20), np.ones(20)][:, None]
    solution = fit_path(Basis.of(rows), labels, [1.0, 1e4], 1e-11)[-1]
    theirs = LogisticRegression(C=1e4, tol=1e-12, max_iter=10000).fit(rows, labels[:, 0])
    assert solution.coef[0] == pytest.approx(theirs.coef_[0], rel=1e-4)


def test_identical_vectors_give_the_prevalence() -> None:
    labels = np.r_[np.ones(10), np.zeros(30)][:, None]
    solution = fit_path(Basis.of(np.ones((40, 5))), labels, STRENGTHS, 1e-11)[-1]
    assert 1 / (1 + np.exp(-solution.logits(np.ones((1, 5)))[0, 0])) == pytest.approx(0.25)


def test_identical_vectors_give_the_shares_of_classes() -> None:
    """Directions in which no vector differs have no curvature; that of all classes at once is infinite."""
    target = np.eye(2)[np.r_[np.ones(10, int), np.zeros(30, int)]][:, None, :]
    solution = Solver(Basis.of(np.ones((40, 5))), target, np.ones((40, 1))).solve(np.ones(1), 1e-11)
    odds = np.exp(solution.logits(np.ones((1, 5)))[0])
    assert odds / odds.sum() == pytest.approx([0.75, 0.25])


def multinomial(coef: Any, intercept: Any, strength: Any, vectors: Any, classes: Any) -> Any:
    logits = vectors @ coef.T + intercept
    top = logits.max(axis=1)
    total = top + np.log(np.exp(logits - top[:, None]).sum(axis=1))
    return strength * (total - logits[np.arange(len(classes)), classes]).sum() + (coef**2).sum() / 2


@pytest.mark.parametrize(("n", "d", "classes"), [(300, 40, 4), (50, 120, 3), (200, 20, 2)])
def test_the_objective_of_classes_is_no_higher_than_scikit_learns(n: Any, d: Any, classes: Any) -> None:
    vectors, _ = embeddings(n, d)
    rows = vectors.astype(np.float64)
    truth = (rows @ np.random.default_rng(3).normal(size=(d, classes))).argmax(axis=1)
    inside = np.random.default_rng(4).random((n, 2)) < 0.8  # two folds at once
    target = np.broadcast_to(np.eye(classes)[truth][:, None, :], (n, 2, classes))
    solver = Solver(Basis.of(rows), target, inside.astype(float))
    for strength in (1e-3, 1.0, 1e2, 1e5):
        solution = solver.solve(np.full(2, strength), 1e-11)
        for fold in range(2):
            mine = slice(fold * classes, (fold + 1) * classes)
            part, labels = rows[inside[:, fold]], truth[inside[:, fold]]
            ours = multinomial(solution.coef[mine], solution.intercept[mine], strength, part, labels)
            theirs = LogisticRegression(C=strength, solver="newton-cholesky", tol=1e-12, max_iter=1000).fit(
                part, labels
            )
            coef, intercept = theirs.coef_, theirs.intercept_
            if classes == 2:  # scikit-learn's two classes have one row of coefficients; ours are symmetric
                binary = strength * np.logaddexp(0, -(2 * labels - 1) * (part @ coef[0] + intercept[0])).sum()
                best = binary + (coef**2).sum() / 4  # half for each of two opposite rows of half the size
                assert ours <= best * (1 + 1e-9) + strength * n * 1e-11
                continue
            best = multinomial(coef, intercept, strength, part, labels)
            assert ours <= best * (1 + 1e-9) + strength * n * 1e-11
            assert solution.coef[mine] == pytest.approx(
                coef - coef.mean(axis=0), abs=2e-3 * np.abs(coef).max()
            )


def test_many_rows_in_single_precision_come_as_close() -> None:
    vectors, truth = embeddings(8000, 200, labels=2)
    rows = vectors.astype(np.float64)
    basis = Basis.of(rows)
    assert basis.rows.dtype == np.float32
    for strength, solution in zip((1e-2, 1e2), fit_path(basis, truth, (1e-2, 1e2), 1e-11), strict=True):
        theirs = LogisticRegression(C=strength, solver="newton-cholesky", tol=1e-10).fit(rows, truth[:, 0])
        ours = objective(solution.coef[0], solution.intercept[0], strength, rows, truth[:, 0])
        best = objective(theirs.coef_[0], theirs.intercept_[0], strength, rows, truth[:, 0])
        assert ours <= best * (1 + 1e-9) + strength * len(rows) * 1e-11


def test_another_device_gives_the_same() -> None:
    """Torch's CPU stands for its GPU."""
    vectors, truth = embeddings(400, 60, labels=3)
    rows = vectors.astype(np.float64)
    there = fit_path(Basis.of(rows, device="cpu:0"), truth, [1e-2, 10.0], 1e-11)
    here = fit_path(Basis.of(rows, device="cpu"), truth, [1e-2, 10.0], 1e-11)
    for one, other in zip(there, here, strict=True):
        assert one.coef == pytest.approx(other.coef, abs=1e-4 * np.abs(other.coef).max())
        assert one.intercept == pytest.approx(other.intercept, abs=1e-3)


def test_folds_as_rows_of_no_weight_are_fits_without_these_rows() -> None:
    vectors, truth = embeddings(120, 200, labels=2)
    rows = vectors.astype(np.float64)
    inside = np.arange(120) % 3 != 0
    labels = np.where(inside[:, None], truth, np.nan)
    together = fit_path(Basis.of(rows), np.hstack([labels, truth]), [10.0], 1e-13)[0]
    alone = fit_path(Basis.of(rows[inside]), truth[inside], [10.0], 1e-13)[0]
    assert together.coef[:2] == pytest.approx(alone.coef, abs=1e-5)
