"""Files that are stored under another patient or study than they name, and the warnings about them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from medsiglip.index.records import FileRecord, Owner
from medsiglip.ingest.header.header import Header
from medsiglip.ingest.pixels.pixel_hash import PREFIX
from medsiglip.ingest.privacy.deidentify import SecretKey, content_uid

if TYPE_CHECKING:
    from medsiglip.ingest.header.metadata import PictureMetadata


def under_one_patient(headers: Sequence[Header], held: Mapping[str, str]) -> tuple[list[Header], list[str]]:
    """Each study of the run under one patient, and a warning for each that has files of several.

    `held` is the patient of each study in the index, who stays; a new study goes to the patient whom the
    first of its files by path names.
    """
    named: dict[str, dict[str, str]] = {}
    for header in headers:
        paths = named.setdefault(header.study_instance_uid, {})
        paths[header.patient_key] = min(header.path, paths.get(header.patient_key, header.path))
    patients, warnings = {}, []
    for uid, paths in named.items():
        patients[uid] = held.get(uid) or min(paths, key=paths.__getitem__)
        if set(paths) != {patients[uid]}:
            warnings.append(
                f"{uid}: this StudyInstanceUID has files of more than one patient; all are kept under one."
            )
    return [of_patient(header, patients[header.study_instance_uid]) for header in headers], warnings


def of_patient(header: Header, patient_key: str) -> Header:
    """A header under a patient; if it names another one, its facts about that person are dropped."""
    if header.patient_key == patient_key:
        return header
    return replace(
        header,
        patient_key=patient_key,
        patient_sex=None,
        patient_age=None,
        study_date=None,
        study_time=None,
        identity=None,
    )


def misplaced_pictures(
    unchanged: Iterable[FileRecord],
    owners: Mapping[str, Owner],
    metadata: Mapping[str, PictureMetadata],
    key: SecretKey,
) -> list[str]:
    """A warning with the number of pictures stored under another patient, study or modality than the CSV
    gives.
    """
    count = sum(
        _differs(owners[record.path], metadata[record.path], key)
        for record in unchanged
        if record.path in metadata and record.path in owners and _is_picture(record, key)
    )
    if not count:
        return []
    return [
        f"{count} pictures are in the archive with another patient, study or modality than the metadata CSV "
        "gives: only their labels were updated; forget them and ingest again to change the rest."
    ]


def _is_picture(record: FileRecord, key: SecretKey) -> bool:
    digest = record.pixel_hash
    if digest is None or digest.startswith(PREFIX):  # of pixels, not of a file
        return False
    return record.sop_instance_uid == key.uid(content_uid(digest))


def _differs(owner: Owner, row: PictureMetadata, key: SecretKey) -> bool:
    """Whether a value of the row differs from what is stored."""
    if row.patient_id and key.patient_key("", row.patient_id) != owner.patient_key:
        return True
    study = key.uid(key.derived_uid("study", row.patient_id, row.study_id))
    if row.study_id and study != owner.study_instance_uid:
        return True
    return bool(row.modality) and row.modality != owner.modality
