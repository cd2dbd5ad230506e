"""`/v1/jobs`: what long work is on, how far it is, and its end.

A caller sees and cancels the jobs that its own key started; `admin` those of all. A job of somebody else's is
answered as one that is not there.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, Header, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, ConfigDict, Field

from medsiglip.api.archive.received import discard_unused
from medsiglip.api.http.auth import Caller, requires
from medsiglip.api.http.job_events import JobFollowers
from medsiglip.api.http.job_view import job_view
from medsiglip.index.case_index import CaseIndex
from medsiglip.index.errors import CatalogError
from medsiglip.index.service.jobs import Job, JobQueue, Status

router = APIRouter(prefix="/v1/jobs", tags=["jobs"])
_CHANGE = re.compile("[0-9]{1,18}", re.ASCII)
_ID = re.compile("[0-9a-f]{32}")
Reader = Annotated[Caller, Depends(requires("read"))]


class JobProgress(BaseModel):
    """How far a job is; `total` is null while nobody knows."""

    done: int
    total: int | None
    stage: str


class JobError(BaseModel):
    """Why a job failed, or why it is tried again."""

    code: str
    message: str


class JobAnswer(BaseModel):
    """A job: `result` is what its kind of work answers, once it is `done`."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "id": "0f8fad5bd9cb469fa16570867728950e",
                "kind": "ingest",
                "status": "running",
                "progress": {"done": 120, "total": 480, "stage": "embedding"},
                "result": None,
                "error": None,
                "attempts": 1,
                "created_at": "2026-03-01T08:00:00+00:00",
                "started_at": "2026-03-01T08:00:01+00:00",
                "finished_at": None,
            }
        }
    )

    id: str
    kind: str
    status: Status
    progress: JobProgress
    result: Any = None
    error: JobError | None = None
    attempts: int = Field(description="how often a worker began it")
    created_at: str
    started_at: str | None = None
    finished_at: str | None = None


class JobList(BaseModel):
    """Jobs, the newest first."""

    jobs: list[JobAnswer]


@router.get("", response_model=JobList)
def list_jobs(
    request: Request,
    caller: Reader,
    status: Status | None = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> dict[str, Any]:
    """The newest jobs; results are left out, each job's own address has its result."""
    mine = None if caller.may("admin") else caller.key_id
    found = _queue(request).listed(status=status, key_id=mine, limit=limit)
    return {"jobs": [{**_shown(caller, job), "result": None} for job in found]}


@router.get("/{job_id}", response_model=JobAnswer)
def get_job(request: Request, job_id: str, caller: Reader) -> dict[str, Any]:
    """One job."""
    return _shown(caller, _visible(_queue(request), job_id, caller))


@router.delete("/{job_id}", response_model=JobAnswer)
def cancel_job(request: Request, job_id: str, caller: Reader) -> dict[str, Any]:
    """Cancel a job: one that waits ends at once, one that runs soon; what it has committed stays."""
    queue = _queue(request)
    _visible(queue, job_id, caller)
    job = queue.cancel(job_id)
    discard_unused(_index(request), job)
    return _shown(caller, job)


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
    job_id: str,
    caller: Reader,
    last_event_id: Annotated[str | None, Header()] = None,
) -> Response:
    """The job as server-sent events: `progress`, then `done`, `failed` or `cancelled`, each with the job.

    A client that comes back with `Last-Event-ID` is told what has changed since.
    """
    job = await run_in_threadpool(_visible, _queue(request), job_id, caller)
    last_seen = int(last_event_id) if last_event_id and _CHANGE.fullmatch(last_event_id) else None
    if job.is_final and last_seen is not None and last_seen >= job.change:
        return Response(status_code=204)  # which has an EventSource stop coming back
    events: AsyncIterator[str] = followers(request.app).follow(job, partial(_shown, caller), last_seen)
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(events, media_type="text/event-stream", headers=headers)


def followers(app: FastAPI) -> JobFollowers:
    """The application's one `JobFollowers`, made at its first use on the event loop."""
    found: JobFollowers | None = getattr(app.state, "job_followers", None)
    if found is None:
        found = app.state.job_followers = JobFollowers(app.state.server.archive.index.jobs)
    return found


def _index(request: Request) -> CaseIndex:
    index: CaseIndex = request.app.state.server.archive.index
    return index


def _queue(request: Request) -> JobQueue:
    return _index(request).jobs


def _visible(queue: JobQueue, job_id: str, caller: Caller) -> Job:
    job = queue.get(job_id) if _ID.fullmatch(job_id) else None
    if job is None or not (caller.may("admin") or job.key_id == caller.key_id):
        raise CatalogError("unknown-job", "There is no such job; look at the id that its start gave.")
    return job


def _shown(caller: Caller, job: Job) -> dict[str, Any]:
    return job_view(job, with_paths=caller.may("admin"))
