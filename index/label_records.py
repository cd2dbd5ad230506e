"""Labels as the index takes and returns them, and the groups of patients that share pictures."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

LabelKey = Literal["path", "sop_instance_uid", "series_instance_uid", "study_instance_uid"]


@dataclass(frozen=True, slots=True)
class LabelRecord:
    """A value of a label at a key; the value None removes the label. With `is_class` the name replaces the
    earlier classes of the key, and `class_column` names the column of classes that it stood in
    (`medsiglip.index.catalogue.labels.class_columns`).
    """

    name: str
    value: float | None
    key_kind: LabelKey
    key: str
    is_class: bool = False
    class_column: str | None = None


@dataclass(frozen=True, slots=True)
class LabelConflict:
    """`pictures` identical pictures carry the classes `names`, of which only one can be right; or, where it
    is one name, both a positive and a negative value of it.
    """

    names: tuple[str, ...]
    pictures: int

    @property
    def sentence(self) -> str:
        """The contradiction, and the cure."""
        what = " and ".join(self.names) if len(self.names) > 1 else f"{self.names[0]}, both 1 and 0"
        many = f"{self.pictures} pictures have" if self.pictures > 1 else "1 picture has"
        return f"{many} contradicting labels ({what}), given to identical copies; correct or remove them."


@dataclass(frozen=True, slots=True)
class LabelOutcome:
    """`matched` is the number of records whose key is in the index; `unmatched` are the others, which are not
    stored. `conflicts` are contradictions between labels of identical pictures.
    """

    matched: int
    unmatched: tuple[LabelRecord, ...]
    conflicts: tuple[LabelConflict, ...] = ()


@dataclass(frozen=True, slots=True)
class LabelSummary:
    """How many records a label has at a level (study, series, instance), and how many are above 0."""

    name: str
    level: str
    records: int
    positive: int


@dataclass(frozen=True, slots=True)
class PatientGroups:
    """Groups of patients for the rows of a `CaseTable`: `names` [n] is that of each row's group.

    `sharing` patients of the table are, by identical pictures, in `shared` groups of more than one; `largest`
    counts the patients of the largest. `same_pixels` lists rows that hold identical pictures. Nearly blank
    pictures do not count.
    """

    names: tuple[str, ...]
    sharing: int
    shared: int
    largest: int
    same_pixels: tuple[tuple[int, ...], ...]


@dataclass(frozen=True, slots=True)
class UndoneLabels:
    """What an undoing changed: the labels of these names, of `cases` studies, series or instances, which
    these `studies` hold, by UID.
    """

    studies: tuple[str, ...]
    labels: tuple[str, ...]
    cases: int


@dataclass(frozen=True, slots=True)
class GivenLabel:
    """What a reader said of a study, series or instance, by its `uid`; `value` is None where a label was
    taken back. `reader` is None for what nobody is named for, `given_at` where that is not known. What is
    `current` was not replaced, taken back or undone.
    """

    level: str
    uid: str
    name: str
    value: float | None
    reader: str | None
    given_at: datetime | None
    current: bool


@dataclass(frozen=True, slots=True)
class Reading:
    """What a reader says now of a label at a case: a study, series or instance, of which `case` is the key.
    `given_at` is when; `positive` is whether the value is above 0.
    """

    case: tuple[str, str, str]
    study_instance_uid: str
    patient_key: str
    reader: str
    positive: bool
    given_at: datetime
