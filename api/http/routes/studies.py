"""`/v1/studies`, `/v1/patients`: cases are listed, shown and removed."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request

from medsiglip.answers.cases import Removal, StudyDetail, StudyPage
from medsiglip.api.archive.queries import studies_to_forget
from medsiglip.api.http import auditing
from medsiglip.api.http.redaction import redact
from medsiglip.api.http.routes.dependencies import Admin, Reader, ServedArchive
from medsiglip.api.http.schemas import KeyPath, StudyPath, Where

router = APIRouter(prefix="/v1", tags=["cases"])


@router.get(
    "/studies", operation_id="list_studies", response_model=StudyPage, response_model_exclude_unset=True
)
def list_studies(
    request: Request,
    archive: ServedArchive,
    caller: Reader,
    where: Where = [],  # noqa: B006  (FastAPI copies it)
    limit: Annotated[int | None, Query(ge=1, le=2**31, description="all that fit, when unset")] = None,
    offset: Annotated[int, Query(ge=0, le=2**31)] = 0,
) -> dict[str, Any]:
    """The studies that fit all filters, in a stable order."""
    found = archive.studies(where)
    studies = found.studies
    page = studies[offset:] if limit is None else studies[offset : offset + limit]
    uids = [one.study_instance_uid for one in page]
    if not where and len(page) == len(studies):  # who sees all needs no list of what that was
        auditing.record_list(request, "list", [], also_shown=uids, count=len(page))
    else:
        auditing.record_list(request, "list", uids)
    warnings = {"warnings": found.warnings} if found.warnings else {}
    return redact(StudyPage(studies=page, total=len(studies), **warnings).to_json(), caller)


@router.get(
    "/studies/{uid}", operation_id="get_study", response_model=StudyDetail, response_model_exclude_unset=True
)
def get_study(request: Request, archive: ServedArchive, uid: StudyPath, caller: Reader) -> dict[str, Any]:
    """One study with its series and images."""
    auditing.record_opening(request, uid)
    return redact(archive.study(uid, identity=caller.may("admin")).to_json(), caller)


@router.delete("/studies/{uid}", operation_id="forget_study")
def forget_study(request: Request, archive: ServedArchive, uid: StudyPath, _caller: Admin) -> Removal:
    """Remove a study, its vectors, previews and drafts for good."""
    gone = studies_to_forget(archive, patient=None, study=uid)
    auditing.record(request, "forget", gone)
    return archive.forget(study=uid)


@router.delete("/patients/{key}", operation_id="forget_patient")
def forget_patient(request: Request, archive: ServedArchive, key: KeyPath, _caller: Admin) -> Removal:
    """Remove all of a patient for good."""
    gone = studies_to_forget(archive, patient=key, study=None)
    auditing.record(request, "forget", gone, **({"patient_key": key} if gone else {}))
    return archive.forget(patient=key)
