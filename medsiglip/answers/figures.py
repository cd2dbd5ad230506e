"""Probes, and figures on labelled cases: AUROC by label, and retrieval."""

from __future__ import annotations

from typing import Literal

from pydantic import ConfigDict, Field

from medsiglip.answers.answer import Answer, Figure, Level, Moment
from medsiglip.answers.probe_figures import (
    FoldFigures,
    LearningPoint,
    OperatingPoint,
    ProbePopulation,
    SubgroupFigures,
)

Interval = tuple[Figure, Figure]
"""A 95 % interval."""


class ProbeLabel(Answer):
    """Out-of-fold figures of one label over its `n` labelled cases, folds split by patient; `unknown` counts
    the cases whose label is not known, which were left out. Names ending in `_ci` are 95 % intervals.
    Sensitivity and specificity are those at a probability of 0.5. `caution` says what few patients cannot
    show, and `c` is the strength of regularisation that was chosen. `calibration_error` is the expected
    calibration error, and `suspects` counts the cases whose label may be wrong (`probe suspects`).
    """

    label: str
    n: int
    positive: int
    unknown: int | None = None
    auroc: Figure
    auroc_ci: Interval | None
    auprc: Figure
    auprc_ci: Interval | None = None
    sensitivity: Figure = None
    sensitivity_ci: Interval | None = None
    specificity: Figure = None
    specificity_ci: Interval | None = None
    caution: str | None = None
    c: float | None = None
    calibration_error: Figure = None
    calibration_error_ci: Interval | None = None
    suspects: int | None = None
    operating_points: tuple[OperatingPoint, ...] = ()
    fold_figures: tuple[FoldFigures, ...] = ()
    subgroups: tuple[SubgroupFigures, ...] = ()
    learning_curve: tuple[LearningPoint, ...] = ()


class Probe(Answer):
    """A trained probe. `version` counts the probes of its name from 1, and `predictions` the rows whose
    prediction is stored. `training_rows` is the hash of the rows, labels and vectors that it was trained on,
    `origin` says whether it was in this archive. `groups` counts the labelled patients; `modalities`,
    `regions` (parts of the body, `""` where not known) and `ages` (years, least and greatest) tell by label
    of which cases. `exclusive`: its labels are classes of which one is so. `pooling` is how the pictures of a
    series or study become one score. `split` names the column that said which cases were for training,
    validation and test, and `parts` how many patients each had: figures are then of the test part.
    `population` tells of whom the labelled cases are, and `label_source` where their labels came from.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "name": "effusion",
                "space": "0f3a5c7e9b1d-medsiglip-eval-1152",
                "level": "study",
                "groups": 120,
                "labels": [
                    {
                        "label": "effusion",
                        "n": 120,
                        "positive": 40,
                        "unknown": 12,
                        "auroc": 0.91,
                        "auroc_ci": [0.86, 0.95],
                        "auprc": 0.84,
                        "c": 1.0,
                    }
                ],
                "macro_auroc": 0.91,
            }
        },
    )

    name: str
    space: str
    groups: int
    folds: int | None = None
    labels: tuple[ProbeLabel, ...]
    macro_auroc: Figure
    warnings: tuple[str, ...] = ()
    level: Level
    where: tuple[str, ...] = ()
    modalities: dict[str, tuple[str, ...]] | None = None
    regions: dict[str, tuple[str, ...]] | None = None
    ages: dict[str, tuple[float, float]] | None = None
    version: int | None = None
    origin: Literal["trained", "imported"] | None = None
    training_rows: str | None = None
    predictions: int | None = None
    exclusive: bool = False
    pooling: Literal["mean", "max"] = "mean"
    split: str | None = None
    parts: dict[str, int] | None = None
    class_weight: Literal["balanced"] | None = None
    population: ProbePopulation | None = None
    label_source: Literal["csv", "stored"] | None = None
    trained_at: Moment | None = None


class ProbeSummary(Answer):
    """A probe in a list, with the names of its labels."""

    name: str
    space: str
    groups: int | None = None
    folds: int | None = None
    labels: tuple[str, ...]
    macro_auroc: Figure = None
    warnings: tuple[str, ...] = ()
    level: Level | None = None
    where: tuple[str, ...] = ()
    modalities: dict[str, tuple[str, ...]] | None = None
    regions: dict[str, tuple[str, ...]] | None = None
    ages: dict[str, tuple[float, float]] | None = None
    version: int | None = None


class ProbeList(Answer):
    """The probes by name."""

    probes: tuple[ProbeSummary, ...]


class LabelFigures(Answer):
    """AUROC and average precision of one label over its `n` labelled cases; `unknown` counts those whose
    label is not known. Sensitivity and specificity are those at a score of 0.5. `reason` says why there is no
    figure, `caution` what few patients cannot show. Of a label that is `calibrated` they are figures of
    patients whose cases the calibration was not made from, with its expected calibration error.
    """

    label: str
    n: int
    positive: int
    unknown: int | None = None
    auroc: Figure
    auroc_ci: Interval
    auprc: Figure = None
    auprc_ci: Interval | None = None
    sensitivity: Figure = None
    sensitivity_ci: Interval | None = None
    specificity: Figure = None
    specificity_ci: Interval | None = None
    reason: str | None
    caution: str | None = None
    calibrated: bool = False
    calibration_error: Figure = None
    calibration_error_ci: Interval | None = None


class ZeroShotEvaluation(Answer):
    """AUROC of a prompt set by label; `unlabelled` names the labels that no case carries, `warnings` tell of
    prompts that are longer than what the model reads.
    """

    prompts: str
    level: Level
    space: str
    labels: tuple[LabelFigures, ...]
    unlabelled: tuple[str, ...]
    macro_auroc: Figure
    warnings: tuple[str, ...] = ()


class ProbeEvaluation(Answer):
    """AUROC of a probe by label, on patients that it was not trained on."""

    name: str
    space: str
    level: Level
    patients_left_out: int
    labels: tuple[LabelFigures, ...]
    macro_auroc: Figure
    warnings: tuple[str, ...] = ()


class LabelRetrieval(Answer):
    """Retrieval figures over the queries that carry one label, among the cases of which it is known whether
    they do; `unknown` counts the others.
    """

    label: str
    queries: int
    excluded: int
    precision_at: dict[str, Figure]
    recall_at: dict[str, Figure]
    map: Figure
    chance: Figure
    chance_of: dict[str, Figure] = Field(default_factory=dict)
    ci: dict[str, Interval]
    unknown: int | None = None
    reason: str | None


class RetrievalEvaluation(Answer):
    """Means over queries, and their 95 % intervals in `ci`; `precision_at` and `recall_at` go by rank.

    `excluded` counts the queries to which nothing is relevant, or nothing known not to be, `unknown` the
    cases of which none of the labels is known. `chance_of` has for each figure what a random ranking of the
    same queries would reach on average, by the names of `ci`, and `chance` the share of the candidates that
    are relevant. `reason` says why there is no figure. Cases were compared by their `means`, or image by
    image, as `sets`.
    """

    level: Level
    space: str
    compare: Literal["means", "sets"] = "means"
    queries: int
    excluded: int
    precision_at: dict[str, Figure]
    recall_at: dict[str, Figure]
    map: Figure
    chance: Figure
    chance_of: dict[str, Figure] = Field(default_factory=dict)
    ci: dict[str, Interval]
    unknown: int | None = None
    reason: str | None
    labels: tuple[LabelRetrieval, ...]
    warnings: tuple[str, ...] = ()
