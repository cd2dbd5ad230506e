"""Calibration of classes that exclude each other, and the set of classes that stay possible.

`temperature` multiplies all logits by one number, `vector` each class's by its own, and adds another to it
(Guo et al., "On calibration of modern neural networks", ICML 2017). Sets are MAPIE's split conformal ones
(Sadinle, Lei and Wasserman, JASA 114, 2019: the classes whose probability reaches a threshold). Of cases of
new patients at most the stated share has a set without its class: over all classes together, not in each.
For sets, temperature is fitted to one half of the patients and the threshold comes from one case of each
patient of the other half, so that the bound is exact; probabilities are fitted to all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from medsiglip.calibration.calibration import unreadable
from medsiglip.calibration.conformal import (
    DEFAULT_ERROR,
    ERRORS,
    Share,
    by_bound,
    known_error,
    one_of_each,
    patients_needed,
)
from medsiglip.calibration.fitting import FEWEST_OF_A_CLASS, FOLDS
from medsiglip.errors import ModelError
from medsiglip.figures.calibration_error import CalibrationError, calibration_error
from medsiglip.figures.intervals import Bools, rate_interval
from medsiglip.figures.metrics import group_codes
from medsiglip.numerics import Floats, Integers
from medsiglip.probes.patient_folds import group_folds

FEWEST_PATIENTS = 40
CLASS_METHODS = ("temperature", "vector")


@dataclass(frozen=True, slots=True, eq=False)
class ClassCalibration:
    """Probabilities are softmax(slopes * logits + shifts), both [K]; those of sets softmax(set_slope *
    logits), of which `thresholds` has the least that stays possible for each of `ERRORS`, or None.

    `n` and `groups` count cases and patients; `before` and `after` are calibration errors of the likeliest
    class, `after` out of fold by patient. `covered` is the share of sets that hold the right class, and
    `set_size` their mean size, of patients whom the threshold does not come from. All four are None once
    loaded.
    """

    method: str
    labels: tuple[str, ...]
    slopes: Floats
    shifts: Floats
    set_slope: float
    thresholds: tuple[float | None, ...]
    error: float
    n: int
    groups: int
    before: CalibrationError | None = None
    after: CalibrationError | None = None
    covered: Share | None = None
    set_size: float | None = None

    def probability(self, logits: Floats) -> Floats:
        """Probabilities [n, K] of logits [n, K]."""
        return _softmax(self.slopes * np.asarray(logits, np.float64) + self.shifts)

    def possible(self, logits: Floats, error: float | None = None) -> tuple[str, ...] | None:
        """The labels that stay possible by logits [K], the likeliest first and never none; None where there
        were too few patients for the bound.
        """
        place = ERRORS.index(known_error(self.error if error is None else error))
        threshold = self.thresholds[place]
        if threshold is None:
            return None
        found = _softmax(self.set_slope * np.asarray(logits, np.float64)[None])[0]
        order = np.argsort(-found, kind="stable")
        kept = [self.labels[column] for column in order if found[column] >= threshold]
        return tuple(kept) or (self.labels[int(order[0])],)

    def to_json(self) -> dict[str, Any]:
        """What `from_json` needs, as JSON values, without the figures."""
        return {
            "method": self.method,
            "labels": list(self.labels),
            "slopes": self.slopes.tolist(),
            "shifts": self.shifts.tolist(),
            "set_slope": self.set_slope,
            "errors": list(ERRORS),
            "thresholds": list(self.thresholds),
            "error": self.error,
            "n": self.n,
            "groups": self.groups,
        }

    @staticmethod
    def from_json(stored: Mapping[str, Any]) -> ClassCalibration:
        """What `to_json` gave. Raises ModelError "calibration-unreadable" for anything else."""
        try:
            labels, set_slope = tuple(map(str, stored["labels"])), float(stored["set_slope"])
            slopes, shifts = (np.array(stored[name], np.float64) for name in ("slopes", "shifts"))
            numbers = np.r_[slopes, shifts, set_slope]
            if (
                slopes.shape != shifts.shape
                or slopes.shape != (len(labels),)
                or not np.isfinite(numbers).all()
            ):
                raise ValueError("slopes or shifts")
            return ClassCalibration(
                str(stored["method"]),
                labels,
                slopes,
                shifts,
                set_slope,
                by_bound(stored["errors"], stored["thresholds"]),
                known_error(float(stored["error"])),
                int(stored["n"]),
                int(stored["groups"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise unreadable(error) from error


def calibrate_classes(
    labels: Sequence[str],
    logits: Floats,
    truth: npt.NDArray[np.intp],
    groups: Sequence[object] | npt.NDArray[Any],
    *,
    method: str = "auto",
    error: float = DEFAULT_ERROR,
) -> ClassCalibration:
    """Calibrate classes by logits [n, K] and truth [n], the place of the right label or -1 (not known, left
    out), with the patient of each case.

    `auto` takes the method with the least log-loss on other patients; `vector` needs 20 patients of each
    class. Raises ModelError "too-few-cases", "one-class-only", "margin-not-finite", "shape-mismatch" or
    "bad-method".
    """
    error = known_error(error)
    if method not in ("auto", *CLASS_METHODS):
        raise ModelError(
            "bad-method",
            f"Classes that exclude each other have no method {method!r}: use auto, temperature or vector.",
        )
    shape, rows_of_groups = np.shape(logits), len(groups)
    if shape != (len(truth), len(labels)) or rows_of_groups != len(truth) or (truth >= len(labels)).any():
        raise ModelError(
            "shape-mismatch",
            f"Logits of shape {shape} for {len(labels)} labels, truth of {len(truth)} rows and "
            f"{rows_of_groups} groups do not go together; give one of each for every row.",
        )
    known = truth >= 0
    rows, right = np.asarray(logits, np.float64)[known], truth[known]
    codes = group_codes([group for group, keep in zip(groups, known, strict=True) if keep])
    counts = _patients(right, codes, len(labels))
    _require(rows, codes, counts, error)
    if method == "vector" and counts.min() < FEWEST_OF_A_CLASS:
        label = labels[int(counts.argmin())]
        raise ModelError(
            "too-few-cases",
            f"Vector scaling takes {FEWEST_OF_A_CLASS} patients of each class, and {label!r} has "
            f"{counts.min()}: use temperature, or label more.",
        )
    wanted = method
    if method == "auto":
        tried = CLASS_METHODS if counts.min() >= FEWEST_OF_A_CLASS else CLASS_METHODS[:1]
        wanted = min(tried, key=lambda one: _loss(right, _out_of_fold(rows, right, codes, one)))
    slopes, shifts = _fitted(rows, right, wanted)
    half = np.random.default_rng(0).permutation(int(codes.max()) + 1)[codes] % 2 == 0
    set_slope, limits = _set_thresholds(rows, right, codes, half)
    covered, size = _covered(_softmax(set_slope * rows[half]), right[half], codes[half], limits, error)
    after, before = _out_of_fold(rows, right, codes, wanted), _softmax(rows)
    return ClassCalibration(
        wanted,
        tuple(labels),
        slopes,
        shifts,
        set_slope,
        limits,
        error,
        right.size,
        int(np.unique(codes).size),
        before=calibration_error(before.argmax(axis=1) == right, before.max(axis=1), codes),
        after=calibration_error(after.argmax(axis=1) == right, after.max(axis=1), codes),
        covered=covered,
        set_size=size,
    )


def _covered(
    found: Floats, right: Integers, codes: Integers, limits: Sequence[float | None], error: float
) -> tuple[Share | None, float | None]:
    """The share of sets that hold the right class, of which rows have these probabilities, and their mean
    size.
    """
    limit = limits[ERRORS.index(error)]
    if limit is None:
        return None, None
    possible = found >= np.minimum(limit, found.max(axis=1, keepdims=True))
    holds = possible[np.arange(right.size), right]
    interval = rate_interval(holds, np.unique(codes, return_inverse=True)[1], 0.95)
    share = Share("all", right.size, float(holds.mean()), interval)
    return share, float(possible.sum(axis=1).mean())


def _patients(right: Integers, codes: Integers, classes: int) -> Integers:
    """How many patients each class has."""
    return np.array([np.unique(codes[right == one]).size for one in range(classes)], np.intp)


def _require(rows: Floats, codes: Integers, counts: Integers, error: float) -> None:
    patients = int(np.unique(codes).size)
    needed = max(FEWEST_PATIENTS, 2 * patients_needed(error) + 2)
    if (counts > 0).sum() == 1:
        raise ModelError("one-class-only", "All cases are of one class: label cases of the others, too.")
    if patients < needed:
        raise ModelError(
            "too-few-cases", f"There are {patients} labelled patients: it takes at least {needed}."
        )
    if not np.isfinite(rows).all():
        raise ModelError(
            "margin-not-finite",
            f"{int((~np.isfinite(rows).all(axis=1)).sum())} of the cases have a margin that is no number: "
            "leave out what could not be scored, or embed it again.",
        )


def _fitted(rows: Floats, right: Integers, method: str) -> tuple[Floats, Floats]:
    """Slopes and shifts [K] of the least log-loss; slopes are kept above 0."""
    from scipy.optimize import minimize

    classes = rows.shape[1]
    hit = np.zeros(rows.shape)
    hit[np.arange(right.size), right] = 1.0
    free = classes if method == "vector" else 1

    def loss(state: Floats) -> tuple[float, Floats]:
        slope = np.exp(state[:free])
        shift = state[free:] if method == "vector" else np.zeros(classes)
        found = _softmax(slope * rows + shift)
        residual = (found - hit) / right.size
        by_slope = (residual * rows * slope).sum(axis=0)
        value = -float(np.log(np.maximum(found[np.arange(right.size), right], 1e-300)).mean())
        if method == "vector":
            return value, np.concatenate([by_slope, residual.sum(axis=0)])
        return value, np.array([by_slope.sum()])

    start = np.zeros(2 * classes if method == "vector" else 1)
    bounds = [(-7.0, 7.0)] * start.size
    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds).x
    slopes = np.exp(found[:free]) * np.ones(classes)
    return slopes, found[free:] if method == "vector" else np.zeros(classes)


def _out_of_fold(rows: Floats, right: Integers, codes: Integers, method: str) -> Floats:
    folds = group_folds(np.eye(rows.shape[1])[right], codes, FOLDS, 0)
    found = np.empty(rows.shape)
    for fold in range(FOLDS):
        slopes, shifts = _fitted(rows[folds != fold], right[folds != fold], method)
        found[folds == fold] = _softmax(slopes * rows[folds == fold] + shifts)
    return found


def _loss(right: Integers, probability: Floats) -> float:
    return -float(np.log(np.maximum(probability[np.arange(right.size), right], 1e-15)).mean())


def _set_thresholds(
    rows: Floats, right: Integers, codes: Integers, half: Bools
) -> tuple[float, tuple[float | None, ...]]:
    """The temperature of sets, from one half of the patients, and the thresholds, from the other half."""
    slope = float(_fitted(rows[half], right[half], "temperature")[0][0])
    other = np.flatnonzero(~half)
    other = other[one_of_each(codes[other])]
    return slope, _mapie_thresholds(slope * rows[other], right[other])


def _mapie_thresholds(logits: Floats, right: Integers) -> tuple[float | None, ...]:
    """For each of `ERRORS` the least probability that MAPIE's sets hold, None where cases are too few."""
    import warnings

    from mapie.classification import SplitConformalClassifier

    enough = [error for error in ERRORS if right.size >= patients_needed(error)]
    probability = _softmax(logits)
    with warnings.catch_warnings():
        # Of a class without a case, which the set's threshold does not need.
        warnings.simplefilter("ignore", UserWarning)
        levels = [1 - error for error in enough]
        sets = SplitConformalClassifier(_softmax_estimator(logits.shape[1]), confidence_level=levels)
        sets.conformalize(logits, right)
        held = sets.predict_set(logits)[1]
    found: dict[float, float | None] = dict.fromkeys(ERRORS)
    for place, error in enumerate(enough):
        found[error] = float(probability[held[:, :, place]].min(initial=1.0))
    return tuple(found.values())


def _softmax_estimator(classes: int) -> Any:
    """scikit-learn's estimator whose probabilities are the softmax of its features."""
    from sklearn.linear_model import LogisticRegression

    estimator = LogisticRegression()
    estimator.classes_ = np.arange(classes)
    estimator.coef_ = np.eye(classes) if classes > 2 else np.array([[-1.0, 1.0]])
    estimator.intercept_ = np.zeros(len(estimator.coef_))
    estimator.n_features_in_ = classes
    return estimator


def _softmax(logits: Floats) -> Floats:
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    probability: Floats = exponentials / exponentials.sum(axis=1, keepdims=True)
    return probability
