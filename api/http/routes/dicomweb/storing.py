"""`/dicom-web/studies`: STOW-RS, so that a PACS can send here (DICOM PS3.18, section 10.5)."""

from __future__ import annotations

import json
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.concurrency import run_in_threadpool

from medsiglip.api.archive.archive import Archive
from medsiglip.api.errors import ServiceError
from medsiglip.api.http import auditing
from medsiglip.api.http.auth import Caller
from medsiglip.api.http.job_submission import Submission, submit
from medsiglip.api.http.multipart import Received
from medsiglip.api.http.routes.dependencies import ServedArchive, Writer
from medsiglip.api.http.routes.problem_answers import UPLOAD_PROBLEMS, problems
from medsiglip.api.http.schemas import StudyPath
from medsiglip.api.http.stow import inspect_instance, response
from medsiglip.api.http.uploads import receive_related

DICOM_JSON = "application/dicom+json"
_ANSWER = {"content": {DICOM_JSON: {"schema": {"type": "object"}}}}
router = APIRouter(
    prefix="/dicom-web",
    tags=["DICOMweb"],
    responses={
        **UPLOAD_PROBLEMS,
        **problems(406),
        200: {**_ANSWER, "description": "All instances were taken."},
        202: {**_ANSWER, "description": "Some instances were taken."},
        409: {**_ANSWER, "description": "No instance was taken."},
    },
)
_BODY: Any = {
    "requestBody": {
        "required": True,
        "content": {"multipart/related": {"schema": {"type": "string", "format": "binary"}}},
    }
}


@router.post("/studies", operation_id="store_instances", response_class=Response, openapi_extra=_BODY)
async def store_instances(request: Request, archive: ServedArchive, caller: Writer) -> Response:
    """Take DICOM instances of any studies; they are ingested by the job that the header Link names."""
    return await _store(request, archive, caller, None)


@router.post(
    "/studies/{study}", operation_id="store_instances_of_study", response_class=Response, openapi_extra=_BODY
)
async def store_instances_of_study(
    request: Request, archive: ServedArchive, study: StudyPath, caller: Writer
) -> Response:
    """Take DICOM instances of one study; those of another are refused."""
    return await _store(request, archive, caller, study)


async def _store(request: Request, archive: Archive, caller: Caller, study: str | None) -> Response:
    _check_accept(request.headers.get("accept", "*/*"))
    async with receive_related(request) as received:
        if not received.files:
            raise ServiceError("bad-multipart", "the body holds no instance: send at least one part.")
        return await run_in_threadpool(_take, request, archive, caller, received, study)


def _take(
    request: Request, archive: Archive, caller: Caller, received: Received, study: str | None
) -> Response:
    instances = [inspect_instance(file, study, archive.rendering_pool) for file in received.files]
    for one in instances:
        if one.failure is not None:
            one.file.unlink()
    status, module = response(instances)
    headers = {}
    if status != 409:
        taken = sum(one.failure is None for one in instances)
        auditing.record(request, "ingest", files=taken)
        parameters = {
            "paths": [str(received.folder)],
            "metadata": None,
            "received": str(received.folder),
            "files": taken,
        }
        received.keep()
        job = submit(request, caller, "ingest", parameters, Submission())
        headers["Link"] = f'</v1/jobs/{job.id}>; rel="monitor"'
    # dicomweb-client compares the whole header: no charset.
    return Response(json.dumps(module), status, {**headers, "Content-Type": DICOM_JSON})


def _check_accept(accept: str) -> None:
    kinds = {one.partition(";")[0].strip().lower() for one in accept.split(",")}
    if not kinds & {"*/*", "application/*", DICOM_JSON, "application/json", ""}:
        raise ServiceError("not-acceptable", f"the answer is {DICOM_JSON}: accept that.")
