"""A job in the trace of the request that submitted it."""

from __future__ import annotations

from contextlib import AbstractContextManager

from medsiglip.index.service.job_submission import TRACEPARENT
from medsiglip.index.service.jobs import Job
from medsiglip.tracing.spans import Span, span


def job_span(job: Job) -> AbstractContextManager[Span]:
    """The span of one attempt at a job: within the request that submitted it, or a trace of its own for one
    that carries none.
    """
    given = job.parameters.get(TRACEPARENT)
    # Without a parent it would be within the job that pauses for this one.
    parent = given if isinstance(given, str) else ""
    return span(
        f"job {job.kind}",
        kind="consumer",
        parent=parent,
        job__kind=job.kind,
        job__id=job.id,
        job__attempt=job.attempts,
    )
