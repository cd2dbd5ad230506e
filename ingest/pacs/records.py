"""What a PACS is asked and what it answers, the same by DICOMweb and by DIMSE.

These hold what names a person. What of it is stored or shown is decided by the home's rules for patient data.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class PacsQuery:
    """What studies must be (PS3.4, C.6.2.1): `*` and `?` stand for characters in all but dates and UIDs.

    Dates are `YYYYMMDD`, both included. `limit` is the most studies that are wanted.
    """

    patient_id: str | None = field(default=None, repr=False)
    patient_name: str | None = field(default=None, repr=False)
    accession_number: str | None = field(default=None, repr=False)
    study_instance_uid: str | None = None
    modality: str | None = None
    study_description: str | None = field(default=None, repr=False)
    from_date: str | None = None
    to_date: str | None = None
    limit: int = 1000


@dataclass(frozen=True, slots=True)
class PacsStudy:
    """A study as the PACS describes it. `instances` is NumberOfStudyRelatedInstances, None where it does not
    say; texts are as they were decoded by their character set.
    """

    study_instance_uid: str
    patient_id: str = field(default="", repr=False)
    issuer_of_patient_id: str = field(default="", repr=False)
    patient_name: str = field(default="", repr=False)
    patient_sex: str = ""
    study_date: str = ""
    study_time: str = ""
    accession_number: str = field(default="", repr=False)
    study_description: str = field(default="", repr=False)
    modalities: tuple[str, ...] = ()
    series: int | None = None
    instances: int | None = None


@dataclass(frozen=True, slots=True)
class PacsInstance:
    """An instance that the PACS says it holds (a query at IMAGE level); `sop_class_uid` and
    `transfer_syntax_uid` are "" where it does not say.
    """

    series_instance_uid: str
    sop_instance_uid: str
    sop_class_uid: str = ""
    transfer_syntax_uid: str = ""


@dataclass(frozen=True, slots=True)
class EchoAnswer:
    """A PACS that answers: after how many seconds, and what it says of itself."""

    seconds: float
    about: str


@dataclass(frozen=True, slots=True)
class StoreOutcome:
    """What became of a file that was sent; `status` is the DIMSE status or STOW's FailureReason, 0 for
    stored.
    """

    file: Path
    sop_instance_uid: str
    status: int
    may_pass: bool = False

    @property
    def is_stored(self) -> bool:
        """Whether the PACS has said that it holds the instance: success, or a warning (PS3.4, B.2.3)."""
        return self.status == 0 or self.status == 1 or 0xB000 <= self.status <= 0xBFFF
