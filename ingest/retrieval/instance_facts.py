"""Which file holds an instance, and what the home says of it."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class InstanceFile:
    """A file with an instance, as the home recorded it: size in bytes, and time and UID as its key gives
    them.
    """

    path: str = field(repr=False)
    size: int
    mtime_ns: int
    sop_instance_uid: str
    pixel_hash: str


@dataclass(frozen=True, slots=True)
class InstanceFacts:
    """What the home keeps of an instance, its series, study and patient; it stands above what the file says.

    `patient_age` in years at the study, `study_date` and `study_time` as ISO 8601.
    """

    study_instance_uid: str
    series_instance_uid: str
    sop_instance_uid: str
    patient_key: str
    sop_class_uid: str | None = None
    patient_sex: str | None = None
    patient_age: float | None = None
    study_date: str | None = None
    study_time: str | None = None
    study_description: str | None = None
    series_description: str | None = None
    modality: str | None = None
    body_part_examined: str | None = None
    view_position: str | None = None
    laterality: str | None = None
    manufacturer: str | None = None


def dicom_age(years: float | None) -> str | None:
    """An age as Patient's Age (PS3.5 6.2, AS): in days below a month, in months below two years."""
    if years is None or not 0 <= years < 1000:
        return None
    if years < 1 / 12:
        return f"{round(years * 365.25):03d}D"
    return f"{int(years * 12 + 0.01):03d}M" if years < 2 else f"{int(years):03d}Y"


def dicom_date(day: str | None) -> str | None:
    """An ISO date as DICOM writes it (DA)."""
    return day.replace("-", "") if day else None


def dicom_time(time: str | None) -> str | None:
    """An ISO time as DICOM writes it (TM)."""
    return time.replace(":", "") if time else None
