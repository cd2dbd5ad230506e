"""The values that the index takes and returns. Fields are DICOM keywords in snake_case (PS3.6)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

Value = TypeVar("Value")
Level = Literal["image", "series", "study"]
Outcome = Literal["embedded", "skipped", "quarantined"]
Quality = float | str | bool
# Between the path of an archive and the name of its member.
SEPARATOR = "!/"


@dataclass(frozen=True, slots=True)
class Space:
    """Vectors that can be compared: one checkpoint, one profile, one dimension. `model` is a display name."""

    checkpoint_hash: str
    profile: str
    dimension: int
    model: str = field(default="", compare=False)

    @property
    def name(self) -> str:
        """A short name, usable as a folder name."""
        return f"{self.checkpoint_hash[:12]}-{self.profile}-{self.dimension}"


@dataclass(frozen=True, slots=True)
class StudyRecord:
    """A study; `patient_age` in years at the study, `study_date` and `study_time` as ISO 8601 (YYYY-MM-DD,
    HH:MM:SS, local time).

    `identity` names the person; it is None except in a home that keeps identities.
    """

    study_instance_uid: str
    patient_key: str
    patient_sex: str | None = None
    patient_age: float | None = None
    study_date: str | None = None
    study_description: str | None = None
    identity: Mapping[str, str] | None = field(default=None, repr=False)
    study_time: str | None = None


@dataclass(frozen=True, slots=True)
class SeriesRecord:
    """A series; `orientation` is `axial`, `coronal`, `sagittal`, `oblique` or None where there is no
    geometry.
    """

    series_instance_uid: str
    modality: str | None = None
    body_part_examined: str | None = None
    view_position: str | None = None
    laterality: str | None = None
    series_description: str | None = None
    manufacturer: str | None = None
    orientation: str | None = None


@dataclass(frozen=True, slots=True)
class InstanceRecord:
    """An instance, identified by its UID and the hash of its pixel data."""

    sop_instance_uid: str
    pixel_hash: str
    sop_class_uid: str | None = None
    transfer_syntax_uid: str | None = None
    photometric_interpretation: str | None = None
    rows: int | None = None
    columns: int | None = None
    number_of_frames: int | None = None
    instance_number: int | None = None


@dataclass(frozen=True, slots=True)
class ImageRecord:
    """An image, which has one vector. `slice_index` is its place in anatomical order within the series;
    `thumbnail` is a small picture as JPEG, empty where there is to be none.
    """

    sop_instance_uid: str
    pixel_hash: str
    frame: int
    slice_index: int | None = None
    rendering: str = ""
    rendering_params: Mapping[str, Any] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    quality: Mapping[str, Quality] = field(default_factory=dict)
    thumbnail: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True)
class FileRecord:
    """What became of a file; `path` is absolute, `code` and `reason` say why it was not embedded.
    `patient_key` and `study_instance_uid` are set for a refused file whose header has them.
    """

    path: str
    size: int
    mtime_ns: int
    content_hash: str | None = None
    outcome: Outcome = "embedded"
    code: str | None = None
    reason: str | None = None
    sop_instance_uid: str | None = None
    pixel_hash: str | None = None
    patient_key: str | None = None
    study_instance_uid: str | None = None


@dataclass(frozen=True, slots=True)
class SeriesBundle:
    """What is added in one transaction. `replace_series` first removes the earlier content of the series,
    except the instances `beside` the bundle, by UID and pixel hash. With `replaced` it removes these
    instances alone: what another process added since they were read stays.
    """

    study: StudyRecord
    series: SeriesRecord
    instances: tuple[InstanceRecord, ...]
    images: tuple[ImageRecord, ...]
    files: tuple[FileRecord, ...] = ()
    replace_series: bool = False
    beside: frozenset[tuple[str, str]] = frozenset()
    replaced: frozenset[tuple[str, str]] | None = None


@dataclass(frozen=True, slots=True)
class Owner:
    """Patient, study and modality of an ingested file."""

    patient_key: str
    study_instance_uid: str
    modality: str | None


@dataclass(frozen=True, slots=True)
class Hit:
    """One hit of a search. `score` is cosine similarity; at series and study level the image is the best
    matching one, drawn by `rendering` as `rendering_version` of it did.
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
    path: str | None
    labels: dict[str, float]
    rendering: str = ""
    rendering_version: int = 1


@dataclass(frozen=True, slots=True)
class StoredImage:
    """An image in the index; `path` is None when no file record leads to it."""

    image_id: int
    study_instance_uid: str
    series_instance_uid: str
    sop_instance_uid: str
    pixel_hash: str
    frame: int
    slice_index: int | None
    rendering: str
    rendering_params: dict[str, Any]
    warnings: tuple[str, ...]
    quality: dict[str, Quality]
    modality: str | None
    patient_key: str
    path: str | None
    labels: dict[str, float]


@dataclass(frozen=True, slots=True)
class StudySummary:
    """One line of `study list`; `series` and `images` are counts."""

    study_instance_uid: str
    patient_key: str
    study_date: str | None
    modalities: tuple[str, ...]
    series: int
    images: int
    labels: dict[str, float]


