"""Choosing the strength of a probe: four C, five folds, fourteen labels, against scikit-learn fit by fit.

Each round takes the next fold, so that five rounds are the grid once: scikit-learn fits a label and a C at a
time (its defaults, but for as many iterations as it wants), ours all of them together, as the choice of C
does. Both on one thread, in float64.
"""

from collections.abc import Callable
from itertools import count
from pathlib import Path

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from benchmarks.measure import Outcome, alternate
from benchmarks.probes.labelled_vectors import LABELS, ROWS, labelled_vectors
from medsiglip.numerics import Floats
from medsiglip.probes.logistic import Basis, fit_path
from medsiglip.probes.probe import SELECTION_TOLERANCE

TITLE = f"probe grid of 4 C x 5 folds x {LABELS} labels on {ROWS} x 1152: scikit-learn time ÷ ours"
GOAL = 15.0
GUARD = "the AUC of each label at each C within 0.001, on every fold"
_STRENGTHS, _FOLDS = (0.01, 0.1, 1.0, 10.0), 5
_MOST_APART = 1e-3


def measure(folder: Path, rounds: int) -> Outcome:
    vectors, labels = labelled_vectors()
    fold = np.random.default_rng(1).permutation(ROWS) % _FOLDS
    ours: dict[int, Floats] = {}
    peer: dict[int, Floats] = {}

    def side(fit: Callable[[Floats, Floats, Floats], Floats], found: dict[int, Floats]) -> Callable[[], None]:
        turn = count(-1)  # the warm-up takes the last fold

        def once() -> None:
            number = next(turn) % _FOLDS
            train, test = fold != number, fold == number
            logits = fit(vectors[train], labels[train], vectors[test])
            found[number] = logits

        return once

    times = alternate(side(_ours, ours), side(_theirs, peer), rounds)
    apart = max(np.abs(_auc(labels, fold, ours, n) - _auc(labels, fold, peer, n)).max() for n in peer)
    if apart > _MOST_APART:
        return Outcome(TITLE, GOAL, GUARD, ROWS, failure=f"AUC up to {apart:.4f} apart")
    return Outcome(TITLE, GOAL, GUARD, ROWS, *times)


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


def _auc(labels: Floats, fold: np.ndarray, found: dict[int, Floats], number: int) -> Floats:
    """AUC of each C and label on a fold, [4, L]."""
    truth = labels[fold == number]
    return np.array(
        [[roc_auc_score(truth[:, i], logits[:, i]) for i in range(LABELS)] for logits in found[number]]
    )
