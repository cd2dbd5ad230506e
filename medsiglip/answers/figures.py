"""Probes, and figures on labelled cases: AUROC by label, and retrieval."""

from __future__ import annotations

from pydantic import ConfigDict

from medsiglip.answers.answer import Answer, Figure, Level

Interval = tuple[Figure, Figure]
"""A 95 % interval."""


class ProbeLabel(Answer):
    """Out-of-fold figures of one label, folds split by patient; `auroc_ci` is the 95 % interval, `c` the
    strength of regularisation that was chosen.
    """

    label: str
    n: int
    positive: int
    auroc: Figure
    auroc_ci: Interval | None
    auprc: Figure
    c: float | None = None


class Probe(Answer):
    """A trained probe. `groups` counts the labelled patients, `modalities` names by label where its cases
    came from.
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


class ProbeList(Answer):
    """The probes by name."""

    probes: tuple[ProbeSummary, ...]


class LabelFigures(Answer):
    """AUROC of one label over its `n` labelled cases; `reason` says why there is none."""

    label: str
    n: int
    positive: int
    auroc: Figure
    auroc_ci: Interval
    reason: str | None


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


class LabelRetrieval(Answer):
    """Retrieval figures over the queries that carry one label."""

    label: str
    queries: int
    excluded: int
    precision_at: dict[str, Figure]
    recall_at: dict[str, Figure]
    map: Figure
    chance: Figure
    ci: dict[str, Interval]
    reason: str | None


class RetrievalEvaluation(Answer):
    """Means over queries, and their 95 % intervals in `ci`; `precision_at` and `recall_at` go by rank.

    `excluded` counts the queries to which nothing is relevant, `chance` is the precision of a random
    ranking, and `reason` says why there is no figure.
    """

    level: Level
    space: str
    queries: int
    excluded: int
    precision_at: dict[str, Figure]
    recall_at: dict[str, Figure]
    map: Figure
    chance: Figure
    ci: dict[str, Interval]
    reason: str | None
    labels: tuple[LabelRetrieval, ...]
