"""`/v1/jobs`: long work, its progress and its result.

A caller sees and cancels the jobs that its own key started, `admin` those of all keys. The job of another key
is refused like one that does not exist.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, FastAPI, Header, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import StreamingResponse

from medsiglip.answers.jobs import Job as JobAnswer
from medsiglip.answers.jobs import JobList, JobStatus
from medsiglip.api.archive.received import discard_unused
from medsiglip.api.errors import ServiceError
from medsiglip.api.http import auditing
from medsiglip.api.http.auth import Caller, Scope
from medsiglip.api.http.job_events import JobFollowers
from medsiglip.api.http.job_submission import accepted, job_view
from medsiglip.api.http.routes.dependencies import Reader, ServedArchive
from medsiglip.api.http.routes.problem_answers import problems
from medsiglip.api.http.schemas import Cursor
from medsiglip.index.errors import CatalogError
from medsiglip.index.service.jobs import REQUEST_DIGEST, Job, JobQueue
from medsiglip.index.service.newest_first import Place, read_place
from medsiglip.names import NAME

router = APIRouter(prefix="/v1/jobs", tags=["jobs"])
_CHANGE = re.compile("[0-9]{1,18}", re.ASCII)
_ID = re.compile("[0-9a-f]{32}")
RETRIES: dict[str, tuple[Scope, str]] = {
    "ingest": ("write", "ingest"),
    "probe": ("train", "train"),
    "predictions": ("train", "predict"),
    "calibration": ("train", "calibrate"),
    "map": ("train", "map"),
    "evaluation": ("train", "evaluate"),
    "report": ("report", "draft"),
    "reembed": ("admin", "reembed"),
    "pacs-pull": ("write", "pacs-pull"),
    "pacs-send": ("write", "pacs-send"),
    "pacs-sync": ("write", "pacs-sync"),
}
"""By kind the scope that starting a job needs, and the action that the audit trail has of it."""


@router.get("", response_model=JobList)
def list_jobs(
    archive: ServedArchive,
    caller: Reader,
    status: JobStatus | None = None,
    kind: Annotated[str | None, Query(max_length=40, pattern=NAME, description="such as ingest")] = None,
    cursor: Cursor = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> dict[str, Any]:
    """The newest jobs; without results, which are at each job's own URL."""
    mine = None if caller.may("admin") else caller.key_id
    after = None if cursor is None else read_place(cursor)
    found = archive.index.jobs.listed(status=status, kind=kind, key_id=mine, after=after, limit=limit + 1)
    jobs = found[:limit]
    more = None if len(found) == len(jobs) else Place(jobs[-1].created_at, jobs[-1].id).cursor()
    return {"jobs": [{**_shown(caller, job), "result": None} for job in jobs], "cursor": more}


@router.get("/{job_id}", response_model=JobAnswer)
def get_job(request: Request, archive: ServedArchive, job_id: str, caller: Reader) -> dict[str, Any]:
    """One job."""
    return _told(request, caller, visible_job(archive.index.jobs, job_id, caller))


@router.delete("/{job_id}", response_model=JobAnswer)
def cancel_job(request: Request, archive: ServedArchive, job_id: str, caller: Reader) -> dict[str, Any]:
    """Cancel a job: one that waits ends at once, one that runs soon; what it has committed stays."""
    queue = archive.index.jobs
    visible_job(queue, job_id, caller)
    job = queue.cancel(job_id)
    discard_unused(archive.index, job)
    return _told(request, caller, job)


@router.post("/{job_id}/retry", status_code=202, response_model=JobAnswer, responses=problems(403, 404, 409))
def retry_job(
    request: Request, response: Response, archive: ServedArchive, job_id: str, caller: Reader
) -> dict[str, Any]:
    """Start a job again that failed or was cancelled, as a new job; asked again, the one that it began."""
    queue = archive.index.jobs
    job = visible_job(queue, job_id, caller)
    if job.kind not in RETRIES:
        raise ServiceError("not-retryable", "a job of this kind cannot be started again: order it anew.")
    scope, action = RETRIES[job.kind]
    if not caller.may(scope):
        raise ServiceError("missing-scope", f"this needs a key with the scope {scope}.")
    _check_retry(job)
    parameters = {name: value for name, value in job.parameters.items() if name != REQUEST_DIGEST}
    parameters |= {"by": caller.key_id} if job.kind == "report" else {}
    uid = parameters.get("study_instance_uid")
    auditing.record(request, action, [] if uid is None else [uid], retry_of=job.id)
    # Whose it was may see it; to ask twice, as with a double click, starts one.
    again = queue.submit(job.kind, parameters, key_id=job.key_id, idempotency_key=f"retry:{job.id}")
    return accepted(again, caller, response)


def _check_retry(job: Job) -> None:
    """Raise ServiceError `not-retryable` for a job that has nothing to start again, with the way out."""
    if job.status not in ("failed", "cancelled"):
        reason = "only a job that failed or was cancelled is started again."
    elif job.parameters.get("received") is not None:
        reason = "the files that were sent with it are deleted: send them again."
    elif job.kind == "report" and job.key_id is None:
        reason = "a route ordered this draft: run the route, which orders again what failed."
    else:
        return
    raise ServiceError("not-retryable", reason)


@router.get(
    "/{job_id}/events",
    response_class=StreamingResponse,
    responses={
        200: {"content": {"text/event-stream": {}}, "description": "events until the job has ended"},
        204: {"description": "the job has ended, and its last event was seen"},
    },
)
async def follow_job(
    request: Request,
    archive: ServedArchive,
    job_id: str,
    caller: Reader,
    last_event_id: Annotated[str | None, Header()] = None,
) -> Response:
    """The job as server-sent events: `progress`, then `done`, `failed` or `cancelled`, each with the job.

    A client that comes back with `Last-Event-ID` is told what has changed since.
    """
    job = await run_in_threadpool(visible_job, archive.index.jobs, job_id, caller)
    last_seen = int(last_event_id) if last_event_id and _CHANGE.fullmatch(last_event_id) else None
    if job.is_final and last_seen is not None and last_seen >= job.change:
        return Response(status_code=204)  # after which an EventSource does not reconnect
    events: AsyncIterator[str] = followers(request.app).follow(
        job, partial(_told, request, caller), last_seen
    )
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(events, media_type="text/event-stream", headers=headers)


def followers(app: FastAPI) -> JobFollowers:
    """The application's one `JobFollowers`, made at its first use on the event loop."""
    found: JobFollowers | None = getattr(app.state, "job_followers", None)
    if found is None:
        found = app.state.job_followers = JobFollowers(app.state.server.archive.index.jobs)
    return found


def visible_job(queue: JobQueue, job_id: str, caller: Caller) -> Job:
    """The job, if this caller may see it; else CatalogError `unknown-job`."""
    job = queue.get(job_id) if _ID.fullmatch(job_id) else None
    if job is None or not (caller.may("admin") or job.key_id == caller.key_id):
        raise CatalogError("unknown-job", "There is no such job; look at the id that its start gave.")
    return job


def _told(request: Request, caller: Caller, job: Job) -> dict[str, Any]:
    """The job with its result, after the audit trail has the cases that this names."""
    auditing.record_result(request, job)
    return _shown(caller, job)


def _shown(caller: Caller, job: Job) -> dict[str, Any]:
    return job_view(job, with_paths=caller.may("admin"))
