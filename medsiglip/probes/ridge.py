"""A linear fit in a moment, where a probe would take seconds: what to label next, and how figures grow while
labels come.

Ridge regression on -1 and 1, with both classes weighing the same (Hoerl and Kennard, Technometrics 12,
1970); how much it shrinks is chosen by generalised cross-validation (Golub, Heath and Wahba, Technometrics
21, 1979).
Its scores rank much as those of a logistic regression do, and are no probabilities.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from medsiglip.figures.intervals import Bools
from medsiglip.numerics import Floats, Integers
from medsiglip.probes.patient_folds import group_folds

_STRENGTHS = np.logspace(-6, 2, 17)
_FOLDS = 5


def ridge_scores(
    vectors: npt.NDArray[np.floating[Any]], positive: Bools, wanted: npt.NDArray[np.floating[Any]]
) -> Floats:
    """Scores [m] of `wanted` [m, d], above 0 on the side of the positives, by a fit to `vectors` [n, d] with
    both classes among `positive` [n].
    """
    rows = np.asarray(vectors, float)
    sign = np.where(positive, 1.0, -1.0)
    weights = np.where(positive, 0.5 / positive.sum(), 0.5 / (~positive).sum())
    middle = weights @ rows
    root = np.sqrt(weights)
    centred, target = (rows - middle) * root[:, None], sign * root
    # Of centred rows the inner products suffice: coefficients are a combination of rows.
    spread, axes = np.linalg.eigh(centred @ centred.T)
    spread = np.maximum(spread, 0.0)
    along = axes.T @ target
    kept = spread / (spread + _STRENGTHS[:, None])
    residual = (((1 - kept) * along) ** 2).sum(axis=1)
    freedom = 1 - np.minimum(kept.sum(axis=1) + 1, len(rows) - 0.5) / len(rows)
    best = _STRENGTHS[(residual / freedom**2).argmin()]
    coefficients = centred.T @ (axes @ (along / (spread + best)))
    scores: Floats = (np.asarray(wanted, float) - middle) @ coefficients
    return scores


def out_of_fold_scores(
    vectors: npt.NDArray[np.floating[Any]], positive: Bools, groups: Integers, seed: int = 0
) -> Floats | None:
    """Scores [n] of rows by fits to the rows of other groups, in five folds; None where a fold's others are
    of one class.
    """
    fold = group_folds(positive.astype(float)[:, None], groups, _FOLDS, seed)
    scores = np.full(len(vectors), np.nan)
    for number in np.unique(fold):
        inside, outside = fold == number, fold != number
        if not 0 < positive[outside].sum() < outside.sum():
            return None
        scores[inside] = ridge_scores(vectors[outside], positive[outside], vectors[inside])
    return scores
