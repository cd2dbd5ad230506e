"""Jobs that wait for what is away: longer each time, without an end to their attempts, but not for ever."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import select, update

from medsiglip.index.case_index import CaseIndex
from medsiglip.index.catalogue.service_schema import jobs
from medsiglip.index.service.due_jobs import LONGEST_WAIT_SECONDS
from medsiglip.index.service.jobs import MAX_ATTEMPTS

AWAY = {"code": "generator-down", "message": "Start it."}


def waits(index: CaseIndex, job_id: str, since: float) -> float:
    """The seconds that a job waits which began its first attempt some seconds ago, and fails now."""
    with index._database.write_service_tables() as connection:
        connection.execute(update(jobs).where(jobs.c.id == job_id).values(not_before=jobs.c.created_at))
    job = index.jobs.claim("worker", ["report"])
    assert job is not None
    with index._database.write_service_tables() as connection:
        now = connection.execute(select(jobs.c.lease_until).where(jobs.c.id == job_id)).scalar_one()
        began = now - timedelta(seconds=30 + since)
        connection.execute(update(jobs).where(jobs.c.id == job_id).values(started_at=began))
    assert index.jobs.wait(index.jobs.get(job_id), AWAY, first=10.0, patience=86400.0)
    with index._database.read() as connection:
        row = connection.execute(select(jobs.c.not_before).where(jobs.c.id == job_id)).one()
    return float((row.not_before - now).total_seconds() + 30)


def test_a_job_waits_half_as_long_as_it_has_waited_and_fails_at_last(index: CaseIndex) -> None:
    job = index.jobs.submit("report", {})
    for since, expected in ((0, 10), (4, 10), (60, 30), (600, 300), (20_000, LONGEST_WAIT_SECONDS)):
        assert abs(waits(index, job.id, since) - expected) < 5
        now = index.jobs.get(job.id)
        assert (now.status, now.error, now.attempts) == ("queued", AWAY, 0)
    waits(index, job.id, 86400)
    assert index.jobs.get(job.id).status == "failed"


def test_waiting_uses_up_no_attempt(index: CaseIndex) -> None:
    job = index.jobs.submit("report", {})
    for _ in range(3 * MAX_ATTEMPTS):
        waits(index, job.id, 0)
    assert index.jobs.get(job.id).status == "queued"


def test_a_cancelled_job_does_not_wait(index: CaseIndex) -> None:
    job = index.jobs.submit("report", {})
    claimed = index.jobs.claim("worker", ["report"])
    assert claimed is not None
    index.jobs.cancel(job.id)
    assert index.jobs.wait(claimed, AWAY, first=10.0, patience=86400.0)
    assert index.jobs.get(job.id).status == "cancelled"
