"""`/v1/ingest`: a folder that the service can read, or files that are sent, become cases."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.concurrency import run_in_threadpool

from medsiglip.answers.jobs import Job
from medsiglip.api.archive.files import allowed_path
from medsiglip.api.archive.ingestion import require_cluster, require_dry_run
from medsiglip.api.archive.received import count_files
from medsiglip.api.errors import ServiceError
from medsiglip.api.http import auditing
from medsiglip.api.http.auth import Caller
from medsiglip.api.http.job_submission import IdempotencyKey, Submission, accepted, submit
from medsiglip.api.http.request_body import RequestBody, read_request_body, request_body_schema
from medsiglip.api.http.routes.dependencies import Writer
from medsiglip.api.http.routes.problem_answers import UPLOAD_PROBLEMS
from medsiglip.api.http.schemas import IngestQuestion

router = APIRouter(prefix="/v1", tags=["cases"], responses=UPLOAD_PROBLEMS)
_FILES = "DICOM files, PNG or JPEG pictures, zip or tar archives of them"
_METADATA = "a CSV that describes plain pictures by their file names"


@router.post(
    "/ingest",
    operation_id="ingest",
    status_code=202,
    response_model=Job,
    openapi_extra=request_body_schema(IngestQuestion, files=_FILES, others={"metadata": _METADATA}),
)
async def ingest(
    request: Request, response: Response, caller: Writer, idempotency_key: IdempotencyKey = None
) -> dict[str, Any]:
    """Start an ingest, or a dry run of one; the job's result is the report of the run."""
    async with read_request_body(request, IngestQuestion, others=("metadata",)) as question:
        return await run_in_threadpool(_start, request, response, caller, question, idempotency_key)


def _start(
    request: Request,
    response: Response,
    caller: Caller,
    question: RequestBody[IngestQuestion],
    idempotency_key: str | None,
) -> dict[str, Any]:
    sent = question.received
    if (question.fields.path is None) == (sent is None or not sent.files):
        raise ServiceError("one-of", "give either a path that the service can read, or files in the form.")
    if question.fields.dry_run:
        require_dry_run(request.app.state.server.settings)
    if question.fields.engine == "ray":
        require_cluster(request.app.state.server.settings)
    if sent is None or not sent.files:
        parameters = _of_path(request, question.fields)
    else:
        metadata = sent.others.get("metadata")
        # With a CSV the files are listed one by one, for the CSV itself is no picture.
        paths = [str(sent.folder)] if metadata is None else [str(file) for file in sent.files]
        parameters = {"paths": paths, "received": str(sent.folder)}
        parameters["metadata"] = None if metadata is None else str(metadata)
        parameters["files"] = count_files(sent.folder)
    # A job without the parameter is an ingest, also for an earlier version that works beside this one.
    parameters |= {"dry_run": True} if question.fields.dry_run else {}
    files = 0 if sent is None else len(sent.files)
    details: dict[str, Any] = {"files": files}
    if question.fields.dry_run:
        details["dry_run"] = True
    auditing.record(request, "ingest", **details)
    if sent is not None and sent.files:
        sent.keep()
    job = submit(request, caller, "ingest", parameters, Submission(idempotency_key, question.fields, sent))
    if sent is not None and job.parameters.get("received") != str(sent.folder):
        sent.is_kept = False  # the job that was started before with this key has its own files
    return accepted(job, caller, response)


def _of_path(request: Request, question: IngestQuestion) -> dict[str, Any]:
    roots = request.app.state.server.settings.ingest_roots
    path: Path = allowed_path(str(question.path), roots)
    metadata = None if question.metadata is None else str(allowed_path(question.metadata, roots))
    found = {"paths": [str(path)], "metadata": metadata, "received": None, "files": count_files(path)}
    return found if question.engine is None else {**found, "engine": question.engine}
