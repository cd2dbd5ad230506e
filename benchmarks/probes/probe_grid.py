"""Choosing the strength of a probe: four C, five folds, fourteen labels, against scikit-learn fit by fit.

Each round takes the next fold, so that five rounds are the grid once: scikit-learn fits a label and a C at a
time (its defaults, but for as many iterations as it wants), ours all of them together, as the choice of C
does. Both on one thread, in float64.

The AUC is compared with that of the optimum, by scikit-learn's Newton method at a tolerance of 1e-10: lbfgs
with its defaults stops short of it, at a C of 0.01 by some thousandths of AUC.
"""

from collections.abc import Callable
from itertools import count
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from benchmarks.measure import Outcome, alternate
from benchmarks.probes.labelled_vectors import LABELS, ROWS, labelled_vectors
from medsiglip.numerics import Floats
from medsiglip.probes.basis import Basis
from medsiglip.probes.fitting import SELECTION_TOLERANCE
from medsiglip.probes.logistic import fit_path

TITLE = f"probe grid of 4 C x 5 folds x {LABELS} labels on {ROWS} x 1152: scikit-learn time ÷ ours"
GOAL = 15.0
GUARD = "the AUC of five labels at each C within 0.001 of the optimum's, on one fold"
_STRENGTHS, _FOLDS = (0.01, 0.1, 1.0, 10.0), 5
_MOST_APART = 1e-3
_COMPARED = range(0, LABELS, 3)


def measure(folder: Path, rounds: int) -> Outcome:
    vectors, labels = labelled_vectors()
    fold = np.random.default_rng(1).permutation(ROWS) % _FOLDS
    apart = _apart(vectors, labels, fold != 0)
    if apart > _MOST_APART:
        return Outcome(TITLE, GOAL, GUARD, ROWS, failure=f"AUC up to {apart:.4f} apart")

    def side(fit: Callable[[Floats, Floats, Floats], Floats]) -> Callable[[], None]:
        turn = count(-1)  # the warm-up takes the last fold

        def once() -> None:
            number = next(turn) % _FOLDS
            fit(vectors[fold != number], labels[fold != number], vectors[fold == number])

        return once

    times = alternate(side(_ours), side(_theirs), rounds)
    return Outcome(TITLE, GOAL, GUARD, ROWS, *times)


def _apart(vectors: Floats, labels: Floats, train: NDArray[np.bool_]) -> float:
    """The greatest difference of our AUC from that of the optimum, on the rows that are not for training."""
    ours = _ours(vectors[train], labels[train], vectors[~train])
    apart = 0.0
    for logits, strength in zip(ours, _STRENGTHS, strict=True):
        for column in _COMPARED:
            best = LogisticRegression(C=strength, solver="newton-cholesky", tol=1e-10, max_iter=1000)
            best.fit(vectors[train], labels[train][:, column])
            truth = labels[~train][:, column]
            optimum = roc_auc_score(truth, best.decision_function(vectors[~train]))
            apart = max(apart, abs(roc_auc_score(truth, logits[:, column]) - optimum))
    return apart


def _ours(vectors: Floats, labels: Floats, test: Floats) -> Floats:
    """Logits of the test rows, [4, m, L]."""
    path = fit_path(Basis.of(vectors), labels, _STRENGTHS, SELECTION_TOLERANCE)
    return np.stack([solution.logits(test) for solution in path])


def _theirs(vectors: Floats, labels: Floats, test: Floats) -> Floats:
    logits = np.empty((len(_STRENGTHS), len(test), LABELS))
    for place, strength in enumerate(_STRENGTHS):
        for column in range(LABELS):
            fitted = LogisticRegression(C=strength, max_iter=10_000).fit(vectors, labels[:, column])
            logits[place, :, column] = fitted.decision_function(test)
    return logits
