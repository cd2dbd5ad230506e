"""Answers to the three questions: classification, search, and what a probe predicts."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import ConfigDict

from medsiglip.answers.answer import Answer, AskedImage, ErrorDetail, Labels, Level, ShownText

How = Literal["compared", "proven", "approximate"]
Scoring = Literal["protocol", "sigmoid"]
Verdict = Literal["present", "absent", "undecided", "out-of-scope"]


class DrivingImage(Answer):
    """The image whose score was the highest of a study."""

    image_id: int | None
    sop_instance_uid: str
    frame: int


class Score(Answer):
    """How well a label fits: `probability` in 0..1, `cosine` in -1..1, null for a probe.

    `probability` is one only where `calibrated` says so; else it is a score that ranks. `margin` is its logit
    before any calibration, or for labels that exclude each other their logit in the softmax. `fits` is false
    where the label is about other pictures, so that its score says nothing of this one, and null where nobody
    can tell. `verdict` is what a calibration makes of the score at its error bound.
    """

    label: str
    probability: float
    calibrated: bool = False
    cosine: float | None = None
    margin: float | None = None
    fits: bool | None = None
    verdict: Verdict | None = None
    driving: DrivingImage | None = None


class ImageScores(Answer):
    """Scores of each image of a study, in the study's order: of each label as many as `image_ids`, null where
    the label is about other images. They rank the images; no calibration is of them.
    """

    image_ids: tuple[int, ...]
    probability: dict[str, tuple[float | None, ...]]


class Classification(Answer):
    """Scores of one file or study, best first; `name` is the probe that gave them, if one did, and
    `trained_on` is as in `ImagePrediction`. `warnings` tell of that, and of labels and prompts that are
    longer than what the model reads.

    `scoring` says how scores are made: by the published protocol or by the model's own sigmoid, null for a
    probe. `set` are the labels of a calibration's prediction set at its error bound, null without one.
    `in_scope` is false where the picture or the labels are like nothing that the archive knows.
    `by_image` is there where it was asked for; of a probe only where each image has a score of its own.
    Of several files one that cannot be used has no scores but an `error`.
    """

    name: str | None = None
    space: str | None = None
    path: ShownText | None = None
    study_instance_uid: str | None = None
    image: AskedImage | None = None
    images: int | None = None
    pooling: str | None = None
    scoring: Scoring | None = None
    scores: tuple[Score, ...] = ()
    set: tuple[str, ...] | None = None
    in_scope: bool | None = None
    trained_on: bool | None = None
    by_image: ImageScores | None = None
    error: ErrorDetail | None = None
    warnings: tuple[str, ...] = ()

    @property
    def best(self) -> Score:
        """The label with the highest score."""
        return self.scores[0]


class ClassifyAnswer(Classification):
    """Scores of a file or a study, best first; of several files in `results`, in their order."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "space": "0f3a5c7e9b1d-medsiglip-eval-1152",
                "study_instance_uid": "1.2.840.1",
                "image": {"image_id": 17, "sop_instance_uid": "1.2.840.1.2", "frame": 0},
                "images": 2,
                "pooling": "maximum",
                "scoring": "protocol",
                "scores": [
                    {"label": "pleural-effusion", "probability": 0.91, "calibrated": False, "cosine": 0.13}
                ],
            }
        },
    )

    space: str
    results: tuple[Classification, ...] | None = None


class Duplicate(Answer):
    """A near-duplicate that was collapsed into a hit; `cosine` is that of their vectors."""

    image_id: int
    study_instance_uid: str
    series_instance_uid: str
    score: float
    cosine: float
    same_pixels: bool


class MatchedImages(Answer):
    """The image of the question with number `query`, from 0, its id if it is stored, and the image of the hit
    that is most like it.
    """

    query: int
    query_image_id: int | None = None
    image_id: int
    cosine: float


