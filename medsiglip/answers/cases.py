"""Studies, what ingesting and forgetting them did, and the labels of cases."""

from __future__ import annotations

from typing import Any, Literal

from medsiglip.answers.answer import Answer, Labels, Refusal, ShownText


class Study(Answer):
    """A study in a list; `series` and `images` are counts."""

    study_instance_uid: str
    patient_key: str
    study_date: str | None
    modalities: tuple[str, ...]
    series: int
    images: int
    labels: Labels


class StudyList(Answer):
    """Studies; `warnings` tell of filters on predictions that not all images have."""

    studies: tuple[Study, ...]
    warnings: tuple[str, ...] = ()


class StudyPage(StudyList):
    """A page of the studies that fit, of which there are `total`."""

    total: int


class StudySeries(Answer):
    """A series of a study; `instances` and `images` are counts."""

    series_instance_uid: str
    modality: str | None
    body_part_examined: str | None
    view_position: str | None
    laterality: str | None
    series_description: str | None
    manufacturer: str | None
    orientation: str | None
    instances: int
    images: int


class StudyImage(Answer):
    """An image with one vector; `path` is shown to `admin` alone."""

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
    quality: dict[str, Any]
    modality: str | None
    patient_key: str
    path: ShownText | None = None
    labels: Labels


FilesState = Literal["here", "fetchable", "gone"]
"""Whether the files of a study are where they were, can be fetched again from a PACS, or neither."""


class StudyDetail(Answer):
    """A study with its series and images; `identity` only in a home that keeps it, for `admin`. `came_from`
    are the connections to PACS from which it came, the last first.
    """

    study_instance_uid: str
    patient_key: str
    patient_sex: str | None
    patient_age: float | None
    study_date: str | None
    study_description: str | None
    identity: dict[str, str] | None = None
    labels: Labels
    files: FilesState = "here"
    came_from: tuple[str, ...] = ()
    series: tuple[StudySeries, ...]
    images: tuple[StudyImage, ...]


class Removal(Answer):
    """What a deletion took out, in counts."""

    patient_key: str | None = None
    study_instance_uid: str | None = None
    studies: int
    series: int
    instances: int
    images: int
    files: int
    labels: int
    drafts: int


class WarningGroup(Answer):
    """A warning that concerns several UIDs, with all of them."""

    warning: str
    about: tuple[str, ...]


class Withheld(Answer):
    """How many new files hold pictures that are kept but not shown, because they are (`yes`) or are `likely`
    to be of a kind that names or shows the patient.
    """

    burned_in: Literal["yes", "likely"]
    files: int
    reason: str


class IngestReport(Answer):
    """What a run did with every file: embedded, unchanged, skipped or quarantined.

    `embedded` and `unchanged` count images; `studies`, `series`, `instances` and `images` what the index
    holds of the paths. With `at_most`, in a dry run with slides, the two counts of images are the most that
    there can be. `warnings` has one line for each kind; `warned` names all UIDs of a line that names only
    some. `routed` counts the drafts that routing rules ordered, `batches` those of a watch. `withheld`
    counts the new files whose pictures are not shown.
    """

    files: int
    files_embedded: int
    files_unchanged: int
    studies: int
    series: int
    instances: int
    images: int
    embedded: int
    unchanged: int
    skipped: tuple[Refusal, ...]
    quarantined: tuple[Refusal, ...]
    warnings: tuple[ShownText, ...]
    space: str
    seconds: float
    warned: tuple[WarningGroup, ...] = ()
    dry_run: bool = False
    at_most: bool = False
    routed: int = 0
    batches: int = 0
    withheld: tuple[Withheld, ...] = ()


class Imported(Answer):
    """What became of a CSV's rows; `unmatched` are keys that name nothing in the archive."""

    rows: int
    matched: int
    unmatched: tuple[ShownText, ...]


class ImportedLabels(Answer):
    """What became of labels; `unmatched` are keys of rows that name nothing in the archive, and `warnings`
    name contradictions between labels of identical pictures.
    """

    labels: tuple[str, ...]
    rows: int
    matched: int
    unmatched: tuple[ShownText, ...]
    warnings: tuple[str, ...] = ()


class Label(Answer):
    """A stored label at a level, with how many rows have it and how many are positive."""

    label: str
    level: str
    n: int
    positive: int


class LabelList(Answer):
    """The stored labels."""

    labels: tuple[Label, ...]
