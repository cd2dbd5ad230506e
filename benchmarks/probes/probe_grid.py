"""Choosing the strength of a probe: four C, five folds, fourteen labels, against scikit-learn fit by fit.

Ours fits all labels and folds together, C after C, as the choice of C does: each round does so once and
counts a fifth of its time. scikit-learn fits a label, a C and a fold at a time (its defaults, but for as many
iterations as it wants): each round takes the next fold, so that five rounds are the grid once. Both on one
thread; scikit-learn in float64.

The AUC is compared with that of the optimum, by scikit-learn's Newton method at a tolerance of 1e-10: lbfgs
with its defaults stops short of it, at a C of 0.01 by some thousandths of AUC.
"""

from itertools import count
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from benchmarks.measure import Outcome, alternate
from benchmarks.probes.labelled_vectors import LABELS, ROWS, labelled_vectors
from medsiglip.numerics import Floats, Integers
from medsiglip.probes.basis import Basis
from medsiglip.probes.fitting import SELECTION_TOLERANCE
from medsiglip.probes.logistic import Solver

TITLE = f"probe grid of 4 C x 5 folds x {LABELS} labels on {ROWS} x 1152: scikit-learn time ÷ ours"
GOAL = 15.0
GUARD = "the AUC of five labels at each C within 0.001 of the optimum's, on one fold"
_STRENGTHS, _FOLDS = (0.01, 0.1, 1.0, 10.0), 5
_MOST_APART = 1e-3
_COMPARED = range(0, LABELS, 3)


def measure(folder: Path, rounds: int) -> Outcome:
    vectors, labels = labelled_vectors()
    fold = np.random.default_rng(1).permutation(ROWS) % _FOLDS
    apart = _apart(vectors, labels, fold)
    if apart > _MOST_APART:
        return Outcome(TITLE, GOAL, GUARD, ROWS, failure=f"AUC up to {apart:.4f} apart")
    turn = count(-1)  # the warm-up takes the last fold

    def peer() -> None:
        number = next(turn) % _FOLDS
        _theirs(vectors[fold != number], labels[fold != number], vectors[fold == number])

    ours, theirs = alternate(lambda: _ours(vectors, labels, fold), peer, rounds)
    return Outcome(TITLE, GOAL, GUARD, ROWS, [seconds / _FOLDS for seconds in ours], theirs)


def _apart(vectors: Floats, labels: Floats, fold: Integers) -> float:
    """The greatest difference of our AUC from that of the optimum, on the rows of the first fold."""
    train: NDArray[np.bool_] = fold != 0
    ours = _ours(vectors, labels, fold)[:, ~train, 0]
    apart = 0.0
    for logits, strength in zip(ours, _STRENGTHS, strict=True):
        for column in _COMPARED:
            best = LogisticRegression(C=strength, solver="newton-cholesky", tol=1e-10, max_iter=1000)
            best.fit(vectors[train], labels[train][:, column])
            truth = labels[~train][:, column]
            optimum = roc_auc_score(truth, best.decision_function(vectors[~train]))
            apart = max(apart, abs(roc_auc_score(truth, logits[:, column]) - optimum))
    return apart


def _ours(vectors: Floats, labels: Floats, fold: Integers) -> Floats:
    """Logits of all rows by the fit of each C and without each fold, [4, n, 5, L]."""
    inside = fold[:, None] != np.arange(_FOLDS)
    target = np.repeat(labels[:, None, :], _FOLDS, axis=1).reshape(ROWS, -1, 1)
    solver = Solver(Basis.of(vectors), target, np.repeat(inside, LABELS, axis=1))
    logits = []
    for strength in _STRENGTHS:
        solver.solve(np.full(_FOLDS * LABELS, strength), SELECTION_TOLERANCE)
        logits.append(solver.logits().reshape(ROWS, _FOLDS, LABELS))
    return np.stack(logits).astype(np.float64)


def _theirs(vectors: Floats, labels: Floats, test: Floats) -> Floats:
    logits = np.empty((len(_STRENGTHS), len(test), LABELS))
    for place, strength in enumerate(_STRENGTHS):
        for column in range(LABELS):
            fitted = LogisticRegression(C=strength, max_iter=10_000).fit(vectors, labels[:, column])
            logits[place, :, column] = fitted.decision_function(test)
    return logits