class Hit(Answer):
    """One similar image, series or study; `score` is cosine similarity, `percentile` the share of the best
    hits of comparable questions that do not score more, below 1. `path` is shown to `admin` alone.

    Of studies that are compared set to set, `score` is the symmetric mean of the best matches' cosines, and
    `pairs` are the matches, the closest first. `collapsed` counts the near-duplicates of the hit, and
    `duplicates` are the first of them. `found_by` is the hit's rank by `vector` and by `words`.
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
    path: ShownText | None = None
    labels: Labels
    percentile: float | None = None
    pairs: tuple[MatchedImages, ...] = ()
    collapsed: int | None = None
    duplicates: tuple[Duplicate, ...] = ()
    found_by: dict[str, int] | None = None


class FilterStep(Answer):
    """Filters that compare columns of one level, and how many of its rows pass them."""

    level: Level
    filters: tuple[str, ...]
    passing: int


class WhyFound(Answer):
    """How an answer came about: `kind` and `device` of the index that was searched, the images it holds, and
    of those the ones `passing` the `filters` (null: there are none). `looked_at` vectors were compared with
    the question's, and hits were chosen among the first `candidates`. `milliseconds` are by stage, of all
    `together` questions that were answered at once.
    """

    kind: str
    device: str
    level: Level
    compare: Literal["means", "sets"]
    images: int
    passing: int | None
    filters: tuple[FilterStep, ...]
    how: How
    looked_at: int
    candidates: int
    together: int
    milliseconds: dict[str, float]


class Background(Answer):
    """Where the scores of images, series or studies of the whole archive lie. The percentiles of hits are
    among those of so many `comparable_questions`, null where there are none.
    """

    level: Level
    count: int
    mean: float
    standard_deviation: float
    comparable_questions: int | None = None


class SearchAnswer(Answer):
    """Hits, best first. `query` describes what was asked about; `warnings` tell what was not read.

    `cursor` asks for the next page, and is null at the end. `how` says whether every image that may answer
    was compared, a bound has proven that none is missing, or neither: then some may be missing. `in_scope` is
    false where the text or picture asked about is like nothing that the archive knows, and null where nobody
    can tell.
    """

    model_config = ConfigDict(
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
                "cursor": None,
                "how": "proven",
            }
        },
    )

    space: str
    level: Level
    query: dict[str, Any]
    hits: tuple[Hit, ...]
    background: Background | None = None
    cursor: str | None = None
    how: How | None = None
    why_found: WhyFound | None = None
    in_scope: bool | None = None
    warnings: tuple[str, ...] = ()


class SearchOutcome(Answer):
    """The answer to one of several questions, with the fields of a `SearchAnswer`; or an `error`."""

    space: str | None = None
    level: Level | None = None
    query: dict[str, Any] | None = None
    hits: tuple[Hit, ...] = ()
    background: Background | None = None
    cursor: str | None = None
    how: How | None = None
    why_found: WhyFound | None = None
    in_scope: bool | None = None
    warnings: tuple[str, ...] = ()
    error: ErrorDetail | None = None


class SearchBatch(Answer):
    """The answers to several questions, in their order."""

    results: tuple[SearchOutcome, ...]


class ImagePrediction(Answer):
    """Scores of a probe's labels; `image` is the one that drove the highest. `trained_on` says that the probe
    was trained on the patient, or on one who shares a picture, and has learned this answer. `probability` is
    one only where `calibrated` says so; then `verdict` is what the calibration makes of each label at its
    error bound, and `set` are the labels that stay possible.
    """

    image: AskedImage | None = None
    images: int | None = None
    probability: dict[str, float] | None = None
    calibrated: bool = False
    verdict: dict[str, Verdict] | None = None
    set: tuple[str, ...] | None = None
    trained_on: bool | None = None


class Prediction(Answer):
    """Scores of a probe's labels, of one file or study; of several files in `results`. `trained_on` and
    the fields of calibration are as in `ImagePrediction`, and `warnings` tell of the first.
    """

    name: str
    space: str
    study_instance_uid: str | None = None
    image: AskedImage | None = None
    images: int | None = None
    probability: dict[str, float] | None = None
    calibrated: bool = False
    verdict: dict[str, Verdict] | None = None
    set: tuple[str, ...] | None = None
    trained_on: bool | None = None
    by_image: ImageScores | None = None
    results: tuple[ImagePrediction, ...] | None = None
    warnings: tuple[str, ...] = ()


class PredictionTable(Answer):
    """Scores of all rows of the archive: in `predictions`, or `rows` of them in the file `path`; `calibrated`
    says whether they are probabilities, and `stored` how many are kept for filters.
    `warnings` tell of rows whose `trained_on` is true: see `ImagePrediction`.
    """

    name: str
    space: str
    level: Level
    calibrated: bool = False
    predictions: tuple[dict[str, Any], ...] | None = None
    rows: int | None = None
    stored: int | None = None
    path: ShownText | None = None
    warnings: tuple[str, ...] = ()
