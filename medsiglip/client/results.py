"""What the service answers, as values. Fields that a newer service adds are left out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Score:
    """How well a label fits: `probability` in 0..1, `cosine` in -1..1 (None for a probe)."""

    label: str
    probability: float
    cosine: float | None = None


@dataclass(frozen=True, slots=True)
class Classification:
    """Scores of one file or study, best first; `image` says which image, for a study which one drove.

    Of several files one that cannot be used has no scores but an `error` with `code` and `message`.
    """

    space: str
    scores: tuple[Score, ...] = ()
    image: Mapping[str, Any] = field(default_factory=dict)
    study_instance_uid: str | None = None
    error: Mapping[str, str] | None = None

    @property
    def best(self) -> Score:
        """The label with the highest probability."""
        return self.scores[0]


@dataclass(frozen=True, slots=True)
class Hit:
    """One similar image, series or study; `score` is cosine similarity. `path` needs the admin scope."""

    rank: int
    score: float
    image_id: int
    study_instance_uid: str
    series_instance_uid: str
    sop_instance_uid: str
    frame: int
    modality: str | None
    patient_key: str
    path: str | None = None
    percentile: float | None = None
    labels: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SearchResult:
    """Hits, best first. `query` describes what was asked about, `background` where scores usually lie."""

    space: str
    level: str
    hits: tuple[Hit, ...]
    query: Mapping[str, Any] = field(default_factory=dict)
    background: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a job is; `total` is None while nobody knows."""

    done: int = 0
    total: int | None = None
    stage: str = ""


@dataclass(frozen=True, slots=True)
class Job:
    """Long work. `status` is queued, running, done, failed or cancelled; `error` has `code` and `message`."""

    id: str
    kind: str
    status: str
    progress: Progress = field(default_factory=Progress)
    result: Any = None
    error: Mapping[str, Any] | None = None

    @property
    def is_final(self) -> bool:
        """Whether nothing will change any more."""
        return self.status in ("done", "failed", "cancelled")


@dataclass(frozen=True, slots=True)
class Study:
    """A line of the list of studies; `series` and `images` are counts."""

    study_instance_uid: str
    patient_key: str
    study_date: str | None
    modalities: tuple[str, ...]
    series: int
    images: int
    labels: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ProbeLabel:
    """Out-of-fold figures of one label, folds split by patient; `auroc_ci` is the 95 % interval."""

    label: str
    n: int
    positive: int
    auroc: float | None = None
    auroc_ci: tuple[float, float] | None = None
    auprc: float | None = None


@dataclass(frozen=True, slots=True)
class Probe:
    """A trained probe."""

    name: str
    space: str
    groups: int
    labels: tuple[ProbeLabel, ...]
    macro_auroc: float | None = None


def known(kind: type[T], values: Mapping[str, Any]) -> T:
    """The value of a JSON object, by the names of its fields."""
    names = {one.name for one in fields(kind)}  # type: ignore[arg-type]
    return kind(**{name: value for name, value in values.items() if name in names})


def classification(answer: Mapping[str, Any]) -> Classification:
    """From the answer for one file or study."""
    scores = tuple(known(Score, score) for score in answer.get("scores") or ())
    return known(Classification, {**answer, "scores": scores})


def search_result(answer: Mapping[str, Any]) -> SearchResult:
    """From the answer of a search."""
    return known(SearchResult, {**answer, "hits": tuple(known(Hit, hit) for hit in answer["hits"])})


def job(answer: Mapping[str, Any]) -> Job:
    """From the job object of the contract."""
    return known(Job, {**answer, "progress": known(Progress, answer["progress"])})


def study(answer: Mapping[str, Any]) -> Study:
    """From a line of the list of studies."""
    return known(Study, {**answer, "modalities": tuple(answer["modalities"])})


def probe(answer: Mapping[str, Any]) -> Probe:
    """From the figures of a probe."""
    labels = []
    for label in answer["labels"]:
        interval = label.get("auroc_ci")
        labels.append(known(ProbeLabel, {**label, "auroc_ci": None if interval is None else tuple(interval)}))
    return known(Probe, {**answer, "labels": tuple(labels)})
