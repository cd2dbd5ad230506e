"""Studies, series and instances as lists of the query model give them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from medsiglip.index.records import FileRecord


@dataclass(frozen=True, slots=True)
class Match:
    """What an attribute must be: one of `values`, in which `*` and `?` stand for any characters or one; or,
    for dates, times and numbers, from `low` to `high`, both included, None for no bound.
    """

    attribute: str
    values: tuple[str, ...] = ()
    low: str | None = None
    high: str | None = None


@dataclass(frozen=True, slots=True)
class HeldStudy:
    """A study; age in years at the study, dates and times in ISO 8601. `identity` names the person; it is
    None except in a home that keeps identities.
    """

    study_instance_uid: str
    patient_key: str
    patient_sex: str | None = None
    patient_age: float | None = None
    study_date: str | None = None
    study_time: str | None = None
    study_description: str | None = None
    identity: Mapping[str, str] | None = field(default=None, repr=False)
    modalities: tuple[str, ...] = ()
    series: int = 0
    instances: int = 0


@dataclass(frozen=True, slots=True)
class HeldSeries:
    """A series with its study, whose counts are not filled."""

    study: HeldStudy
    series_instance_uid: str
    modality: str | None = None
    series_description: str | None = None
    body_part_examined: str | None = None
    view_position: str | None = None
    laterality: str | None = None
    manufacturer: str | None = None
    instances: int = 0


@dataclass(frozen=True, slots=True)
class HeldInstance:
    """An instance with its series, whose counts are not filled. Of instances with the same UID and other
    pixels, the first stands for all.
    """

    series: HeldSeries
    sop_instance_uid: str
    pixel_hash: str
    sop_class_uid: str | None = None
    transfer_syntax_uid: str | None = None
    instance_number: int | None = None
    rows: int | None = None
    columns: int | None = None
    number_of_frames: int | None = None


@dataclass(frozen=True, slots=True)
class InstancePlace:
    """An instance, the files with it, by path, and whether it must be `withheld`: one of its images may name
    or show the patient.
    """

    instance: HeldInstance
    files: tuple[FileRecord, ...]
    withheld: bool
