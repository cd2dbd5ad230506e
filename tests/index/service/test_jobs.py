"""Jobs as rows: each claimed once, none lost, leases that run out, cancellation and retries."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import update

from medsiglip.index.case_index import CaseIndex
from medsiglip.index.catalogue.service_schema import jobs
from medsiglip.index.errors import CatalogError
from medsiglip.index.service.due_jobs import LEASE_SECONDS
from medsiglip.index.service.jobs import MAX_ATTEMPTS, JobQueue
from tests.clocks import Clock
from tests.index.service.conftest import Wall

KINDS = ("ingest", "probe")


def test_a_job_goes_from_queued_to_done(index: CaseIndex) -> None:
    submitted = index.jobs.submit("ingest", {"paths": ["/a"]}, key_id="k")
    assert (submitted.status, submitted.attempts, submitted.key_id) == ("queued", 0, "k")
    claimed = index.jobs.claim("one", KINDS)
    assert claimed is not None
    assert (claimed.id, claimed.status, claimed.parameters) == (submitted.id, "running", {"paths": ["/a"]})
    assert index.jobs.claim("two", KINDS) is None
    assert index.jobs.beat(claimed, done=3, total=9, stage="embedding") == "go-on"
    assert index.jobs.get(claimed.id).to_json()["progress"] == {"done": 3, "total": 9, "stage": "embedding"}
    assert index.jobs.finish(claimed, {"images": 9})
    done = index.jobs.get(claimed.id)
    assert (done.status, done.result, done.is_final) == ("done", {"images": 9}, True)
    assert done.finished_at is not None
    assert done.finished_at <= datetime.now(UTC)


def test_a_hundred_jobs_are_claimed_once_each_by_eight_workers(index: CaseIndex) -> None:
    submitted = {index.jobs.submit("probe", {"n": n}).id for n in range(100)}

    def work(worker: int) -> list[str]:
        ids = []
        while (job := index.jobs.claim(f"worker-{worker}", KINDS)) is not None:
            ids.append(job.id)
            assert index.jobs.finish(job, None)
        return ids

    with ThreadPoolExecutor(8) as pool:
        claimed = [job_id for ids in pool.map(work, range(8)) for job_id in ids]
    assert sorted(claimed) == sorted(submitted)


def test_a_job_whose_lease_ran_out_is_another_s_and_no_longer_the_first_s(index: CaseIndex) -> None:
    index.jobs.submit("ingest", {})
    first = index.jobs.claim("one", KINDS, lease_seconds=-1)
    second = index.jobs.claim("two", KINDS)
    assert first is not None
    assert second is not None
    assert (second.id, second.attempts) == (first.id, 2)
    assert index.jobs.beat(first) == "lost"
    assert not index.jobs.finish(first, {})
    assert index.jobs.finish(second, {})


def test_a_job_that_costs_every_worker_is_given_up(index: CaseIndex) -> None:
    job = index.jobs.submit("ingest", {})
    for attempt in range(MAX_ATTEMPTS):
        assert index.jobs.claim(f"worker-{attempt}", KINDS, lease_seconds=-1) is not None
    assert index.jobs.claim("last", KINDS) is None
    ended = index.jobs.get(job.id)
    assert ended.status == "failed"
    assert ended.error is not None
    assert ended.error["code"] == "worker-lost"


def test_cancelling_ends_a_waiting_job_at_once_and_a_running_one_at_its_next_beat(index: CaseIndex) -> None:
    waiting = index.jobs.submit("ingest", {})
    assert index.jobs.cancel(waiting.id).status == "cancelled"
    index.jobs.submit("ingest", {})
    running = index.jobs.claim("one", KINDS)
    assert running is not None
    assert index.jobs.cancel(running.id).status == "running"
    assert index.jobs.beat(running) == "cancel"
    assert index.jobs.stopped(running)
    assert index.jobs.get(running.id).status == "cancelled"
    assert index.jobs.cancel(running.id).status == "cancelled"
    with pytest.raises(CatalogError) as caught:
        index.jobs.cancel("nothing")
    assert caught.value.code == "unknown-job"


def test_a_failure_that_may_pass_waits_for_another_attempt(index: CaseIndex) -> None:
    index.jobs.submit("ingest", {})
    job = index.jobs.claim("one", KINDS)
    assert job is not None
    error = {"code": "database-unreachable", "message": "The database does not answer."}
    assert index.jobs.fail(job, error, retry_after=3600)
    assert index.jobs.claim("one", KINDS) is None
    assert index.jobs.get(job.id).status == "queued"
    index.jobs.submit("ingest", {})
    again = index.jobs.claim("one", KINDS)
    assert again is not None
    assert index.jobs.fail(again, error, retry_after=0)
    third = index.jobs.claim("one", KINDS)
    assert third is not None
    assert index.jobs.fail(third, error)
    assert index.jobs.get(third.id).to_json()["error"] == error


def test_a_worker_that_shuts_down_hands_its_job_back(index: CaseIndex) -> None:
    index.jobs.submit("ingest", {})
    for _ in range(MAX_ATTEMPTS + 2):
        job = index.jobs.claim("one", KINDS)
        assert job is not None
        assert index.jobs.hand_back(job)
        assert index.jobs.get(job.id).attempts == 0


def test_a_submission_told_twice_makes_one_job(index: CaseIndex) -> None:
    first = index.jobs.submit("ingest", {}, idempotency_key="k:1")
    assert index.jobs.submit("ingest", {}, idempotency_key="k:1").id == first.id
    assert index.jobs.submit("ingest", {}, idempotency_key="k:2").id != first.id
    assert index.jobs.counts() == {("ingest", "queued"): 2}


def test_more_urgent_jobs_go_first_and_unknown_kinds_wait(index: CaseIndex) -> None:
    index.jobs.submit("probe", {"n": 1})
    index.jobs.submit("probe", {"n": 2}, priority=1)
    index.jobs.submit("report", {"n": 3}, priority=9)
    claimed = [index.jobs.claim("one", KINDS) for _ in range(3)]
    assert [job and job.parameters["n"] for job in claimed] == [2, 1, None]
    assert [job.kind for job in index.jobs.listed(status="queued")] == ["report"]


def test_jobs_are_no_news_to_a_search(index: CaseIndex) -> None:
    with index._database.read() as connection:
        before = connection.exec_driver_sql("SELECT version FROM home").scalar()
    job = index.jobs.submit("ingest", {})
    index.jobs.cancel(job.id)
    with index._database.read() as connection:
        assert connection.exec_driver_sql("SELECT version FROM home").scalar() == before


def test_a_job_that_is_done_is_done_to_the_last_step_and_tells_its_upload(index: CaseIndex) -> None:
    index.jobs.submit("report", {"received": "/home/received/a"})
    job = index.jobs.claim("worker", ["report"])
    assert job is not None
    index.jobs.beat(job, done=3, total=4, stage="storing")
    assert index.jobs.finish(job, {"ok": True})
    ended = index.jobs.get(job.id)
    assert (ended.done, ended.total) == (4, 4)
    assert index.jobs.received() == {"/home/received/a"}


BACK = pytest.mark.parametrize("back", [timedelta(seconds=40), timedelta(hours=2), timedelta(days=1)])


@BACK
def test_a_clock_that_is_set_back_holds_up_no_queued_job(
    index: CaseIndex, wall: Wall, back: timedelta
) -> None:
    for n in range(2):
        index.jobs.submit("ingest", {"n": n})
    begun = index.jobs.claim("one", KINDS)
    assert begun is not None
    assert index.jobs.hand_back(begun)
    failed = index.jobs.claim("one", KINDS)
    assert failed is not None
    assert index.jobs.fail(failed, {"code": "x", "message": "X."}, retry_after=30)
    wall.offset = -back
    later = index.jobs.submit("ingest", {"n": 2})
    claimed = []
    while (job := index.jobs.claim("two", KINDS)) is not None:
        claimed.append(job.parameters["n"])
        assert index.jobs.finish(job, None)
    assert sorted(claimed) == [0, 1, 2]
    assert index.jobs.get(later.id).status == "done"


@BACK
def test_a_clock_that_is_set_back_does_not_hold_up_the_jobs_of_a_killed_worker(
    index: CaseIndex, wall: Wall, back: timedelta
) -> None:
    job = index.jobs.submit("ingest", {})
    killed, living = Clock(), Clock()
    assert JobQueue(index._database, clock=killed).claim("killed", KINDS) is not None
    wall.offset = -back
    others = JobQueue(index._database, clock=living)
    assert others.claim("living", KINDS) is None
    living.now += LEASE_SECONDS - 1
    assert others.claim("living", KINDS) is None
    living.now += 2
    claimed = others.claim("living", KINDS)
    assert claimed is not None
    assert (claimed.id, claimed.attempts) == (job.id, 2)


@BACK
def test_a_worker_that_lives_keeps_its_job_when_the_clock_is_set_back(
    index: CaseIndex, wall: Wall, back: timedelta
) -> None:
    index.jobs.submit("ingest", {})
    clock = Clock()
    mine = index.jobs.claim("mine", KINDS)
    assert mine is not None
    others = JobQueue(index._database, clock=clock)
    wall.offset = -back
    for _ in range(12):
        clock.now += 10
        assert others.claim("other", KINDS) is None
        assert index.jobs.beat(mine) == "go-on"
    assert index.jobs.finish(mine, None)


def test_a_pause_between_attempts_ends_in_time_when_the_clock_is_set_back(
    index: CaseIndex, wall: Wall
) -> None:
    created = index.jobs.submit("ingest", {})
    with index._database.write_service_tables() as connection:  # it was submitted last month
        connection.execute(update(jobs).values(created_at=created.created_at - timedelta(days=30)))
    clock = Clock()
    queue = JobQueue(index._database, clock=clock)
    job = queue.claim("one", KINDS)
    assert job is not None
    assert queue.fail(job, {"code": "x", "message": "X."}, retry_after=300)
    assert queue.claim("one", KINDS) is None
    wall.offset = -timedelta(days=1)
    clock.now = 299
    assert queue.claim("one", KINDS) is None
    clock.now = 301
    assert queue.claim("one", KINDS) is not None


def test_an_outage_does_not_use_up_attempts(index: CaseIndex) -> None:
    job = index.jobs.submit("ingest", {})
    error = {"code": "database-unreachable", "message": "The database does not answer."}
    for _ in range(3 * MAX_ATTEMPTS):
        claimed = index.jobs.claim("one", KINDS)
        assert claimed is not None
        assert index.jobs.fail(claimed, error, retry_after=0.0, counts=False)
    assert index.jobs.get(job.id).attempts == 0
    assert index.jobs.get(job.id).status == "queued"


def test_after_an_outage_leases_that_nobody_could_renew_are_left_for_a_while(
    index: CaseIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    index.jobs.submit("ingest", {"n": 1})
    held = index.jobs.claim("holder", KINDS, lease_seconds=-1)
    assert held is not None
    clock = Clock()
    others = JobQueue(index._database, clock=clock)

    def away() -> None:
        raise CatalogError("database-unreachable", "It is away.")

    with monkeypatch.context() as outage:
        outage.setattr(index._database, "read", away)
        with pytest.raises(CatalogError):
            others.claim("other", KINDS)
    assert others.claim("other", KINDS) is None
    index.jobs.submit("ingest", {"n": 2})
    fresh = others.claim("other", KINDS)
    assert fresh is not None
    assert fresh.parameters == {"n": 2}
    assert index.jobs.beat(held, lease_seconds=-1) == "go-on"
    clock.now += LEASE_SECONDS + 1
    taken = others.claim("other", KINDS)
    assert taken is not None
    assert taken.parameters == {"n": 1}


def test_the_age_of_the_oldest_job_is_known(index: CaseIndex, wall: Wall) -> None:
    assert index.jobs.oldest() == {"queued": 0.0, "running": 0.0}
    index.jobs.submit("ingest", {})
    index.jobs.submit("ingest", {})
    index.jobs.claim("one", KINDS)
    wall.offset = timedelta(hours=1)
    ages = index.jobs.oldest()
    assert [3600 <= age < 3700 for age in ages.values()] == [True, True]
    wall.offset = timedelta(hours=-1)
    assert index.jobs.oldest() == {"queued": 0.0, "running": 0.0}
