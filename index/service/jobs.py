"""Long work as rows: submitted by one process, run by exactly one worker of any process, never lost.

A worker holds a job by a lease that it renews. When a worker is killed, the lease expires and another worker
claims the job, up to `MAX_ATTEMPTS` times. A cancelled job ends at the worker's next heartbeat, or at once if
no worker runs it.

Moments are those of the database's clock. A clock that is set back holds nothing up: see
`medsiglip.index.service.due_jobs`. While the database is away nobody can renew a lease, so expired ones count
again only some time after it is back.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal

from sqlalchemy import Connection, Row, and_, func, select, update

from medsiglip.index.catalogue.database import Database, now_of
from medsiglip.index.catalogue.one_of import one_of
from medsiglip.index.catalogue.rows import record_of
from medsiglip.index.catalogue.schema import from_stored
from medsiglip.index.catalogue.service_schema import jobs
from medsiglip.index.errors import OUTAGES, CatalogError
from medsiglip.index.service.due_jobs import (
    LEASE_SECONDS,
    LONGEST_WAIT_SECONDS,
    WaitingTimes,
    Wanted,
    claimable,
    oldest_ages,
    waiting,
)
from medsiglip.index.service.job_submission import insert_jobs, lock_submissions
from medsiglip.index.service.newest_first import Place, newest_first
from medsiglip.index.service.waiting_uploads import WaitingUploads, is_held
from medsiglip.index.storage.forgotten import of_cases_there

Status = Literal["queued", "running", "done", "failed", "cancelled"]
Beat = Literal["go-on", "cancel", "lost"]
FINAL: frozenset[Status] = frozenset({"done", "failed", "cancelled"})
MAX_ATTEMPTS = 5
REQUEST_DIGEST = "request_digest"


@dataclass(frozen=True, slots=True)
class Job:
    """A job as the catalogue holds it. `change` rises with every step; `result` is JSON, `error` has `code`
    and `message`.
    """

    id: str
    kind: str
    status: Status
    parameters: Mapping[str, Any] = field(repr=False)
    done: int
    total: int | None
    stage: str
    result: Any = field(repr=False)
    error: Mapping[str, Any] | None
    key_id: str | None
    attempts: int
    change: int
    worker: str | None
    cancel_requested: bool
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None

    @property
    def is_final(self) -> bool:
        """Whether the job will not change any more."""
        return self.status in FINAL

    def to_json(self) -> dict[str, Any]:
        """The job as clients see it."""
        return {
            "id": self.id,
            "kind": self.kind,
            "status": self.status,
            "progress": {"done": self.done, "total": self.total, "stage": self.stage},
            "result": self.result,
            "error": None if self.error is None else dict(self.error),
            "attempts": self.attempts,
            "created_at": self.created_at.isoformat(),
            "started_at": None if self.started_at is None else self.started_at.isoformat(),
            "finished_at": None if self.finished_at is None else self.finished_at.isoformat(),
        }


class JobQueue:
    """The jobs of one catalogue. Every method is one transaction."""

    def __init__(self, database: Database, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._database = database
        self.waiting_uploads = WaitingUploads(database)
        self._clock = clock
        # A process asks now for all jobs and now for small ones; what it has seen waiting is kept for each.
        self._waiting_times = {small_only: WaitingTimes(clock) for small_only in (False, True)}
        self._leases_count_from = float("-inf")

    def submit(
        self,
        kind: str,
        parameters: Mapping[str, Any],
        *,
        key_id: str | None = None,
        idempotency_key: str | None = None,
        request_digest: str | None = None,
        priority: int = 0,
    ) -> Job:
        """Add a job, or return the one that was submitted with the same `idempotency_key`.

        Raises `CatalogError` `idempotency-key-reused` where that one has another `request_digest`, which is
        stored with the parameters; one that was stored without a digest is not compared.
        """
        if request_digest is not None:
            parameters = {**parameters, REQUEST_DIGEST: request_digest}
        with self._database.write_service_tables() as connection:
            if idempotency_key is not None:
                lock_submissions(connection)
                former = _one(connection, jobs.c.idempotency_key == idempotency_key)
                if former is not None:
                    return _same_request(former, request_digest)
            submission = {"key_id": key_id, "idempotency_key": idempotency_key, "priority": priority}
            [job_id] = insert_jobs(connection, kind, [parameters], **submission)
            return _needed(connection, job_id)

    def get(self, job_id: str) -> Job:
        """One job; raises `CatalogError` `unknown-job`."""
        with self._database.read() as connection:
            return _needed(connection, job_id)

    def received(self) -> set[str]:
        """The folders of uploads of all jobs, in any status."""
        folder = jobs.c.parameters["received"].as_string()
        with self._database.read() as connection:
            found = connection.execute(select(folder).where(folder.is_not(None))).scalars()
            return {from_stored(path) for path in found}

    def unread_uploads(self) -> dict[str, str]:
        """The folders of uploads of jobs that failed or were cancelled, by the job's id."""
        folder = jobs.c.parameters["received"].as_string()
        ended = jobs.c.status.in_(("failed", "cancelled"))
        with self._database.read() as connection:
            found = connection.execute(select(jobs.c.id, folder).where(ended, folder.is_not(None)))
            return {job_id: from_stored(path) for job_id, path in found}

    def listed(
        self,
        *,
        status: Status | None = None,
        kind: str | None = None,
        key_id: str | None = None,
        after: Place | None = None,
        limit: int = 100,
    ) -> list[Job]:
        """Jobs, the newest first; with a `key_id`, those submitted with this API key."""
        asked = {"status": status, "kind": kind, "key_id": key_id}
        statement = newest_first(select(jobs), jobs, after, limit, **asked)
        with self._database.read() as connection:
            return [_job(row) for row in connection.execute(statement)]

    def changes(self, job_ids: Collection[str]) -> dict[str, int]:
        """The change number of each of these jobs that exists, for followers that poll."""
        statement = select(jobs.c.id, jobs.c.change).where(one_of(jobs.c.id, list(job_ids)))
        with self._database.read() as connection:
            return {row.id: row.change for row in connection.execute(statement)}

    def counts(self) -> dict[tuple[str, str], int]:
        """Number of jobs by kind and status."""
        statement = select(jobs.c.kind, jobs.c.status, func.count()).group_by(jobs.c.kind, jobs.c.status)
        with self._database.read() as connection:
            return {(kind, status): count for kind, status, count in connection.execute(statement)}

    def claim(
        self,
        worker: str,
        kinds: Sequence[str],
        *,
        lease_seconds: float = LEASE_SECONDS,
        small_only: bool = False,
    ) -> Job | None:
        """Claim the next job that waits or whose lease has expired for this worker; None if there is none.
        `worker` is unique to a process. With `small_only` ingests of many files are left to wait.
        """
        with self._noting_outages():
            return self._claim(worker, Wanted(kinds, small_only), lease_seconds)

    def _claim(self, worker: str, wanted: Wanted, lease_seconds: float) -> Job | None:
        leases_count = self._clock() >= self._leases_count_from
        with self._database.read() as connection:  # idle workers poll, and should not block writers
            now = now_of(connection)
            over = self._waiting_times[wanted.small_only].over(waiting(connection, now, wanted), now)
            if connection.execute(claimable(now, wanted, over, leases_count)).first() is None:
                return None
        with self._database.write_service_tables() as connection:
            now = now_of(connection)
            due = claimable(now, wanted, over, leases_count).with_for_update(skip_locked=True)
            while (row := connection.execute(due).one_or_none()) is not None:
                job = _job(row)
                if job.cancel_requested:
                    _end(connection, jobs.c.id == job.id, "cancelled", now)
                elif job.attempts >= MAX_ATTEMPTS:
                    _end(connection, jobs.c.id == job.id, "failed", now, error=_workers_lost(job))
                else:
                    claimed = {
                        "status": "running",
                        "worker": worker,
                        "attempts": job.attempts + 1,
                        "lease_until": now + timedelta(seconds=lease_seconds),
                        "started_at": job.started_at or now,
                        "error": None,
                        "done": 0,
                        "total": None,
                        "stage": "",
                    }
                    _change(connection, jobs.c.id == job.id, claimed)
                    return _needed(connection, job.id)
        return None

    def beat(
        self,
        job: Job,
        *,
        done: int | None = None,
        total: int | None = None,
        stage: str | None = None,
        lease_seconds: float = LEASE_SECONDS,
    ) -> Beat:
        """Renew the lease and store the progress; returns `lost` if another worker has the job now, `cancel`
        if it should stop.
        """
        with self._noting_outages(), self._database.write_service_tables() as connection:
            lease = {"lease_until": now_of(connection) + timedelta(seconds=lease_seconds)}
            progress = {} if done is None else {"done": done, "total": total, "stage": stage or ""}
            change = {"change": jobs.c.change + 1} if progress else {}
            if not _set(connection, _runs(job), {**lease, **progress, **change}):
                return "lost"
            return _standing(connection, job)

    def standing(self, job: Job) -> Beat:
        """What `beat` would return, without writing: cheap enough to call every second."""
        with self._database.read() as connection:
            return _standing(connection, job)

    def finish(self, job: Job, result: Any) -> bool:
        """The job is done; False if this worker had lost it. What an evaluation says of a study that was
        deleted meanwhile is left out.
        """
        if job.kind == "evaluation":
            with self._database.read() as connection:
                result = of_cases_there(connection, result)
        return self._ended(job, "done", result=result, done=func.coalesce(jobs.c.total, jobs.c.done))

    def fail(
        self, job: Job, error: Mapping[str, Any], *, retry_after: float | None = None, counts: bool = True
    ) -> bool:
        """The job failed, or waits `retry_after` seconds, at most `LONGEST_WAIT_SECONDS`, for another attempt
        if one is left and it was not cancelled; False if this worker had lost it. An attempt that does not
        count failed for a reason outside of the job, such as an outage of the database.
        """
        if retry_after is None or (counts and job.attempts >= MAX_ATTEMPTS):
            return self._ended(job, "failed", error=dict(error))
        attempts = job.attempts if counts else job.attempts - 1
        return self._requeued(job, retry_after, error=dict(error), attempts=attempts)

    def wait(self, job: Job, error: Mapping[str, Any], *, first: float, patience: float) -> bool:
        """The job waits for something outside of it that is away, such as a generator: `first` seconds, then
        half as long as since its first attempt began, at most `LONGEST_WAIT_SECONDS`. No attempt is counted;
        the job fails after `patience` seconds. False if this worker had lost it.
        """
        with self._database.read() as connection:
            now = now_of(connection)
        waited = (now - (job.started_at or now)).total_seconds()
        if waited >= patience:
            return self._ended(job, "failed", error=dict(error))
        return self._requeued(job, max(first, waited / 2), error=dict(error), attempts=job.attempts - 1)

    def stopped(self, job: Job) -> bool:
        """The job ended because it was cancelled."""
        return self._ended(job, "cancelled")

    def hand_back(self, job: Job) -> bool:
        """The worker shuts down: the job waits for another worker, and this attempt is not counted."""
        return self._requeued(job, 0.0, attempts=job.attempts - 1)

    def cancel(self, job_id: str) -> Job:
        """Request that a job stops; a waiting one ends at once, unless a worker holds it and may be reading
        its files. Raises `CatalogError` `unknown-job`.
        """
        this = jobs.c.id == job_id
        with self._database.write_service_tables() as connection:
            # Locked: otherwise a worker that hands the job back meanwhile would leave the request unnoticed.
            job, now = _needed(connection, job_id, locked=True), now_of(connection)
            held = and_(is_held(), jobs.c.not_before > now)
            waits = and_(this, jobs.c.status == "queued", ~held)
            has_ended = job.is_final or _end(connection, waits, "cancelled", now, cancel_requested=True)
            if not has_ended and not job.cancel_requested:
                _change(connection, this, {"cancel_requested": True})
            return _needed(connection, job_id)

    def oldest(self) -> dict[Status, float]:
        """For how many seconds the oldest waiting job has waited, and the running one that began first has
        run; 0 where there is none.
        """
        with self._database.read() as connection:
            waited, ran = oldest_ages(connection, now_of(connection))
        return {"queued": waited, "running": ran}

    @contextmanager
    def _noting_outages(self) -> Iterator[None]:
        try:
            yield
        except CatalogError as error:
            if error.code in OUTAGES:
                self._leases_count_from = self._clock() + LEASE_SECONDS
            raise

    def _ended(self, job: Job, status: Status, **values: Any) -> bool:
        with self._database.write_service_tables() as connection:
            return _end(connection, _runs(job), status, now_of(connection), **values)

    def _requeued(self, job: Job, seconds: float, **values: Any) -> bool:
        with self._database.write_service_tables() as connection:
            now = now_of(connection)
            cancelled = and_(_runs(job), jobs.c.cancel_requested)
            if _end(connection, cancelled, "cancelled", now):
                return True
            later = now + timedelta(seconds=min(seconds, LONGEST_WAIT_SECONDS)) if seconds else job.created_at
            waits = {"status": "queued", "worker": None, "lease_until": None, "not_before": later}
            return _change(connection, _runs(job), {**waits, **values})


