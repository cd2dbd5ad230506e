"""`/v1/studies/{uid}/fetch` and `/v1/pacs/{name}/release`: files that a PACS can give again."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Body, Request, Response

from medsiglip.answers.jobs import Job
from medsiglip.api.archive.pacs.fetching import checked_fetch, checked_release
from medsiglip.api.http import auditing
from medsiglip.api.http.job_submission import IdempotencyKey, Submission, accepted, submit
from medsiglip.api.http.routes.dependencies import ServedArchive, Writer
from medsiglip.api.http.routes.pacs.bodies import FetchOrder, PacsPath, ReleaseOrder
from medsiglip.api.http.schemas import StudyPath

router = APIRouter(prefix="/v1", tags=["pacs"])


@router.post("/studies/{uid}/fetch", operation_id="fetch_study_files", status_code=202, response_model=Job)
def fetch_study_files(
    request: Request,
    response: Response,
    archive: ServedArchive,
    uid: StudyPath,
    caller: Writer,
    order: Annotated[FetchOrder | None, Body()] = None,
    idempotency_key: IdempotencyKey = None,
) -> dict[str, Any]:
    """Start bringing the files of a study back from a PACS, by default the one that it last came from."""
    name = None if order is None else order.connection
    study = checked_fetch(archive, uid, name)
    auditing.record(request, "pacs-fetch", [study], connection=name)
    parameters = {"study_instance_uid": study, "connection": name}
    job = submit(request, caller, "pacs-fetch", parameters, Submission(idempotency_key, order))
    return accepted(job, caller, response)


@router.post("/pacs/{name}/release", operation_id="release_files", status_code=202, response_model=Job)
def release_files(
    request: Request,
    response: Response,
    archive: ServedArchive,
    name: PacsPath,
    caller: Writer,
    order: Annotated[ReleaseOrder | None, Body()] = None,
    idempotency_key: IdempotencyKey = None,
) -> dict[str, Any]:
    """Start deleting files here that a PACS can give again: of these studies, or of all that came from it."""
    studies = checked_release(archive, name, None if order is None else order.study_instance_uids)
    auditing.record(request, "pacs-release", studies or [], connection=name)
    parameters = {"connection": name, "study_instance_uids": studies}
    job = submit(request, caller, "pacs-release", parameters, Submission(idempotency_key, order))
    return accepted(job, caller, response)