@dataclass(frozen=True, slots=True)
class SeriesSummary:
    """A series with the number of its instances and images."""

    series: SeriesRecord
    instances: int
    images: int


@dataclass(frozen=True, slots=True)
class StudyDetail:
    """A study with everything below it; images in order of series, slice, instance and frame."""

    study: StudyRecord
    series: tuple[SeriesSummary, ...]
    images: tuple[StoredImage, ...]
    labels: dict[str, float]


@dataclass(frozen=True, slots=True)
class StudyHeader:
    """What headers say of the part of the body that a study shows: `series` by row id, `images` the row id of
    each image's series, and those of the images that are `telling`: neither blank nor localizers. Studies
    that were added later have a higher `added`.
    """

    study_instance_uid: str
    study_description: str | None
    patient_age: float | None
    study_time: str | None
    added: int
    series: Mapping[int, SeriesRecord]
    images: Mapping[int, int]
    telling: frozenset[int]


@dataclass(frozen=True, slots=True)
class CaseTable:
    """Columns of one level, for evaluation and probes; all of length n, ordered by `image_ids`.

    `ids` holds image ids as text, series UIDs or study UIDs. `image_ids` int64 is the image itself or, above
    image level, the first image. `vectors` is float32 [n, d] of unit length; a label is float64 [n], NaN
    where unknown. `classes` holds for each row all classes of the columns that it has a class of: each but
    its own is known not to be so. Labels in `columnless` are classes whose column is not known, from before
    columns were stored.
    """

    level: Level
    ids: tuple[str, ...]
    image_ids: NDArray[np.int64]
    study_instance_uids: tuple[str, ...]
    patient_keys: tuple[str, ...]
    modalities: tuple[str | None, ...]
    body_parts: tuple[str | None, ...]
    paths: tuple[str | None, ...]
    vectors: NDArray[np.float32]
    labels: dict[str, NDArray[np.float64]]
    classes: tuple[frozenset[str], ...]
    columnless: frozenset[str] = frozenset()

    def rows(self, chosen: NDArray[np.intp]) -> CaseTable:
        """The table of some of its rows; labels that none of them has are left out."""
        if len(chosen) == len(self.ids):
            return self
        labels = {name: values[chosen] for name, values in self.labels.items()}
        return replace(
            self,
            ids=_chosen(self.ids, chosen),
            study_instance_uids=_chosen(self.study_instance_uids, chosen),
            patient_keys=_chosen(self.patient_keys, chosen),
            modalities=_chosen(self.modalities, chosen),
            body_parts=_chosen(self.body_parts, chosen),
            paths=_chosen(self.paths, chosen),
            classes=_chosen(self.classes, chosen),
            image_ids=self.image_ids[chosen],
            vectors=self.vectors[chosen],
            labels={name: values for name, values in labels.items() if not np.isnan(values).all()},
        )


def _chosen(values: tuple[Value, ...], rows: NDArray[np.intp]) -> tuple[Value, ...]:
    return tuple(values[row] for row in rows)


@dataclass(frozen=True, slots=True)
class Holdings:
    """How much of the index came from some files."""

    studies: int
    series: int
    instances: int
    images: int


@dataclass(frozen=True, slots=True)
class RenderingCount:
    """How many images of the active space one version of a rendering drew."""

    rendering: str
    version: int
    images: int


@dataclass(frozen=True, slots=True)
class BackupDescription:
    """What a backup says of itself. `problems` are files that the archive itself lacks."""

    format: int
    made_at: str
    version: str
    identity: str
    studies: int
    images: int
    files: int
    bytes: int
    problems: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Verification:
    """`problems` are sentences, each with its cure; the counts are those of SQL, the shards and FAISS.

    Of a deep check: how many shards agree with their checksums, how many have none on record, and how many
    vectors the snapshot on disk holds; else None.
    """

    ok: bool
    problems: tuple[str, ...]
    images: int
    vectors: int
    faiss: int
    checksums: int | None = None
    without_checksum: int | None = None
    snapshot: int | None = None


@dataclass(frozen=True, slots=True)
class Removal:
    """How much a deletion removed."""

    studies: int
    series: int
    instances: int
    images: int
    files: int
    labels: int
    drafts: int = 0


@dataclass(frozen=True, slots=True)
class Compaction:
    """Number of shards before and after."""

    shards_before: int
    shards_after: int


@dataclass(frozen=True, slots=True)
class Recovery:
    """Result of a recovery with an older catalogue: `found` vectors of lost files were found elsewhere,
    `set_aside` vector files were moved to the trash, and `missing` images, of these `studies`, have no
    vector.
    """

    found: int
    set_aside: int
    missing: int
    studies: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ProbeRecord:
    """A trained probe: `file` is relative to the home, `summary` its figures, `space` the name of the space
    it fits. `version` counts the probes of one name from 1; 0 is one that is not stored yet.
    """

    name: str
    space: str
    file: str
    summary: Mapping[str, Any] = field(default_factory=dict)
    version: int = 0
