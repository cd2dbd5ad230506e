"""What the calibration of one label is worth, on patients that it was not made from, and how it is kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from medsiglip.calibration.calibration import Calibration, unreadable
from medsiglip.calibration.conformal import (
    DEFAULT_ERROR,
    Decision,
    Share,
    Side,
    Strata,
    Thresholds,
    decision,
    known_error,
    patients_needed,
    thresholds,
)
from medsiglip.calibration.fitting import (
    FEWEST_OF_A_CLASS,
    FOLDS,
    chosen,
    fitted,
    known_cases,
    methods,
    out_of_fold,
    require_cases,
)
from medsiglip.figures.calibration_error import CalibrationError, calibration_error
from medsiglip.figures.intervals import Bools, rate_interval
from medsiglip.numerics import Floats, Integers, sigmoid
from medsiglip.probes.patient_folds import group_folds

_CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True)
class Judgement:
    """A calibrated probability, and at the error bound what stays possible and the verdict; None where there
    were too few patients for that bound.
    """

    probability: float
    sides: tuple[Side, ...] | None
    verdict: Decision | None


@dataclass(frozen=True, slots=True)
class ConformalFigures:
    """At an error bound, on patients other than those of the thresholds: which share of the sets holds the
    truth, by class and by stratum, and the shares of cases that are answered present, absent and undecided.
    """

    error: float
    covered: tuple[Share, ...]
    present: float
    absent: float
    undecided: float


@dataclass(frozen=True, slots=True)
class LabelCalibration:
    """The calibration of one label with its thresholds and the `error` bound that answers take.

    `n`, `positive` and `groups` count the cases with a known label and their patients. `before` and `after`
    are the calibration errors of uncalibrated scores and, out of fold by patient, of calibrated ones;
    `conformal` is None where a fold had too few patients for the bound. All three are None once loaded.
    """

    calibration: Calibration
    thresholds: Thresholds
    error: float
    n: int
    positive: int
    groups: int
    before: CalibrationError | None = None
    after: CalibrationError | None = None
    conformal: ConformalFigures | None = None

    def judge(self, margin: float, error: float | None = None) -> Judgement:
        """What the margin of one case says."""
        probability = float(self.calibration.probability(margin))
        sides = self.thresholds.sides(margin, self.error if error is None else error, probability)
        return Judgement(probability, sides, None if sides is None else decision(sides))

    def to_json(self) -> dict[str, Any]:
        """What `from_json` needs, as JSON values, without the figures."""
        return {
            "calibration": self.calibration.to_json(),
            "thresholds": self.thresholds.to_json(),
            "error": self.error,
            "n": self.n,
            "positive": self.positive,
            "groups": self.groups,
        }

    @staticmethod
    def from_json(stored: Mapping[str, Any]) -> LabelCalibration:
        """What `to_json` gave. Raises ModelError "calibration-unreadable" for anything else."""
        try:
            return LabelCalibration(
                Calibration.from_json(stored["calibration"]),
                Thresholds.from_json(stored["thresholds"]),
                known_error(float(stored["error"])),
                int(stored["n"]),
                int(stored["positive"]),
                int(stored["groups"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise unreadable(error) from error


def calibrate_label(
    margins: npt.ArrayLike,
    truth: npt.ArrayLike,
    groups: Sequence[object] | npt.NDArray[Any],
    *,
    method: str = "auto",
    error: float = DEFAULT_ERROR,
    strata: Strata | None = None,
) -> LabelCalibration:
    """Calibrate one label by margins [n], truth [n] of 0, 1 or NaN, and the patient of each case.

    The method is chosen anew in each fold, so that the figures are those of the whole procedure. Raises
    ModelError as `fit` does, "bad-error-bound", and "too-few-cases" where the bound takes more patients.
    """
    error = known_error(error)
    scores, values, codes = known_cases(margins, truth, groups)
    require_cases(values, codes, max(FEWEST_OF_A_CLASS, patients_needed(error)))
    kept = ~np.isnan(np.asarray(truth, np.float64))
    tried = methods(method, codes)
    own = {
        name: [one for one, keep in zip(names, kept, strict=True) if keep]
        for name, names in (strata or {}).items()
    }
    own = {name: names for name, names in own.items() if len(set(names)) > 1}

    def fit_one(m: Floats, t: Floats, g: Integers) -> Calibration:
        return fitted(m, t, g, chosen(m, t, g, tried))

    after = out_of_fold(scores, values, codes, fit_one)
    return LabelCalibration(
        calibration=fit_one(scores, values, codes),
        thresholds=thresholds(scores, values, codes, own),
        error=error,
        n=values.size,
        positive=int(values.sum()),
        groups=int(np.unique(codes).size),
        before=calibration_error(values, sigmoid(scores), codes),
        after=calibration_error(values, after, codes),
        conformal=_conformal_figures((scores, values, codes), after, error, own),
    )


def _conformal_figures(
    cases: tuple[Floats, Floats, Integers], probability: Floats, error: float, strata: Strata
) -> ConformalFigures | None:
    """The figures of sets whose thresholds come from the other folds' patients."""
    margins, truth, codes = cases
    folds = group_folds(truth[:, None], codes, FOLDS, 0)
    sides: list[tuple[Side, ...]] = [()] * truth.size
    for fold in range(FOLDS):
        rows = np.flatnonzero(folds != fold)
        others = {name: [names[row] for row in rows.tolist()] for name, names in strata.items()}
        limits = thresholds(margins[rows], truth[rows], codes[rows], others)
        for row in np.flatnonzero(folds == fold):
            found = limits.sides(float(margins[row]), error, float(probability[row]))
            if found is None:
                return None
            sides[row] = found
    holds = np.array(
        [("present" if value else "absent") in one for value, one in zip(truth, sides, strict=True)]
    )
    verdicts = [decision(one) for one in sides]
    shares = [verdicts.count(name) / len(verdicts) for name in ("present", "absent", "undecided")]
    return ConformalFigures(error, tuple(_covered(holds, truth, codes, strata)), *shares)


def _covered(holds: Bools, truth: Floats, codes: Integers, strata: Strata) -> list[Share]:
    """By class, over all cases, and in each stratum by class."""
    parts = {"present": truth == 1.0, "absent": truth == 0.0}
    for name, names in strata.items():
        for stratum in sorted({one for one in names if one is not None}):
            held = np.array([one == stratum for one in names], bool)
            parts |= {f"{side}, {name} {stratum}": held & parts[side] for side in ("present", "absent")}
    found = []
    for name, rows in parts.items():
        if rows.any():
            own = np.unique(codes[rows], return_inverse=True)[1]
            interval = rate_interval(holds[rows], own, _CONFIDENCE)
            found.append(Share(name, int(rows.sum()), float(holds[rows].mean()), interval))
    return found
