"""Fitting the calibration of one label on cases whose truth is known, by scikit-learn.

Truth counts a little less than certain, as Platt proposed (1999): one of n positives as (n + 1) / (n + 2), so
that cases which a margin separates do not make it infinitely steep. Methods are compared by the log-loss that
they have on patients to whom they were not fitted; isotonic regression, which has many parameters, is tried
from 500 patients on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from medsiglip.calibration.calibration import METHODS, Calibration, Method
from medsiglip.errors import ModelError
from medsiglip.figures.metrics import group_codes
from medsiglip.numerics import Floats, Integers
from medsiglip.probes.patient_folds import group_folds

FEWEST_OF_A_CLASS = 20
"""Patients with the label, and as many without, that a calibration takes."""
PATIENTS_FOR_ISOTONIC = 500

FOLDS = 5
_INNER_SEED, _OUTER_SEED = 1, 0


def fit(
    margins: npt.ArrayLike,
    truth: npt.ArrayLike,
    groups: Sequence[object] | npt.NDArray[Any],
    *,
    method: str = "auto",
) -> Calibration:
    """A calibration of margins [n] for truth [n] of 0, 1 or NaN (not known, left out), with the patient of
    each row. `auto` takes the method with the least log-loss on other patients.

    Raises ModelError "too-few-cases", "one-class-only", "margin-not-finite", "label-not-binary",
    "shape-mismatch" or "bad-method".
    """
    scores, known, codes = known_cases(margins, truth, groups)
    return fitted(scores, known, codes, chosen(scores, known, codes, methods(method, codes)))


def known_cases(
    margins: npt.ArrayLike, truth: npt.ArrayLike, groups: Sequence[object] | npt.NDArray[Any]
) -> tuple[Floats, Floats, Integers]:
    """The rows with a known truth: margins, truth and the number of each patient. Raises as `fit` does."""
    scores, values = np.asarray(margins, np.float64), np.asarray(truth, np.float64)
    if scores.ndim != 1 or scores.shape != values.shape or len(groups) != len(scores):
        raise ModelError(
            "shape-mismatch",
            f"Margins of shape {scores.shape}, truth of shape {values.shape} and {len(groups)} groups do not "
            "go together; give one of each for every row.",
        )
    known = ~np.isnan(values)
    scores, values = scores[known], values[known]
    if not np.isin(values, (0.0, 1.0)).all():
        raise ModelError("label-not-binary", "A label is neither 0, 1 nor empty; correct the label column.")
    if not np.isfinite(scores).all():
        count = int((~np.isfinite(scores)).sum())
        raise ModelError(
            "margin-not-finite",
            f"{count} of the cases have a margin that is no number: leave out what could not be scored, or "
            "embed it again.",
        )
    codes = group_codes([group for group, keep in zip(groups, known, strict=True) if keep])
    require_cases(values, codes, FEWEST_OF_A_CLASS)
    return scores, values, codes


def require_cases(truth: Floats, codes: Integers, needed: int) -> None:
    """Raise ModelError "one-class-only" or "too-few-cases" without so many patients of each class."""
    found = [int(np.unique(codes[truth == value]).size) for value in (1.0, 0.0)]
    if not truth.size:
        raise ModelError("too-few-cases", f"No case is labelled: it takes {needed} patients of each class.")
    if min(found) == 0:
        there, missing = ("with", "without") if found[0] else ("without", "with")
        raise ModelError(
            "one-class-only",
            f"All {max(found)} patients are {there} the label: label at least {needed} {missing} it, too.",
        )
    if min(found) < needed:
        raise ModelError(
            "too-few-cases",
            f"There are {found[0]} patients with the label and {found[1]} without it: it takes at least "
            f"{needed} of each.",
        )


def methods(method: str, codes: Integers) -> tuple[Method, ...]:
    """The methods that are meant by a name, for cases of these patients. Raises ModelError "bad-method", or
    "too-few-cases" for isotonic regression.
    """
    if method not in ("auto", *METHODS):
        raise ModelError(
            "bad-method", f"There is no method {method!r}: use auto, temperature, platt or isotonic."
        )
    patients = int(np.unique(codes).size)
    if method == "isotonic" and patients < PATIENTS_FOR_ISOTONIC:
        raise ModelError(
            "too-few-cases",
            f"There are {patients} labelled patients: isotonic regression takes {PATIENTS_FOR_ISOTONIC}. Use "
            "platt or temperature.",
        )
    if method != "auto":
        return tuple(one for one in METHODS if one == method)
    return METHODS if patients >= PATIENTS_FOR_ISOTONIC else METHODS[:2]


def chosen(scores: Floats, truth: Floats, codes: Integers, tried: Sequence[Method]) -> Method:
    """Of the methods that are tried, the one with the least log-loss on other patients."""
    if len(tried) == 1:
        return tried[0]

    def loss(one: Method) -> float:
        predicted = out_of_fold(scores, truth, codes, lambda m, t, g: fitted(m, t, g, one), seed=_INNER_SEED)
        return log_loss(truth, predicted)

    return min(tried, key=loss)


def log_loss(truth: Floats, probability: Floats) -> float:
    """The mean negative logarithm of the probability of what is true."""
    right = np.where(truth == 1.0, probability, 1.0 - probability)
    return float(-np.log(np.maximum(right, 1e-15)).mean())


def out_of_fold(
    scores: Floats,
    truth: Floats,
    codes: Integers,
    fit_one: Callable[[Floats, Floats, Integers], Calibration],
    *,
    seed: int = _OUTER_SEED,
) -> Floats:
    """The probability [n] of each row by a calibration that was fitted to the other folds' patients."""
    folds = group_folds(truth[:, None], codes, FOLDS, seed)
    predicted = np.empty(scores.size)
    for fold in range(FOLDS):
        others, own = folds != fold, folds == fold
        predicted[own] = fit_one(scores[others], truth[others], codes[others]).probability(scores[own])
    return predicted


