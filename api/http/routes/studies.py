"""`/v1/studies`, `/v1/patients`: cases are listed, looked at and removed."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Request

from medsiglip.api.archive import auditing
from medsiglip.api.archive.archive import Archive
from medsiglip.api.archive.queries import studies_to_forget
from medsiglip.api.http.auth import Caller, requires
from medsiglip.api.http.redaction import shown
from medsiglip.api.http.schemas.answers import Removed, StudyAnswer, StudyList
from medsiglip.api.http.schemas.values import StudyPath, Where

router = APIRouter(prefix="/v1", tags=["cases"])
Reader = Annotated[Caller, Depends(requires("read"))]
Admin = Annotated[Caller, Depends(requires("admin"))]
PatientKey = Annotated[str, Path(min_length=1, max_length=64, pattern="^[0-9A-Za-z]+$")]


@router.get("/studies", operation_id="list_studies", response_model=StudyList)
def list_studies(
    request: Request,
    caller: Reader,
    where: Where = [],  # noqa: B006  (FastAPI copies it)
    limit: Annotated[int | None, Query(ge=1, le=2**31, description="all that fit, when unset")] = None,
    offset: Annotated[int, Query(ge=0, le=2**31)] = 0,
) -> dict[str, Any]:
    """The studies that fit all filters, in a lasting order."""
    studies = _archive(request).studies(where)["studies"]
    page = studies[offset:] if limit is None else studies[offset : offset + limit]
    auditing.record(request, "list", [one["study_instance_uid"] for one in page])
    return shown({"studies": page, "total": len(studies)}, caller)


@router.get("/studies/{uid}", operation_id="get_study", response_model=StudyAnswer)
def get_study(request: Request, uid: StudyPath, caller: Reader) -> dict[str, Any]:
    """One study with its series and images."""
    auditing.record_study(request, "view", uid)
    return shown(_archive(request).study(uid, identity=caller.may("admin")), caller)


@router.delete("/studies/{uid}", operation_id="forget_study", response_model=Removed)
def forget_study(request: Request, uid: StudyPath, _caller: Admin) -> dict[str, Any]:
    """Remove a study, its vectors, previews and drafts for good."""
    archive = _archive(request)
    gone = studies_to_forget(archive, patient=None, study=uid)
    auditing.record(request, "forget", gone)
    return archive.forget(study=uid)


@router.delete("/patients/{key}", operation_id="forget_patient", response_model=Removed)
def forget_patient(request: Request, key: PatientKey, _caller: Admin) -> dict[str, Any]:
    """Remove all of a patient for good."""
    archive = _archive(request)
    gone = studies_to_forget(archive, patient=key, study=None)
    auditing.record(request, "forget", gone, **({"patient_key": key} if gone else {}))
    return archive.forget(patient=key)


def _archive(request: Request) -> Archive:
    archive: Archive = request.app.state.server.archive
    return archive
