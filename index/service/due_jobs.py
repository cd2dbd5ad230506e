"""Which jobs are due, also after a clock was set back: moments in the catalogue as ages.

A process that sees a moment of the future for the first time notes by its own clock, which is never set, when
it will have come. A moment that lies further ahead than any may was written before a clock was set back.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Connection, and_, func, or_, select

from medsiglip.index.catalogue.service_schema import jobs
from medsiglip.index.service.waiting_uploads import HOLD_SECONDS, is_held, is_small

LEASE_SECONDS = 30.0
LONGEST_WAIT_SECONDS = 3600.0
"""The longest time that a failed job may wait for its next attempt."""
_MOST_WAITING = 1000


class Waiting(NamedTuple):
    """A row that waits `until` a moment, which never lies more than `longest` seconds ahead."""

    id: str
    until: datetime
    longest: float


class Wanted(NamedTuple):
    """The jobs that a worker asks for: of some `kinds`, and with `small_only` no ingests of many files."""

    kinds: Sequence[str]
    small_only: bool = False

    def condition(self) -> Any:
        """The condition on the table of jobs."""
        of_kind = jobs.c.kind.in_(self.kinds)
        return and_(of_kind, is_small()) if self.small_only else of_kind


class WaitingTimes:
    """What one process has seen waiting. Safe for several threads."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._ends: dict[tuple[str, datetime], float] = {}

    def over(self, waiting: Iterable[Waiting], now: datetime) -> Waiting | None:
        """The first that has waited long enough. `waiting` is everything that waits at the moment `now`; what
        is no longer among it is forgotten.
        """
        with self._lock:
            moment, ends, found = self._clock(), {}, None
            for one in waiting:
                left = min((one.until - now).total_seconds(), one.longest)
                end = ends[one.id, one.until] = self._ends.get((one.id, one.until), moment + left)
                if found is None and end <= moment:
                    found = one
            self._ends = ends
            return found


def claimable(now: datetime, wanted: Wanted, over: Waiting | None, leases_count: bool) -> Any:
    """The statement for the next job that is due; with `leases_count`, also one whose lease has ended. `over`
    is what `WaitingTimes.over` found.
    """
    # A job that waits for nothing has `created_at` there, wherever the clock is by now.
    due = or_(jobs.c.not_before <= now, jobs.c.not_before <= jobs.c.created_at, jobs.c.created_at > now)
    expired = jobs.c.lease_until < now
    if over is not None:
        due = or_(due, and_(jobs.c.id == over.id, jobs.c.not_before == over.until))
        expired = or_(expired, and_(jobs.c.id == over.id, jobs.c.lease_until == over.until))
    waits = and_(jobs.c.status == "queued", due)
    abandoned = and_(jobs.c.status == "running", expired)
    return (
        select(jobs)
        .where(or_(waits, abandoned) if leases_count else waits, wanted.condition())
        .order_by(jobs.c.priority.desc(), jobs.c.created_at, jobs.c.id)
        .limit(1)
    )


def waiting(connection: Connection, now: datetime, wanted: Wanted) -> list[Waiting]:
    """The jobs that wait for a moment of the future: the end of a pause, of a hold, or of another worker's
    lease.
    """
    queued = and_(jobs.c.status == "queued", jobs.c.not_before > now)
    running = and_(jobs.c.status == "running", jobs.c.lease_until >= now)
    columns = (jobs.c.id, jobs.c.status, jobs.c.not_before, jobs.c.lease_until, is_held().label("held"))
    statement = select(*columns).where(or_(queued, running), wanted.condition())
    return [
        Waiting(row.id, row.not_before, HOLD_SECONDS if row.held else LONGEST_WAIT_SECONDS)
        if row.status == "queued"
        else Waiting(row.id, row.lease_until, LEASE_SECONDS)
        for row in connection.execute(statement.order_by(jobs.c.created_at, jobs.c.id).limit(_MOST_WAITING))
    ]


def oldest_ages(connection: Connection, now: datetime) -> tuple[float, float]:
    """For how many seconds the oldest waiting job has waited, and the running one that began first has run;
    0 where there is none.
    """
    waits = select(func.min(jobs.c.created_at)).where(jobs.c.status == "queued")
    runs = select(func.min(jobs.c.started_at)).where(jobs.c.status == "running")
    moments = (connection.execute(waits).scalar(), connection.execute(runs).scalar())
    waited, ran = (0.0 if one is None else max((now - one).total_seconds(), 0.0) for one in moments)
    return waited, ran
