"""Jobs that requests start, once for each `Idempotency-Key`, and what their callers see of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import Header, Request, Response

from medsiglip.api.http.auth import Caller
from medsiglip.api.http.redaction import redact_paths
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
    """The new job, or the one that this caller started before with the same key."""
    own_key = None if idempotency_key is None else f"{caller.key_id}:{idempotency_key}"
    queue = request.app.state.server.archive.index.jobs
    job: Job = queue.submit(kind, dict(parameters), key_id=caller.key_id, idempotency_key=own_key)
    return job


def accepted(job: Job, caller: Caller, response: Response) -> dict[str, Any]:
    """The job as its caller sees it, with status 202 and its URL in `Location`."""
    response.status_code = 202
    response.headers["Location"] = f"/v1/jobs/{job.id}"
    return job_view(job, with_paths=caller.may("admin"))


def job_view(job: Job, *, with_paths: bool) -> dict[str, Any]:
    """The job as JSON.

    Files of the upload that the job was made for have the names that their sender gave them. Other paths
    often contain names of patients: without `with_paths` a `path` within the result is left out.
    """
    view, received = job.to_json(), job.parameters.get("received")
    view["result"] = redact_paths(view["result"], received, with_paths)
    view["error"] = redact_paths(view["error"], received, with_paths)
    return view
