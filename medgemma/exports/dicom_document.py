"""The modules that both DICOM forms of a draft share: patient, study, series, equipment and SOP common."""

from __future__ import annotations

import hashlib
import io
import re
from importlib.metadata import version
from typing import TYPE_CHECKING

from medsiglip.medgemma.exports import wording
from medsiglip.medgemma.exports.passages import shown
from medsiglip.medgemma.exports.standing import Standing
from medsiglip.medgemma.exports.study_facts import Instance, StudyFacts
from medsiglip.medgemma.records import Draft, EvidenceImage

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

MANUFACTURER = "medsiglip"


def document(draft: Draft, facts: StudyFacts, stands: Standing, modality: str, sop_class_uid: str) -> Dataset:
    """A dataset with the attributes of types 1 and 2 of the modules Patient, General Study, SR Document or
    Encapsulated Document Series, General Equipment and SOP Common (PS3.3 C.7.1.1, C.7.2.1, C.17.1, C.24.1,
    C.7.5.1, C.12.1). What is not known is empty. Times are in UTC.

    The same draft in the same standing always gets the same SOP Instance UID; that of an accepted one depends
    on its id alone, so that an addendum can refer to it.
    """
    from pydicom.dataset import Dataset

    dataset = Dataset()
    dataset.SOPClassUID = sop_class_uid
    dataset.SOPInstanceUID = (
        report_uid(modality, draft.id, facts)
        if stands.accepted and not stands.superseded_by
        else derived_uid(modality, repr(draft), repr(facts), version("medsiglip"))
    )
    dataset.InstanceCreationDate = dataset.ContentDate = stands.at.strftime("%Y%m%d")
    dataset.InstanceCreationTime = dataset.ContentTime = stands.at.strftime("%H%M%S")
    dataset.TimezoneOffsetFromUTC = "+0000"

    dataset.PatientName = None
    dataset.PatientID = long_string(facts.patient_key)
    dataset.PatientBirthDate = None
    dataset.PatientSex = facts.patient_sex if facts.patient_sex in ("M", "F", "O") else None
    dataset.PatientAge = age_string(facts.patient_age)

    dataset.StudyInstanceUID = facts.study_instance_uid
    dataset.StudyDate = (facts.study_date or "").replace("-", "") or None
    dataset.StudyTime = dataset.StudyID = dataset.AccessionNumber = dataset.ReferringPhysicianName = None

    dataset.Modality = modality
    dataset.SeriesInstanceUID = series_uid(modality, draft.id, facts)
    dataset.SeriesNumber = 1
    dataset.SeriesDescription = stands.mark or wording.accepted_note(stands)
    dataset.InstanceNumber = 1

    dataset.Manufacturer = MANUFACTURER
    dataset.ManufacturerModelName = long_string(draft.generator)
    dataset.SoftwareVersions = version("medsiglip")
    return dataset


def written(dataset: Dataset) -> bytes:
    """The dataset as a file of PS3.10, Explicit VR Little Endian, in UTF-8 if it holds more than ASCII, which
    is the default repertoire (PS3.5 6.1.1).
    """
    from pydicom import dcmwrite
    from pydicom.dataset import FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian

    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    texts = (str(e.value) for e in dataset.iterall() if e.VR in ("LO", "PN", "SH", "ST", "UT"))
    if not all(text.isascii() for text in texts):
        dataset.SpecificCharacterSet = "ISO_IR 192"
    buffer = io.BytesIO()
    dcmwrite(buffer, dataset, enforce_file_format=True)
    return buffer.getvalue()


def evidence_references(draft: Draft, facts: StudyFacts) -> list[Dataset]:
    """One item of Current Requested Procedure Evidence Sequence (PS3.3 C.17.2.3) that lists the images of
    the evidence which are DICOM, once each; nothing where there are none.
    """
    from pydicom.dataset import Dataset

    by_series: dict[str, dict[str, Dataset]] = {}
    for image in draft.evidence.images:
        instance = instance_of(image, facts)
        if instance is None:
            continue
        item = Dataset()
        item.ReferencedSOPClassUID = instance.sop_class_uid
        item.ReferencedSOPInstanceUID = instance.sop_instance_uid
        by_series.setdefault(instance.series_instance_uid, {})[instance.sop_instance_uid] = item
    if not by_series:
        return []
    study = Dataset()
    study.StudyInstanceUID = facts.study_instance_uid
    study.ReferencedSeriesSequence = []
    for uid, items in by_series.items():
        series = Dataset()
        series.SeriesInstanceUID = uid
        series.ReferencedSOPSequence = list(items.values())
        study.ReferencedSeriesSequence.append(series)
    return [study]


def predecessors(draft: Draft, facts: StudyFacts, modality: str) -> list[Dataset]:
    """One item of Predecessor Documents Sequence (PS3.3 C.17.2.2) for the report that this one supersedes."""
    from pydicom.dataset import Dataset
    from pydicom.uid import ComprehensiveSRStorage

    if not draft.supersedes:
        return []
    document = Dataset()
    document.ReferencedSOPClassUID = ComprehensiveSRStorage
    document.ReferencedSOPInstanceUID = report_uid(modality, draft.supersedes, facts)
    series = Dataset()
    series.SeriesInstanceUID = series_uid(modality, draft.supersedes, facts)
    series.ReferencedSOPSequence = [document]
    study = Dataset()
    study.StudyInstanceUID = facts.study_instance_uid
    study.ReferencedSeriesSequence = [series]
    return [study]


def report_uid(modality: str, draft_id: str, facts: StudyFacts) -> str:
    """The SOP Instance UID of an accepted draft."""
    return derived_uid(modality, "accepted", draft_id, facts.study_instance_uid)


def series_uid(modality: str, draft_id: str, facts: StudyFacts) -> str:
    """The Series Instance UID of all that is made of a draft."""
    return derived_uid(modality, "series", draft_id, facts.study_instance_uid)


def instance_of(image: EvidenceImage, facts: StudyFacts) -> Instance | None:
    """The DICOM instance of an image; None if it is not among the facts or was no DICOM file."""
    for instance in facts.instances:
        if instance.sop_instance_uid == image.sop_instance_uid and instance.sop_class_uid:
            return instance
    return None


def derived_uid(*parts: str) -> str:
    """The same UID for the same parts (PS3.5 B.2: 2.25 and a 128-bit integer)."""
    digest = hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()
    return f"2.25.{int(digest[:32], 16)}"


def long_string(text: str) -> str:
    """A value of VR LO: at most 64 characters, no backslash, no control characters (PS3.5 6.2). It is cut to
    64 bytes of UTF-8, for many readers count those.
    """
    return _cut(re.sub(r"[\\\s]+", " ", shown(text)).strip(), 64)


def person_name(text: str) -> str:
    """A value of VR PN with the whole name as family name (PS3.5 6.2.1): its parts are not known."""
    name = re.sub("[=^]+", " ", long_string(text)).strip()
    return f"{_cut(name, 60)}^"


def _cut(text: str, size: int) -> str:
    return text.encode()[:size].decode(errors="ignore").strip()


def age_string(years: float | None) -> str | None:
    """A value of VR AS: years from two on, months and days before (PS3.5 6.2)."""
    if years is None or not 0 <= years < 1000:
        return None
    if years >= 2:
        return f"{int(years):03d}Y"
    return f"{int(years * 12):03d}M" if years * 12 >= 1 else f"{int(years * 365.25):03d}D"
