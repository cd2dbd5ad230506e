"""The figures of a probe beyond AUROC: operating points, folds, calibration and curves.

All are made from `OutOfFold`, without training anything again.
"""

from dataclasses import dataclass, replace

import numpy as np

from medsiglip.figures.calibration_error import calibration_error
from medsiglip.figures.intervals import Bools
from medsiglip.figures.metrics import estimate_scores
from medsiglip.figures.operating_points import ChosenPoint, Rule, operating_point
from medsiglip.numerics import Floats, Integers, sigmoid
from medsiglip.probes.out_of_fold import OutOfFold
from medsiglip.probes.patient_folds import group_folds
from medsiglip.probes.report import (
    Curves,
    FoldFigures,
    LabelReport,
    OperatingPoint,
    ProbeReport,
    ReliabilityPoint,
    ScoreCounts,
)

POINTS: tuple[tuple[Rule, float | None], ...] = (
    ("youden", None),
    ("sensitivity", 0.9),
    ("specificity", 0.9),
)
"""The operating points of a report."""

STEPS = 50
"""Steps of the counts of probabilities."""
_CURVE_POINTS = 101
_SAME_ROW_FOLDS = 5


@dataclass(frozen=True, slots=True, eq=False)
class LabelRows:
    """The rows of one label whose truth is known: `rows` are their places in `OutOfFold`.

    `scores` rank them, `limits` are on the scale on which a limit is chosen, and `base` leads from there to
    the logit of the probability of the probe that is kept.
    """

    rows: Integers
    positive: Bools
    scores: Floats
    limits: Floats
    base: float
    probability: Floats
    codes: Integers
    fold: Integers

    @staticmethod
    def of(found: OutOfFold, column: int) -> "LabelRows":
        """The rows of the label in this column."""
        rows = np.flatnonzero(~np.isnan(found.truth[:, column]))
        probability = found.probability[rows, column]
        scores = found.scores[rows, column]
        limits, base = scores, float((found.logits[rows, column] - scores).mean())
        if found.exclusive:
            clipped = np.clip(probability, 1e-15, 1 - 1e-15)
            limits, base = np.log(clipped / (1 - clipped)), 0.0
        codes = np.unique(found.groups[rows], return_inverse=True)[1]
        return LabelRows(
            rows,
            found.truth[rows, column] == 1.0,
            scores,
            limits,
            base,
            probability,
            codes,
            found.fold[rows],
        )

    def counts(self, inside: Bools | None = None) -> ScoreCounts:
        """How many rows, or of those that are `inside`, are called positive by any limit."""
        edges = np.arange(STEPS) / STEPS
        steps = np.searchsorted(edges, sigmoid(self.limits + self.base), side="right") - 1
        within = np.ones(self.rows.size, bool) if inside is None else inside
        found = [
            tuple(np.bincount(steps[within & rows], minlength=STEPS).tolist())
            for rows in (self.positive, ~self.positive)
        ]
        return ScoreCounts(*found)

    def folds_for_limits(self) -> Integers:
        """The folds on which limits are chosen and tried: those of the training or, of one split, others."""
        if np.unique(self.fold).size > 1:
            return self.fold
        truth = self.positive.astype(np.float64)[:, None]
        return group_folds(truth, self.codes, _SAME_ROW_FOLDS, 0)


def with_figures(report: ProbeReport, found: OutOfFold) -> ProbeReport:
    """The report with operating points, folds, calibration error and curves for each of its labels."""
    column = {label: place for place, label in enumerate(found.labels)}
    labels = [_measured(entry, LabelRows.of(found, column[entry.label])) for entry in report.labels]
    return replace(report, labels=tuple(labels))


def _measured(entry: LabelReport, known: LabelRows) -> LabelReport:
    error = calibration_error(known.positive.astype(np.float64), known.probability, known.codes)
    reliability = tuple(
        ReliabilityPoint(one.n, one.predicted, one.observed, one.interval) for one in error.bins
    )
    roc, precision_recall = _curves(known.positive, known.scores)
    return replace(
        entry,
        calibration_error=error.value,
        calibration_error_ci=error.interval,
        operating_points=tuple(
            _stated(known, rule, target, found)
            for rule, target in POINTS
            if (found := chosen(known, rule, target)) is not None
        ),
        fold_figures=_folds(known),
        curves=Curves(roc, precision_recall, reliability, known.counts()),
    )


def _stated(known: LabelRows, rule: Rule, target: float | None, found: ChosenPoint) -> OperatingPoint:
    threshold = float(sigmoid(np.array([found.limit + known.base]))[0])
    worth = found.shares
    return OperatingPoint(
        rule,
        target,
        threshold,
        worth.sensitivity,
        worth.sensitivity_interval,
        worth.specificity,
        worth.specificity_interval,
    )


def chosen(known: LabelRows, rule: Rule, target: float | None) -> ChosenPoint | None:
    """The operating point of a label by a rule; None where the rows outside a fold are of one class."""
    fold = known.folds_for_limits()
    outside = [known.positive[fold != number] for number in np.unique(fold)]
    if not all(rows.any() and not rows.all() for rows in outside):
        return None
    return operating_point(known.positive, known.limits, known.codes, fold, rule, target)


def _folds(known: LabelRows) -> tuple[FoldFigures, ...]:
    figures = []
    for number in np.unique(known.fold):
        rows = known.fold == number
        truth = known.positive[rows].astype(np.float64)
        area = estimate_scores(truth, known.scores[rows], known.codes[rows], quick=True).auroc
        figures.append(
            FoldFigures(int(number) + 1, area.n, area.positive, area.groups, area.value, area.interval)
        )
    return tuple(figures)


def _curves(
    positive: Bools, scores: Floats
) -> tuple[tuple[tuple[float, float], ...], tuple[tuple[float, float], ...]]:
    """Points of ROC and of precision over recall: of many, some at even distances."""
    order = np.argsort(-scores, kind="stable")
    ranked = scores[order]
    last = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True))
    hits = np.cumsum(positive[order])[last].astype(np.float64)
    called = last + 1.0
    sensitivity = np.append(0.0, hits / max(positive.sum(), 1))
    false = np.append(0.0, (called - hits) / max((~positive).sum(), 1))
    roc = _thinned(sensitivity + false)
    precision = hits / called
    recall = sensitivity[1:]
    along = _thinned(recall + np.append(0.0, np.abs(np.diff(precision)).cumsum()))
    return _pairs(false[roc], sensitivity[roc]), _pairs(recall[along], precision[along])


def _thinned(length: Floats) -> Integers:
    """The places of at most 101 points that are about as far from each other along a curve, ends included."""
    if length.size <= _CURVE_POINTS:
        return np.arange(length.size)
    wanted = np.linspace(length[0], length[-1], _CURVE_POINTS)
    found: Integers = np.unique(np.minimum(np.searchsorted(length, wanted), length.size - 1))
    return found


def _pairs(across: Floats, up: Floats) -> tuple[tuple[float, float], ...]:
    return tuple((round(float(x), 4), round(float(y), 4)) for x, y in zip(across, up, strict=True))
