"""Fitting a probe of fourteen labels, against scikit-learn's `LogisticRegression` label by label.

Ours is the fit of a probe that is kept, with the tolerance that it has there; scikit-learn has its defaults
(lbfgs, C 1), but for as many iterations as it wants. Both on one thread, in float64.
"""

from pathlib import Path

import numpy as np
from sklearn.linear_model import LogisticRegression

from benchmarks.measure import Outcome, alternate
from benchmarks.probes.labelled_vectors import LABELS, ROWS, labelled_vectors
from medsiglip.numerics import Floats
from medsiglip.probes.basis import Basis
from medsiglip.probes.fitting import FINAL_TOLERANCE
from medsiglip.probes.logistic import Solution, fit_path

TITLE = f"probe of {LABELS} labels on {ROWS} x 1152: scikit-learn lbfgs time ÷ ours"
GOAL = 8.0
GUARD = "our objective is no higher, for every label"
_STRENGTH = 1.0


def measure(folder: Path, rounds: int) -> Outcome:
    vectors, labels = labelled_vectors()
    ours, peer = _ours(vectors, labels), _theirs(vectors, labels)
    excess = float((_objective(ours, vectors, labels) - _objective(peer, vectors, labels)).max())
    if excess > 0:
        return Outcome(TITLE, GOAL, GUARD, ROWS, failure=f"our objective is {excess:.3g} higher")
    times = alternate(lambda: _ours(vectors, labels), lambda: _theirs(vectors, labels), rounds)
    return Outcome(TITLE, GOAL, GUARD, ROWS, *times)


def _ours(vectors: Floats, labels: Floats) -> Solution:
    return fit_path(Basis.of(vectors), labels, [_STRENGTH], FINAL_TOLERANCE)[0]


def _theirs(vectors: Floats, labels: Floats) -> Solution:
    fitted = [
        LogisticRegression(C=_STRENGTH, max_iter=10_000).fit(vectors, labels[:, column])
        for column in range(LABELS)
    ]
    coef = np.vstack([one.coef_ for one in fitted])
    return Solution(coef, np.concatenate([one.intercept_ for one in fitted]))


def _objective(solution: Solution, vectors: Floats, labels: Floats) -> Floats:
    """C times the sum of the log-losses, and half the square of the coefficients, of each label [L]."""
    logits = solution.logits(vectors)
    loss = (np.logaddexp(0.0, logits) - labels * logits).sum(axis=0)
    total: Floats = _STRENGTH * loss + (solution.coef**2).sum(axis=1) / 2.0
    return total
