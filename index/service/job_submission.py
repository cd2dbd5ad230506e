"""Adding jobs to the catalogue, inside the transaction of whoever submits them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any
from uuid import uuid4

from sqlalchemy import Connection, insert, text

from medsiglip.index.catalogue.database import now_of
from medsiglip.index.catalogue.service_schema import jobs

TRACEPARENT = "traceparent"
"""The parameter of a job that says of which trace it is part, by W3C Trace Context."""
_current_trace: list[Callable[[], str | None]] = []


def carry_traces(current: Callable[[], str | None] | None) -> None:
    """From now on jobs that this process submits say of which trace they are part: `current` gives its
    `traceparent`, or None. None ends it.
    """
    _current_trace[:] = [] if current is None else [current]


def insert_jobs(
    connection: Connection, kind: str, parameters: Sequence[Mapping[str, Any]], **submission: Any
) -> list[str]:
    """Add a job for each of the parameters inside the caller's write transaction; returns the jobs' ids.
    `submission` may have `key_id`, `idempotency_key` and `priority`.
    """
    now = now_of(connection)
    shared = {
        "kind": kind,
        "status": "queued",
        "done": 0,
        "stage": "",
        "key_id": None,
        "idempotency_key": None,
        "priority": 0,
        "attempts": 0,
        "change": 0,
        "cancel_requested": False,
        "not_before": now,
        "created_at": now,
        **submission,
    }
    trace = _current_trace[0]() if _current_trace else None
    carried = {} if trace is None else {TRACEPARENT: trace}
    rows = [{**shared, "id": uuid4().hex, "parameters": {**given, **carried}} for given in parameters]
    if rows:
        connection.execute(insert(jobs), rows)
    return [row["id"] for row in rows]


def lock_submissions(connection: Connection) -> None:
    """Serialize submissions with an idempotency key on PostgreSQL; SQLite's write
    transactions do so anyway.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(5064662)"))
