"""The studies of the archive: listed, shown and forgotten."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING

from medsiglip.answers.cases import Removal, StudyDetail, StudyImage, StudyList, StudySeries
from medsiglip.answers.cases import Study as StudyLine
from medsiglip.api.archive.audit_trail import record_local
from medsiglip.api.archive.last_list import forget_lists
from medsiglip.api.archive.pacs.landing import discard_left
from medsiglip.api.archive.pacs.ledger import names_to_forget
from medsiglip.api.archive.pacs.stored_files import files_state
from medsiglip.api.archive.queries import stored_study_uid
from medsiglip.api.archive.received import discard_waiting
from medsiglip.api.archive.waiting_instances import discard_of_patient
from medsiglip.api.errors import ServiceError
from medsiglip.index import records
from medsiglip.index.errors import CatalogError
from medsiglip.index.storage.deletion import unknown_patient

if TYPE_CHECKING:
    from medsiglip.api.archive.opened import OpenedArchive

_PATIENT_KEY = re.compile(r"[0-9A-Za-z_.-]{1,100}", re.ASCII)


def list_studies(archive: OpenedArchive, where: Sequence[str] = ()) -> StudyList:
    """The studies that fit all expressions of `where`."""
    found = tuple(StudyLine.model_validate(one) for one in archive.index.studies(where))
    warnings = archive.index.filters.warnings(where)
    return StudyList(studies=found, warnings=warnings) if warnings else StudyList(studies=found)


def show_study(archive: OpenedArchive, uid: str, *, identity: bool = False) -> StudyDetail:
    """One study with its series and images; `identity` adds who it is, if the home keeps that. Raises
    ServiceError `unknown-study`.
    """
    detail = archive.index.study(stored_study_uid(archive, uid))
    facts = asdict(detail.study)
    if not (identity and facts["identity"]):
        del facts["identity"]
    series = (
        StudySeries(**asdict(one.series), instances=one.instances, images=one.images) for one in detail.series
    )
    images = (StudyImage.model_validate(one) for one in detail.images)
    files, came_from = files_state(archive, detail.study.study_instance_uid)
    return StudyDetail(
        **facts,
        labels=detail.labels,
        files=files,
        came_from=came_from,
        series=tuple(series),
        images=tuple(images),
    )


def forget(archive: OpenedArchive, *, patient: str | None = None, study: str | None = None) -> Removal:
    """Remove a patient (by key) or a study, its vectors and its search entries, and what was received of it
    and waits. No sync with a PACS brings what was forgotten back.

    Raises CatalogError `versions-remain`, once everything else is done, where a bucket keeps versions.
    """
    if (patient is None) == (study is None):
        raise ServiceError("one-of", "give either a patient's key or a study's UID to forget.")
    if patient is not None:
        if _PATIENT_KEY.fullmatch(patient) is None:  # in a filter it may stand for several
            raise unknown_patient(patient)
        theirs = [one.study_instance_uid for one in archive.index.studies([f"patient_key={patient}"])]
        pacs = names_to_forget(archive, theirs)
        was_waiting = _discard_waiting(archive, theirs)
        was_waiting = _discard_of_patient(archive, patient) or was_waiting
        remove = partial(archive.index.remove_patient, patient, pacs)
        unknown = "unknown-patient"
    else:
        theirs = [stored_study_uid(archive, str(study))]
        pacs = names_to_forget(archive, theirs, str(study))
        was_waiting = _discard_waiting(archive, [str(study)])
        remove, unknown = partial(archive.index.remove_study, theirs[0], pacs), "unknown-study"
    try:
        removed = _removed(remove, unknown, was_waiting)
    except CatalogError as error:
        if error.code == "versions-remain":
            record_local(archive.index, "versions-remain", theirs)
        raise
    finally:  # whatever stopped the index after its commit
        _discard_left(archive, theirs)
        forget_lists(archive.home)
    return Removal(patient_key=patient, study_instance_uid=study, **asdict(removed))


def _removed(remove: Callable[[], records.Removal], unknown: str, was_waiting: bool) -> records.Removal:
    """What was removed from the index; nothing, without the error `unknown`, of what only waited."""
    try:
        return remove()
    except CatalogError as error:
        if error.code != unknown or not was_waiting:
            raise
        return records.Removal(0, 0, 0, 0, 0, 0, 0)


def _discard_of_patient(archive: OpenedArchive, patient_key: str) -> bool:
    from medsiglip.ingest.privacy.deidentify import known_key

    key = known_key(archive.index)
    return key is not None and discard_of_patient(archive.index, key, patient_key)


def _discard_left(archive: OpenedArchive, study_instance_uids: Sequence[str]) -> None:
    """Delete what was fetched from a PACS of studies, by their UIDs in this home, and is not in the index."""
    from medsiglip.ingest.privacy.deidentify import known_key

    key, theirs = known_key(archive.index), set(study_instance_uids)
    if key is not None:
        discard_left(archive.home, lambda uid: bool(uid) and key.uid(uid) in theirs)


def _discard_waiting(archive: OpenedArchive, study_instance_uids: Sequence[str]) -> bool:
    """Delete what a receiver got of studies and is not ingested; whether there was any."""
    from medsiglip.ingest.privacy.deidentify import known_key

    key = known_key(archive.index)
    hidden = key.uid if key is not None and key.phi == "strict" else None
    return discard_waiting(archive.index, study_instance_uids, hidden)