def fitted(scores: Floats, truth: Floats, codes: Integers, method: Method) -> Calibration:
    """A calibration by one method."""
    if method == "isotonic":
        return _isotonic(scores, truth, codes)
    return _logistic(scores, truth, shifted=method == "platt")


def _logistic(scores: Floats, truth: Floats, *, shifted: bool) -> Calibration:
    from sklearn.linear_model import LogisticRegression

    positive = float((truth == 1).sum())
    negative = truth.size - positive
    target = np.where(truth == 1, (positive + 1) / (positive + 2), 1 / (negative + 2))
    scale = float(np.abs(scores).mean()) or 1.0
    model = LogisticRegression(
        C=np.inf, fit_intercept=shifted, solver="newton-cholesky", tol=1e-8, max_iter=1_000
    )
    rows = np.concatenate([scores, scores])[:, None] / scale
    classes = np.repeat([1, 0], truth.size)
    model.fit(rows, classes, sample_weight=np.concatenate([target, 1 - target]))
    slope = float(model.coef_[0, 0]) / scale
    intercept = float(model.intercept_[0]) if shifted else 0.0
    if slope > 0:
        return Calibration("platt" if shifted else "temperature", slope, intercept)
    # The margin does not rank this label: what is left to say is how frequent it is.
    rate = positive / truth.size if shifted else 0.5
    return Calibration("platt" if shifted else "temperature", 0.0, float(np.log(rate / (1 - rate))))


def _isotonic(scores: Floats, truth: Floats, codes: Integers) -> Calibration:
    from sklearn.isotonic import IsotonicRegression

    model = IsotonicRegression(out_of_bounds="clip").fit(scores, truth)
    least = 1 / (np.unique(codes).size + 2)
    rates = np.clip(np.asarray(model.y_thresholds_, np.float64), least, 1 - least)
    return Calibration("isotonic", margins=np.asarray(model.X_thresholds_, np.float64), rates=rates)
