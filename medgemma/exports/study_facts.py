"""What an export contains about the study and the patient: provided by the caller, never invented."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Instance:
    """A stored instance that an export may refer to.

    `sop_class_uid` is None for a picture that was no DICOM file: it is named in words, not referenced.
    `number_of_frames` None or 1 means that a reference names no frame.
    """

    sop_instance_uid: str
    series_instance_uid: str
    sop_class_uid: str | None
    number_of_frames: int | None = None


@dataclass(frozen=True, slots=True)
class StudyFacts:
    """`patient_key` takes the place of a PatientID; names and birth dates have no field here.

    `patient_age` is in years at the study, `study_date` ISO 8601, `organization` the one responsible for
    accepted reports (Verifying Organization of PS3.3 C.17.2).
    """

    study_instance_uid: str
    patient_key: str
    patient_age: float | None = None
    patient_sex: str | None = None
    study_date: str | None = None
    instances: tuple[Instance, ...] = ()
    organization: str | None = None
