"""Documents of accepted drafts as a PACS files them: with the identity that it has of the patient itself.

A home knows its patients by pseudonyms, and a PACS files by PatientID: the identity is asked of the PACS just
before a document is sent, stands in the document alone, and is written to no disk of this machine.
"""

from __future__ import annotations

import io
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any
from uuid import uuid4

if TYPE_CHECKING:
    from medsiglip.api.archive.opened import OpenedArchive
    from medsiglip.ingest.pacs.records import PacsStudy
    from medsiglip.medgemma.records import Draft

_EXPORTS = {"sr": "sr", "pdf": "dicom-pdf"}
_FILES_ASKED = 3
_MODALITIES = {"sr": "SR", "pdf": "DOC"}
# PS3.5, section 6.2: TM.
_TIME = re.compile(r"([01][0-9]|2[0-3])([0-5][0-9]([0-5][0-9](\.[0-9]{1,6})?)?)?")


def document_uids(draft: Draft, formats: Sequence[str]) -> dict[str, str]:
    """The SOP Instance UID of each document of an accepted draft: the same for every PACS and every try. That
    of the structured report is the one that an addendum refers to (PS3.3 C.17.2.2).
    """
    from medsiglip.medgemma.exports.dicom_document import report_uid
    from medsiglip.medgemma.exports.study_facts import StudyFacts

    facts = StudyFacts(draft.study_instance_uid, "")
    return {one: report_uid(_MODALITIES[one], draft.id, facts) for one in formats}


def document(
    archive: OpenedArchive, draft: Draft, format: str, sop_instance_uid: str, patient: PacsStudy
) -> bytes:
    """The draft as a DICOM file with this UID, of the patient and study as the PACS has them.

    It is the report as it was accepted, also when another has superseded it since: the one that is sent again
    is the one that was sent. Raises what `exported` does.
    """
    from pydicom import dcmread

    from medsiglip.api.archive.drafts.reports import exported
    from medsiglip.ingest.privacy.quiet import quiet
    from medsiglip.medgemma.exports.dicom_document import written

    made = exported(archive, replace(draft, superseded_by=None), _EXPORTS[format])
    with quiet():  # of values that the PACS has, and the standard does not allow
        dataset = dcmread(io.BytesIO(made.content))
        dataset.SOPInstanceUID = sop_instance_uid
        for keyword, value in _of_study(patient).items():
            setattr(dataset, keyword, value)
        if patient.issuer_of_patient_id:
            dataset.IssuerOfPatientID = patient.issuer_of_patient_id
        if patient.study_description:
            dataset.StudyDescription = patient.study_description
        return written(dataset)


def issuer_of_files(archive: OpenedArchive, uid: str) -> str | None:
    """The issuer of PatientID in the first file of a study that can be read; None without such a file."""
    from pydicom import dcmread
    from pydicom.errors import InvalidDicomError

    from medsiglip.ingest.privacy.quiet import quiet

    paths = [one.path for one in archive.index.images_of(uid) if one.path is not None]
    for path in paths[:_FILES_ASKED]:
        with quiet(), suppress(OSError, InvalidDicomError, ValueError):
            header = dcmread(path, specific_tags=["IssuerOfPatientID"], stop_before_pixels=True)
            return str(header.get("IssuerOfPatientID") or "").strip() or None
    return None


def _of_study(patient: PacsStudy) -> Mapping[str, Any]:
    """The attributes of type 2 that the PACS knows (PS3.3 C.7.1.1 and C.7.2.1), empty where it does not."""
    from medsiglip.ingest.privacy.deidentify import parse_date

    sex, day = patient.patient_sex, parse_date(patient.study_date)
    time = patient.study_time.replace(":", "")
    return {
        "PatientName": patient.patient_name or None,
        "PatientID": patient.patient_id or None,
        "PatientSex": sex if sex in ("M", "F", "O") else None,
        "StudyDate": None if day is None else f"{day:%Y%m%d}",
        "StudyTime": time if _TIME.fullmatch(time) else None,
        "AccessionNumber": patient.accession_number or None,
    }


@contextmanager
def in_memory_files(contents: Sequence[bytes]) -> Iterator[list[Path]]:
    """Files that name a person, for as long as they are sent: in memory, so that nothing of them is left
    behind by a process that is killed; where the system has no such files, in a folder of this user alone.
    """
    if not hasattr(os, "memfd_create"):
        with TemporaryDirectory() as folder:
            paths = [Path(folder) / f"{uuid4().hex}.dcm" for _ in contents]
            for path, content in zip(paths, contents, strict=True):
                path.write_bytes(content)
            yield paths
        return
    descriptors: list[int] = []
    try:
        for content in contents:
            descriptors.append(os.memfd_create("document"))
            with open(descriptors[-1], "wb", closefd=False) as file:
                file.write(content)
        yield [Path(f"/proc/self/fd/{descriptor}") for descriptor in descriptors]
    finally:
        for descriptor in descriptors:
            os.close(descriptor)
