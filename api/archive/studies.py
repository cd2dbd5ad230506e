"""The studies of the archive: listed, shown and forgotten."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from medsiglip.answers.cases import Removal, StudyDetail, StudyImage, StudyList, StudySeries
from medsiglip.answers.cases import Study as StudyLine
from medsiglip.api.archive.last_list import forget_lists
from medsiglip.api.archive.pacs.stored_files import files_state
from medsiglip.api.archive.queries import stored_study_uid
from medsiglip.api.archive.received import discard_spooled
from medsiglip.api.errors import ServiceError
from medsiglip.index import records
from medsiglip.index.errors import CatalogError

if TYPE_CHECKING:
    from medsiglip.api.archive.opened import OpenedArchive


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
    """
    from medsiglip.index.storage.deletion import PacsNames
    from medsiglip.ingest.privacy.deidentify import known_key

    if (patient is None) == (study is None):
        raise ServiceError("one-of", "give either a patient's key or a study's UID to forget.")
    key = known_key(archive.index)
    pacs = None if key is None else PacsNames(key.forgotten_uid, study)
    if patient is not None:
        theirs = archive.index.studies([f"patient_key={patient}"])
        discard_spooled(archive.home, [one.study_instance_uid for one in theirs])
        removed = archive.index.remove_patient(patient, pacs)
    else:
        is_spooled = discard_spooled(archive.home, [str(study)])
        try:
            removed = archive.index.remove_study(stored_study_uid(archive, str(study)), pacs)
        except CatalogError as error:
            if error.code != "unknown-study" or not is_spooled:
                raise
            removed = records.Removal(0, 0, 0, 0, 0, 0, 0)
    forget_lists(archive.home)
    return Removal(patient_key=patient, study_instance_uid=study, **asdict(removed))
