"""Jobs that a request starts: submitted once for one `Idempotency-Key`, and answered with 202."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import Header, Request, Response

from medsiglip.api.http.auth import Caller
from medsiglip.api.http.job_view import job_view
from medsiglip.index.service.jobs import Job

IdempotencyKey = Annotated[
    str | None,
    Header(
        min_length=1,
        max_length=255,
        pattern=r"^[\x21-\x7e]+$",
        description="a value of your own: the same again gives the job that it started first",
    ),
]


def submit(
    request: Request, caller: Caller, kind: str, parameters: Mapping[str, Any], idempotency_key: str | None
) -> Job:
    """The new job, or the one that this caller started with the same key before."""
    mine = None if idempotency_key is None else f"{caller.key_id}:{idempotency_key}"
    queue = request.app.state.server.archive.index.jobs
    job: Job = queue.submit(kind, dict(parameters), key_id=caller.key_id, idempotency_key=mine)
    return job


def accepted(job: Job, caller: Caller, response: Response) -> dict[str, Any]:
    """The job as its caller sees it; `Location` says where it can be asked for."""
    response.status_code = 202
    response.headers["Location"] = f"/v1/jobs/{job.id}"
    return job_view(job, with_paths=caller.may("admin"))
