"""Jobs that requests start, once for each `Idempotency-Key`, and what their callers see of them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import file_digest, sha256
from typing import Annotated, Any

from fastapi import Header, Request, Response
from pydantic import BaseModel

from medsiglip.api.errors import ServiceError
from medsiglip.api.http.auth import Caller
from medsiglip.api.http.multipart import Received
from medsiglip.api.http.redaction import redact_paths
from medsiglip.index.errors import CatalogError
from medsiglip.index.service.jobs import Job
from medsiglip.tracing.spans import span

IdempotencyKey = Annotated[
    str | None,
    Header(
        min_length=1,
        max_length=255,
        pattern=r"^[\x21-\x7e]+$",
        description="a value of your own: the same again, with the same request, "
        "gives the job that it started first",
    ),
]


@dataclass(frozen=True, slots=True)
class Submission:
    """What a request says of itself besides the job's parameters: its key, its body and its files."""

    idempotency_key: str | None = None
    body: BaseModel | None = None
    received: Received | None = None


def submit(
    request: Request, caller: Caller, kind: str, parameters: Mapping[str, Any], submission: Submission
) -> Job:
    """The new job, or the one that this caller started before with the same key and the same request.

    Raises ServiceError `idempotency-key-reused` for another request with that key.
    """
    queue = request.app.state.server.archive.index.jobs
    key = submission.idempotency_key
    unique: dict[str, str] = {}
    if key is not None:
        digest = request_digest(request, submission)
        unique = {"idempotency_key": f"{caller.key_id}:{key}", "request_digest": digest}
    try:
        with span("job submit", kind="producer", job__kind=kind) as submission_span:
            job: Job = queue.submit(kind, dict(parameters), key_id=caller.key_id, **unique)
            submission_span.note(job__id=job.id)
    except CatalogError as error:
        if error.code != "idempotency-key-reused":
            raise
        # Not an error of the catalogue, after which the files of an upload are kept.
        raise ServiceError(error.code, str(error)) from None
    return job


def request_digest(request: Request, submission: Submission) -> str:
    """SHA-256 of method, path, fields of the body, and names and contents of files: equal for a request that
    is sent again, whatever the spaces of its JSON and the boundary of its form.
    """
    told = sha256(f"{request.method} {request.url.path}\n".encode())
    if submission.body is not None:
        fields = submission.body.model_dump(mode="json")
        told.update(json.dumps(fields, sort_keys=True, ensure_ascii=True).encode("ascii"))
    sent = submission.received
    if sent is not None:
        files = [("file", file) for file in sent.files] + sorted(sent.others.items())
        for field, file in files:
            with file.open("rb") as stream:
                content = file_digest(stream, "sha256").hexdigest()
            name = str(file.relative_to(sent.folder))
            told.update(b"\n" + json.dumps([field, name, content]).encode("ascii"))
    return told.hexdigest()


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
