"""Jobs as rows: each claimed once, none lost, leases that run out, cancellation and retries."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest

from medsiglip.index.case_index import CaseIndex
from medsiglip.index.errors import CatalogError
from medsiglip.index.service.jobs import MAX_ATTEMPTS

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
