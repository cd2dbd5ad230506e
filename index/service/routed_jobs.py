"""The jobs of routing rules: which of them wait or failed, and what becomes of them with their rule.

Everything here is part of the caller's transaction. A study whose job was dropped before it ran is held back
with that job's id: the rule sends it again if it comes back, and it counts in the limits of an hour and a
day.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from sqlalchemy import ColumnElement, Connection, and_, bindparam, delete, func, or_, select, update

from medsiglip.index.catalogue.draft_schema import drafts, route_decisions
from medsiglip.index.catalogue.one_of import one_of
from medsiglip.index.catalogue.schema import studies
from medsiglip.index.catalogue.service_schema import jobs
from medsiglip.index.service.job_submission import insert_jobs

Standing = Literal["waiting", "failed"]
GIVE_UP_AFTER = timedelta(days=7)
_FIRST_RESENT_AFTER = timedelta(hours=1)
DROPPED = "its job was dropped when the route was removed or disabled"


@dataclass(frozen=True, slots=True)
class RoutedDraft:
    """A draft that a rule ordered and that is not there: its job waits or runs, or failed. `error` is that of
    its last attempt, with `code` and `message`.
    """

    study_instance_uid: str
    job_id: str
    status: str
    error: Mapping[str, Any] | None
    attempts: int
    sent_at: datetime


# Decisions that made a job, with their studies and jobs.
_ROUTED = route_decisions.join(studies, route_decisions.c.study_id == studies.c.id).join(
    jobs, route_decisions.c.job_id == jobs.c.id
)


def standing_counts(connection: Connection) -> dict[tuple[str, Standing], int]:
    """Number of drafts that wait and that failed, by rule."""
    found: dict[tuple[str, Standing], int] = {}
    standings: tuple[Standing, ...] = ("waiting", "failed")
    for standing in standings:
        counted = select(route_decisions.c.route, func.count()).where(_of_jobs(standing))
        for route, count in connection.execute(counted.group_by(route_decisions.c.route)):
            found[route, standing] = count
    return found


def routed_drafts(connection: Connection, name: str, standing: Standing, limit: int) -> list[RoutedDraft]:
    """The drafts of a rule that wait or that failed, the oldest first."""
    statement = (
        select(
            studies.c.study_instance_uid,
            jobs.c.id,
            jobs.c.status,
            jobs.c.error,
            jobs.c.attempts,
            route_decisions.c.decided_at,
        )
        .select_from(_ROUTED)
        .where(route_decisions.c.route == name, _with_status(standing))
        .order_by(route_decisions.c.decided_at, studies.c.id)
        .limit(limit)
    )
    return [RoutedDraft(*row) for row in connection.execute(statement)]


def resend_failed(
    connection: Connection,
    name: str,
    kind: str,
    parameters: Mapping[str, Any],
    priority: int,
    due_at: datetime | None = None,
) -> int:
    """Order again the drafts of a rule whose jobs failed and left none; returns how many. With `due_at` only
    those that failed because of their generator and are due then: an hour after they failed, or as long after
    it as they had been ordered before it, until they are `GIVE_UP_AFTER` old.

    They were sent when they were decided on: budgets do not count them again.
    """
    made = select(drafts.c.id).where(drafts.c.id == route_decisions.c.job_id).exists()
    statement = (
        select(
            route_decisions.c.study_id,
            studies.c.study_instance_uid,
            route_decisions.c.decided_at,
            jobs.c.finished_at,
            jobs.c.error,
        )
        .select_from(_ROUTED)
        .where(route_decisions.c.route == name, _with_status("failed"), ~made)
        .order_by(route_decisions.c.decided_at, studies.c.id)
    )
    rows = connection.execute(statement).all()
    if due_at is not None:
        rows = [row for row in rows if _is_due(row.decided_at, row.finished_at, row.error, due_at)]
    given = [{**parameters, "study_instance_uid": row.study_instance_uid} for row in rows]
    ids = insert_jobs(connection, kind, given, priority=priority)
    if rows:
        mine = and_(route_decisions.c.route == name, route_decisions.c.study_id == bindparam("of_study"))
        ordered = update(route_decisions).where(mine).values(job_id=bindparam("new_job"))
        pairs = zip(rows, ids, strict=True)
        connection.execute(ordered, [{"of_study": row.study_id, "new_job": job_id} for row, job_id in pairs])
    return len(ids)


def _is_due(sent: datetime, failed: datetime | None, error: Mapping[str, Any] | None, now: datetime) -> bool:
    code = str((error or {}).get("code", ""))
    if failed is None or not code.startswith("generator-") or now - sent > GIVE_UP_AFTER:
        return False
    return now - failed >= max(failed - sent, _FIRST_RESENT_AFTER)


def drop_waiting(connection: Connection, name: str, now: datetime) -> int:
    """Cancel the jobs of a rule that wait, and hold their studies back; one that runs is finished. Returns
    how many.
    """
    mine = jobs.c.parameters["route"].as_string() == name
    waiting = and_(jobs.c.kind == "report", jobs.c.status == "queued", mine)
    ordered = select(route_decisions.c.job_id).where(route_decisions.c.route == name)
    ids = list(
        connection.execute(
            select(jobs.c.id).where(waiting, jobs.c.id.in_(ordered)).with_for_update(skip_locked=True)
        ).scalars()
    )
    error = {
        "code": "route-removed",
        "message": f"The route {name} was removed or disabled before this job ran.",
    }
    ended = {"status": "cancelled", "finished_at": now, "lease_until": None, "cancel_requested": True}
    connection.execute(
        update(jobs).where(one_of(jobs.c.id, ids)).values(**ended, error=error, change=jobs.c.change + 1)
    )
    dropped = and_(route_decisions.c.route == name, one_of(route_decisions.c.job_id, ids))
    connection.execute(update(route_decisions).where(dropped).values(outcome="held", reason=DROPPED))
    return len(ids)


def release_held(connection: Connection, name: str) -> None:
    """Forget what a rule held back for its budget; what was dropped stays."""
    held = and_(route_decisions.c.route == name, route_decisions.c.outcome == "held")
    connection.execute(delete(route_decisions).where(held, route_decisions.c.job_id.is_(None)))


def counts_in_budget(*, ever: bool) -> ColumnElement[bool]:
    """Whether a decision uses up a budget: it was sent, or, for the limits of an hour and a day, dropped."""
    sent = route_decisions.c.outcome == "sent"
    return sent if ever else or_(sent, route_decisions.c.job_id.is_not(None))


def _of_jobs(standing: Standing) -> ColumnElement[bool]:
    return and_(route_decisions.c.job_id == jobs.c.id, _with_status(standing))


def _with_status(standing: Standing) -> ColumnElement[bool]:
    statuses = ("queued", "running") if standing == "waiting" else ("failed",)
    return and_(route_decisions.c.outcome == "sent", jobs.c.status.in_(statuses))
