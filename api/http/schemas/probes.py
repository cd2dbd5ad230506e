"""Answers about labels and probes."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict

from medsiglip.api.http.schemas.answers import Answer, AskedImage
from medsiglip.api.http.schemas.values import Level


class LabelsStored(BaseModel):
    """What became of labels; `unmatched` are keys of rows that name nothing in the archive."""

    labels: list[str]
    rows: int
    matched: int
    unmatched: list[str]


class LabelLine(BaseModel):
    """A stored label at a level, with how many rows have it and how many are positive."""

    label: str
    level: str
    n: int
    positive: int


class LabelList(BaseModel):
    """The stored labels."""

    labels: list[LabelLine]


class ProbeLine(Answer):
    """A probe in a list."""

    name: str
    space: str
    labels: list[str]
    macro_auroc: float | None = None


class ProbeList(BaseModel):
    """The probes by name."""

    probes: list[ProbeLine]


class ProbeFigures(Answer):
    """Out-of-fold figures of one label, folds split by patient; `auroc_ci` is the 95 % interval."""

    label: str
    n: int
    positive: int
    auroc: float | None
    auroc_ci: list[float | None] | None
    auprc: float | None


class ProbeAnswer(Answer):
    """A trained probe."""

    model_config = ConfigDict(
        extra="allow",
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
    level: Level
    groups: int
    labels: list[ProbeFigures]
    macro_auroc: float | None


class Prediction(Answer):
    """Probabilities of a probe's labels, of one file or study; of several files in `results`."""

    name: str
    space: str
    study_instance_uid: str | None = None
    image: AskedImage | None = None
    probability: dict[str, float] | None = None
    results: list[dict[str, Any]] | None = None


class RemovedProbe(BaseModel):
    """A probe that is gone."""

    name: str
    removed: bool
