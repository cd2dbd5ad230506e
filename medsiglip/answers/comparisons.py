"""Figures of two models, two groups of cases, or images as they are and as they could have come."""

from __future__ import annotations

from typing import Literal

from medsiglip.answers.answer import Answer, Figure, Level

Interval = tuple[Figure, Figure]
"""A 95 % interval."""


class ComparedSpace(Answer):
    """A space of the home: what made its vectors."""

    name: str
    model: str
    profile: str


class FigureDifference(Answer):
    """A figure of one label, or of all together where `label` is None, in the `first` and the `second` space
    or state; `difference` is the second less the first. `reason` says why there is no interval.
    """

    figure: str
    label: str | None = None
    first: Figure
    second: Figure
    difference: Figure
    difference_ci: Interval
    reason: str | None = None


class SpaceComparison(Answer):
    """Two models or profiles on the same cases: those of which both spaces have a vector; `left_out` counts
    the images that one of them lacks. Each interval is of one figure alone: of many, one in twenty misses.
    """

    kind: Literal["retrieval", "zero-shot", "probe"]
    level: Level
    spaces: tuple[ComparedSpace, ComparedSpace]
    cases: int
    patients: int
    left_out: int
    compare: Literal["means", "sets"] | None = None
    prompts: str | None = None
    probe: str | None = None
    figures: tuple[FigureDifference, ...]
    warnings: tuple[str, ...] = ()


class DriftCase(Answer):
    """A case that stands apart: how much farther it is, on average, from the patients of the other group than
    from those of its own, as a difference of distances between unit vectors.
    """

    id: str
    study_instance_uid: str
    patient_key: str
    modality: str | None = None
    group: Literal["reference", "current"]
    apart: Figure


class DriftReport(Answer):
    """Whether the cases of two filters look alike to the model, by patient.

    `auroc` is how well a classifier tells them apart on patients that it has not seen, .5 where it cannot;
    `energy` is their energy distance as a share of what it could be. `auroc_p` and `energy_p` come from
    `permutations` of whole patients. `differs` says that one of them is at most half of `false_alarm`, so
    that of comparisons without a difference no more than that share is called different. Patients who are
    `in_both` are in neither; `compared` of each group were looked at. `modalities` counts the cases by group.
    """

    level: Level
    space: str
    reference: tuple[str, ...]
    current: tuple[str, ...]
    reference_cases: int
    current_cases: int
    reference_patients: int
    current_patients: int
    in_both: int
    compared: tuple[int, int]
    auroc: Figure
    auroc_ci: Interval
    auroc_p: float
    energy: Figure
    energy_p: float
    permutations: int
    false_alarm: float
    differs: bool
    modalities: dict[str, dict[str, int]]
    cases: tuple[DriftCase, ...]
    warnings: tuple[str, ...] = ()


class ShiftFigures(Answer):
    """What one change of the pictures does. `cosine` is the median over patients of how alike the vectors of
    the changed and the unchanged picture are, `cosine_low` that of the tenth of the images that changed most.
    `labels` have the AUROC before and after.
    """

    name: str
    description: str
    cosine: Figure
    cosine_ci: Interval
    cosine_low: Figure
    labels: tuple[FigureDifference, ...]


class RobustnessReport(Answer):
    """What changes of the pictures do to a prompt set or a probe: `shifts` one at a time, and `chain`, of
    which each entry goes one stage farther. `missing` counts images whose file is not where it was,
    `left_out` cases of which none is left, and `trained_on` those that the probe was trained on.
    """

    level: Level
    space: str
    prompts: str | None = None
    probe: str | None = None
    cases: int
    patients: int
    images: int
    missing: int
    left_out: int
    trained_on: int | None = None
    shifts: tuple[ShiftFigures, ...]
    chain: tuple[ShiftFigures, ...]
    warnings: tuple[str, ...] = ()
