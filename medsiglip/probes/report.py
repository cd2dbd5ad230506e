"""How well a probe does on groups it has not seen: what is kept with it, and what its card is made of.

`ProbeReport` has a `LabelReport` for each label. What a probe of an earlier version lacks is None or empty.
Figures are out of fold; names that end in `_ci` are 95 % intervals, whose units are groups (patients).
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

Interval = tuple[float, float]


@dataclass(frozen=True, slots=True)
class OperatingPoint:
    """A limit, and how many rows are right there. `rule` is `youden`, `sensitivity` or `specificity`, and
    `target` the value that the latter two ask for.

    `threshold` is a probability of the probe that is kept: a row of at least this is called positive.
    Sensitivity and specificity were counted on each fold at the limit that the other folds chose.
    """

    rule: str
    target: float | None
    threshold: float
    sensitivity: float
    sensitivity_ci: Interval
    specificity: float
    specificity_ci: Interval


@dataclass(frozen=True, slots=True)
class FoldFigures:
    """One fold, counted from 1: its rows with a known label, the positive ones, their groups, and AUROC."""

    fold: int
    n: int
    positive: int
    groups: int
    auroc: float
    auroc_ci: Interval


@dataclass(frozen=True, slots=True)
class ScoreCounts:
    """How many rows of either class have a probability in each of 50 equal steps from 0 to 1: those of the
    step i have at least i / 50. The probabilities are on the scale of the thresholds of `OperatingPoint`.
    """

    positive: tuple[int, ...]
    negative: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class SubgroupFigures:
    """The rows of which `attribute` (`patient_sex`, `age`, `manufacturer` or `site`) is `value`.

    `difference` is their AUROC less that of all other rows of known value, `p_value` the chance of one as low
    if there were none, adjusted for the number of subgroups and labels that were looked at; both are None
    where too few patients are on one side. `predicted` is the mean probability and `observed` the share of
    positive rows. `warning` says what is small or worse.
    """

    attribute: str
    value: str
    n: int
    positive: int
    groups: int
    auroc: float
    auroc_ci: Interval
    sensitivity: float
    sensitivity_ci: Interval
    specificity: float
    specificity_ci: Interval
    predicted: float
    observed: float
    difference: float | None = None
    p_value: float | None = None
    warning: str | None = None
    counts: ScoreCounts | None = None


@dataclass(frozen=True, slots=True)
class LearningPoint:
    """AUROC out of fold after training on about so many groups whose label is known: the mean over `draws` of
    them, and the least and greatest, which is no interval.
    """

    groups: int
    draws: int
    auroc: float
    lowest: float
    highest: float


@dataclass(frozen=True, slots=True)
class ReliabilityPoint:
    """Rows of about equal probability: their mean probability, and the share of positive ones."""

    n: int
    predicted: float
    observed: float
    observed_ci: Interval


@dataclass(frozen=True, slots=True)
class Curves:
    """Points of ROC (1 - specificity, sensitivity) and of precision over recall (recall, precision), each at
    most 101, the reliability of the probabilities, and how many rows have which.
    """

    roc: tuple[tuple[float, float], ...]
    precision_recall: tuple[tuple[float, float], ...]
    reliability: tuple[ReliabilityPoint, ...]
    counts: ScoreCounts | None = None


@dataclass(frozen=True, slots=True)
class LabelReport:
    """Out-of-fold figures of one label over its `n` labelled rows, and the C of the probe that is kept.

    Sensitivity and specificity are those of a probability of 0.5 as the limit; `operating_points` has others.
    `calibration_error` is the expected calibration error of the probabilities. `suspects` counts the rows
    whose label may be wrong. `caution` says what few patients cannot show.
    """

    label: str
    n: int
    positive: int
    auroc: float
    auroc_ci: Interval
    auprc: float
    c: float
    auprc_ci: Interval | None = None
    sensitivity: float | None = None
    sensitivity_ci: Interval | None = None
    specificity: float | None = None
    specificity_ci: Interval | None = None
    caution: str | None = None
    calibration_error: float | None = None
    calibration_error_ci: Interval | None = None
    suspects: int | None = None
    operating_points: tuple[OperatingPoint, ...] = ()
    fold_figures: tuple[FoldFigures, ...] = ()
    subgroups: tuple[SubgroupFigures, ...] = ()
    learning_curve: tuple[LearningPoint, ...] = ()
    curves: Curves | None = None


@dataclass(frozen=True, slots=True)
class ProbeReport:
    """How well the probe does on groups it has not seen.

    `groups` counts all groups with a label, `folds` the folds they were dealt into. `warnings` holds one
    sentence for each label that was left out.
    """

    groups: int
    folds: int
    labels: tuple[LabelReport, ...]
    macro_auroc: float
    warnings: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The report as values that `json.dumps` takes."""
        return asdict(self)

    @staticmethod
    def from_json(content: Mapping[str, Any]) -> "ProbeReport":
        """The report that `to_json` wrote, of this version or an earlier one; TypeError for anything else."""
        from pydantic import TypeAdapter, ValidationError

        try:
            return TypeAdapter(ProbeReport).validate_python(dict(content))
        except ValidationError as error:
            raise TypeError("this is not the report of a probe") from error
