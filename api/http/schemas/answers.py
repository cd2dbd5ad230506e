"""What the three questions are answered with: fields as the command line's JSON has them."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from medsiglip.api.http.schemas.values import Level


class Answer(BaseModel):
    """An answer; later versions may add fields."""

    model_config = ConfigDict(extra="allow")


class AskedImage(Answer):
    """The image that was asked about, or that drove a score; `path` is shown to `admin` alone."""

    sop_instance_uid: str | None = None
    frame: int | None = None
    image_id: int | None = None
    rendering: str | None = None
    warnings: list[str] = Field(default_factory=list)
    path: str | None = None


class Score(Answer):
    """How well a label fits: `probability` in 0..1, `cosine` in -1..1, null for a probe."""

    label: str
    probability: float
    cosine: float | None = None


class FileError(BaseModel):
    """Why one of several files has no scores."""

    code: str
    message: str


class FileScores(Answer):
    """Scores of one of several files, or why there are none."""

    image: AskedImage | None = None
    scores: list[Score] | None = None
    error: FileError | None = None


class ClassifyAnswer(Answer):
    """Scores of a file or a study, best first; of several files in `results`, in their order."""

    model_config = ConfigDict(
        extra="allow",
        json_schema_extra={
            "example": {
                "space": "0f3a5c7e9b1d-medsiglip-eval-1152",
                "study_instance_uid": "1.2.840.1",
                "image": {"image_id": 17, "sop_instance_uid": "1.2.840.1.2", "frame": 0},
                "images": 2,
                "pooling": "maximum",
                "scores": [{"label": "pleural-effusion", "probability": 0.91, "cosine": 0.13}],
            }
        },
    )

    space: str
    study_instance_uid: str | None = None
    image: AskedImage | None = None
    scores: list[Score] | None = None
    results: list[FileScores] | None = None


class Hit(Answer):
    """One similar image, series or study; `score` is cosine similarity, `percentile` where it stands among
    all that might have been found.
    """

    rank: int
    score: float
    image_id: int
    study_instance_uid: str
    series_instance_uid: str
    sop_instance_uid: str
    frame: int
    modality: str | None
    patient_key: str
    labels: dict[str, float | None]
    path: str | None = None
    percentile: float | None = None


class SearchAnswer(Answer):
    """Hits, best first."""

    model_config = ConfigDict(
        extra="allow",
        json_schema_extra={
            "example": {
                "space": "0f3a5c7e9b1d-medsiglip-eval-1152",
                "level": "image",
                "query": {"text": "left pleural effusion"},
                "hits": [
                    {
                        "rank": 1,
                        "score": 0.82,
                        "image_id": 17,
                        "study_instance_uid": "1.2.840.1",
                        "series_instance_uid": "1.2.840.1.1",
                        "sop_instance_uid": "1.2.840.1.1.1",
                        "frame": 0,
                        "modality": "CR",
                        "patient_key": "9f86d081884c7d65",
                        "labels": {"pleural-effusion": 1},
                        "percentile": 0.99,
                    }
                ],
                "background": None,
            }
        },
    )

    space: str
    level: Level
    hits: list[Hit]
    query: dict[str, Any]
    background: dict[str, Any] | None = None


class StudyLine(Answer):
    """A study in a list; `series` and `images` are counts."""

    study_instance_uid: str
    patient_key: str
    study_date: str | None
    modalities: list[str]
    series: int
    images: int
    labels: dict[str, float | None]


class StudyList(BaseModel):
    """Studies; `total` counts all that fit, of which this is a page."""

    studies: list[StudyLine]
    total: int


class StudyAnswer(Answer):
    """A study with its series and images; `identity` only in a home that keeps it, for `admin`."""

    study_instance_uid: str
    patient_key: str
    study_date: str | None
    labels: dict[str, float | None]
    series: list[dict[str, Any]]
    images: list[dict[str, Any]]


class Removed(Answer):
    """What a deletion took out, in counts."""

    studies: int
    series: int
    instances: int
    images: int
    files: int
    patient_key: str | None = None
    study_instance_uid: str | None = None


class Info(Answer):
    """The service: what it encodes with and what it holds."""

    version: str
    model: str = Field(description="what `model` of POST /v1/embeddings may say")
    space: str
    profile: str
    dimension: int
    image_size: int
    demonstration: bool = Field(description="the model is for demonstrations: its answers mean nothing")
    prompt_sets: list[str]
    index: dict[str, Any]