def _same_request(former: Job, digest: str | None) -> Job:
    known = former.parameters.get(REQUEST_DIGEST)
    if None not in (known, digest) and known != digest:
        raise CatalogError(
            "idempotency-key-reused",
            "This idempotency key began another job with another request; send a new key with a new request.",
        )
    return former


def _standing(connection: Connection, job: Job) -> Beat:
    row = connection.execute(select(jobs.c.cancel_requested).where(_runs(job))).one_or_none()
    if row is None:
        return "lost"
    return "cancel" if row.cancel_requested else "go-on"


def _runs(job: Job) -> Any:
    return and_(
        jobs.c.id == job.id,
        jobs.c.status == "running",
        jobs.c.worker == job.worker,
        jobs.c.attempts == job.attempts,
    )


def _change(connection: Connection, which: Any, values: Mapping[str, Any]) -> bool:
    return _set(connection, which, {**values, "change": jobs.c.change + 1})


def _set(connection: Connection, which: Any, values: Mapping[str, Any]) -> bool:
    return connection.execute(update(jobs).where(which).values(**values)).rowcount == 1


def _end(connection: Connection, which: Any, status: Status, now: datetime, **values: Any) -> bool:
    final = {"status": status, "finished_at": now, "lease_until": None}
    return _change(connection, which, {**final, **values})


def _workers_lost(job: Job) -> dict[str, str]:
    return {
        "code": "worker-lost",
        "message": f"{job.attempts} workers ended while they ran this job; look into their logs, then submit "
        "it again.",
    }


def _one(connection: Connection, condition: Any, *, locked: bool = False) -> Job | None:
    statement = select(jobs).where(condition)
    row = connection.execute(statement.with_for_update() if locked else statement).one_or_none()
    return None if row is None else _job(row)


def _needed(connection: Connection, job_id: str, *, locked: bool = False) -> Job:
    found = _one(connection, jobs.c.id == job_id, locked=locked)
    if found is None:
        raise CatalogError("unknown-job", f"There is no job {job_id}; look at the id that its start gave.")
    return found


def _job(row: Row[Any]) -> Job:
    return record_of(Job, row)
