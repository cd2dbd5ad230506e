"""What a probe is worth, in detail: operating points, folds, subgroups, patients needed; and its card."""

from __future__ import annotations

from typing import Literal

from medsiglip.answers.answer import Answer, Figure, Level, ShownText

Interval = tuple[Figure, Figure]
"""A 95 % interval."""


class OperatingPoint(Answer):
    """A limit and what it is worth. `rule` says how it was chosen, `target` what a fixed sensitivity or
    specificity was to be. A case whose uncalibrated score (JSON `probability` of an answer that is not
    `calibrated`) is at least `threshold` is called positive.

    Sensitivity and specificity were counted on each fold at the limit that the other folds chose.
    """

    rule: Literal["youden", "sensitivity", "specificity"]
    target: float | None = None
    threshold: float
    sensitivity: Figure
    sensitivity_ci: Interval
    specificity: Figure
    specificity_ci: Interval


class FoldFigures(Answer):
    """AUROC of the cases of one fold, counted from 1; `groups` counts their patients."""

    fold: int
    n: int
    positive: int
    groups: int
    auroc: Figure
    auroc_ci: Interval


class SubgroupFigures(Answer):
    """The cases of which `attribute` is `value`, out of fold; sensitivity and specificity at Youden's point.

    `difference` is their AUROC less that of the others, `p_value` the chance of one as low if there were
    none, adjusted for all comparisons of the probe; None where few patients are on one side. `predicted` is
    the mean score and `observed` the share of positive cases. `warning` says what is small or worse.
    """

    attribute: Literal["patient_sex", "age", "manufacturer", "site"]
    value: str
    n: int
    positive: int
    groups: int
    auroc: Figure
    auroc_ci: Interval
    sensitivity: Figure
    sensitivity_ci: Interval
    specificity: Figure
    specificity_ci: Interval
    predicted: Figure
    observed: Figure
    difference: Figure = None
    p_value: Figure = None
    warning: str | None = None


class ScoreCounts(Answer):
    """How many cases with the label, and without it, have a score in each of 50 equal steps from 0 to 1. At a
    threshold of i / 50 those of step i and above are called positive, out of fold.
    """

    positive: tuple[int, ...]
    negative: tuple[int, ...]


class ReliabilityPoint(Answer):
    """`n` cases of about equal score: its mean, and the share of those with the label."""

    n: int
    predicted: float
    observed: float
    observed_ci: Interval


class SubgroupCounts(Answer):
    """The counts of the cases of which `attribute` is `value`."""

    attribute: Literal["patient_sex", "age", "manufacturer", "site"]
    value: str
    counts: ScoreCounts


class LabelCurves(Answer):
    """What a label's scores are worth at every threshold, out of fold: points of ROC (1 - specificity,
    sensitivity) and of precision over recall (recall, precision), the reliability of the scores, and how many
    cases have which score. Empty or null where the probe was trained by an earlier version.
    """

    label: str
    roc: tuple[tuple[float, float], ...] = ()
    precision_recall: tuple[tuple[float, float], ...] = ()
    reliability: tuple[ReliabilityPoint, ...] = ()
    counts: ScoreCounts | None = None
    subgroups: tuple[SubgroupCounts, ...] = ()


class ProbeCurves(Answer):
    """The curves of a version of a probe, by label."""

    name: str
    version: int | None = None
    space: str
    labels: tuple[LabelCurves, ...]


class LearningPoint(Answer):
    """AUROC out of fold after training on about so many patients (`groups`): the mean over `draws`, and the
    least and greatest of them, which is no interval.
    """

    groups: int
    draws: int
    auroc: Figure
    lowest: Figure
    highest: Figure


class ProbePopulation(Answer):
    """Of whom the labelled cases of a probe are. The counts by sex, age, manufacturer and site are of
    patients, `not known` among them; `study_dates` are the first and the last.
    """

    patients: int
    studies: int
    cases: int
    patient_sex: dict[str, int]
    age: dict[str, int]
    manufacturer: dict[str, int]
    site: dict[str, int]
    study_dates: tuple[str, str] | None = None


class Suspect(Answer):
    """A case whose label may be wrong: `id` names the image, series or study that was scored.

    `given` is the label's value, `probability` the score, out of fold, of what was given, and `margin`, 0 to
    1, is low where that looks wrong. Of classes that exclude each other, `suggested` is the one that looks
    right.
    """

    label: str
    study_instance_uid: str
    id: str
    given: float
    probability: float
    margin: float
    suggested: str | None = None


class ProbeSuspects(Answer):
    """The cases whose labels most look wrong, the most suspicious first; `found` counts all that were found
    by the training.
    """

    name: str
    version: int | None = None
    space: str
    level: Level
    found: int
    suspects: tuple[Suspect, ...]
    warnings: tuple[str, ...] = ()


class CardItem(Answer):
    """One item of a probe card, and the item of TRIPOD+AI and of CLAIM 2024 that asks for it."""

    section: str
    item: str
    text: str
    tripod_ai: str | None = None
    claim: str | None = None


class ProbeCard(Answer):
    """What a colleague must know of a probe, item by item. `path` is the page that was written."""

    name: str
    version: int | None = None
    space: str
    items: tuple[CardItem, ...]
    path: ShownText | None = None
