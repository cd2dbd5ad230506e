"""Warnings about files that stand under another patient or study than they name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from index.records import FileRecord, Owner
from ingest.deidentify import SecretKey, content_uid
from ingest.header import Header

if TYPE_CHECKING:
    from ingest.metadata import PictureMetadata


def shared_studies(headers: Iterable[Header], held: Mapping[str, str]) -> list[str]:
    """A warning for each study of the run with files of several patients; `held` is the patient of each study
    in the index.
    """
    first = dict(held)
    shared = {}
    for header in headers:
        uid = header.study_instance_uid
        if first.setdefault(uid, header.patient_key) != header.patient_key:
            shared[uid] = (
                f"{uid}: this StudyInstanceUID has files of more than one patient; all are kept under "
                "the first."
            )
    return list(shared.values())


def misplaced_pictures(
    unchanged: Iterable[FileRecord],
    owners: Mapping[str, Owner],
    metadata: Mapping[str, PictureMetadata],
    key: SecretKey,
) -> list[str]:
    """A warning with the number of pictures held under another patient, study or modality than the CSV
    says.
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
    made = key.uid(content_uid(record.pixel_hash)) if record.pixel_hash else None
    return made is not None and record.sop_instance_uid == made


def _differs(owner: Owner, row: PictureMetadata, key: SecretKey) -> bool:
    """Whether something that the row gives is stored otherwise."""
    if row.patient_id and key.patient_key("", row.patient_id) != owner.patient_key:
        return True
    study = key.uid(key.derived_uid("study", row.patient_id, row.study_id))
    if row.study_id and study != owner.study_instance_uid:
        return True
    return bool(row.modality) and row.modality != owner.modality
