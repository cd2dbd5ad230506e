"""Probes that leave an archive, and cases that a probe would have labelled next."""

from __future__ import annotations

from typing import Literal

from medsiglip.answers.answer import Answer, Figure, Level, ShownText


class ExportedProbe(Answer):
    """A version of a probe that was written as `files` below `path`."""

    name: str
    version: int
    path: ShownText
    files: tuple[str, ...]


class Suggestion(Answer):
    """A study that is worth a label, and why: `uncertain` (the probe is about undecided, and the study unlike
    those before it), `diverse` (unlike all that is labelled or suggested) or `random`.

    `label` is the one that the probe is least sure of, with its score; `distance` is 1 less the greatest
    cosine similarity to what is labelled or suggested before.
    """

    rank: int
    study_instance_uid: str
    patient_key: str
    reason: Literal["uncertain", "diverse", "random"]
    label: str
    probability: float
    calibrated: bool = False
    uncertainty: float
    distance: Figure = None


class LabelsNeeded(Answer):
    """What would halve the 95 % interval of a label's AUROC, which has this `interval_width`: `more_patients`
    labelled beside the `patients` that it was measured on, with the same share of positives. None where there
    is no interval.
    """

    label: str
    patients: int
    interval_width: Figure
    more_patients: int | None


class ProbeSuggestions(Answer):
    """Studies without any of a probe's labels, one of each patient, most useful first.

    `considered` counts the studies that were looked at, `candidates` those of patients without a label.
    """

    name: str
    version: int
    space: str
    level: Level
    considered: int
    candidates: int
    suggestions: tuple[Suggestion, ...]
    labels_needed: tuple[LabelsNeeded, ...]
    warnings: tuple[str, ...] = ()
