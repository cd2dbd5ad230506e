"""Uploads that wait as rows: which are small, and how long a worker holds those that it takes along."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update

from medsiglip.index.case_index import CaseIndex
from medsiglip.index.catalogue.service_schema import jobs
from medsiglip.index.service import waiting_uploads
from medsiglip.index.service.jobs import Job, JobQueue
from medsiglip.index.service.waiting_uploads import FEW_FILES, HOLD_SECONDS, is_small, is_small_job
from tests.clocks import Clock
from tests.index.service.conftest import Wall

KINDS = ("ingest",)


def upload(index: CaseIndex, name: str, *, key_id: str | None = "pacs", **given: Any) -> Job:
    parameters = {"paths": [name], "received": name, "metadata": None, "files": 1, **given}
    return index.jobs.submit("ingest", parameters, key_id=key_id)


def held_by_a_worker(index: CaseIndex, count: int = 3) -> tuple[Job, ...]:
    """The first is claimed, the others are held."""
    sent = tuple(upload(index, f"/{number}") for number in range(count))
    claimed = index.jobs.claim("a", KINDS)
    assert claimed is not None
    assert claimed.id == sent[0].id
    held = index.jobs.waiting_uploads.hold("pacs")
    assert held == {job.id: Path(job.parameters["received"]) for job in sent[1:]}
    return sent


def states(index: CaseIndex, sent: Sequence[Job]) -> list[str]:
    return [index.jobs.get(job.id).status for job in sent]


def test_which_jobs_are_small_is_the_same_in_python_and_in_the_database(index: CaseIndex) -> None:
    given: list[dict[str, Any]] = [{}, *({"files": n} for n in (None, 0, 1, FEW_FILES, FEW_FILES + 1))]
    sent = [index.jobs.submit(kind, one) for kind in ("ingest", "probe", "report") for one in given]
    with index._database.read() as connection:
        small = set(connection.execute(select(jobs.c.id).where(is_small())).scalars())
    assert [is_small_job(job.kind, job.parameters) for job in sent] == [job.id in small for job in sent]
    assert len(small) == 3 + 2 * len(given)


def test_a_held_upload_is_no_other_worker_s_until_the_hold_ends(index: CaseIndex) -> None:
    sent = held_by_a_worker(index)
    queue = index.jobs
    assert queue.claim("b", KINDS) is None
    assert queue.waiting_uploads.hold("pacs") == {}
    queue.waiting_uploads.keep([job.id for job in sent[1:]])
    assert queue.claim("b", KINDS) is None
    queue.waiting_uploads.keep([sent[1].id], -1.0)  # its worker was killed
    second = queue.claim("b", KINDS)
    assert second is not None
    assert second.id == sent[1].id
    assert queue.waiting_uploads.finish({job.id: {"files": 1} for job in sent[1:]}) == {sent[2].id}
    assert states(index, sent) == ["running", "running", "done"]


def test_only_what_one_sender_sent_as_files_alone_is_held(index: CaseIndex) -> None:
    mine = [upload(index, "/a"), upload(index, "/b", files=FEW_FILES)]
    upload(index, "/c", key_id="another")
    upload(index, "/d", key_id=None)
    upload(index, "/e", files=None)
    upload(index, "/f", metadata="/f/table.csv")
    upload(index, "/g", paths=["/g", "/h"])
    index.jobs.submit("probe", {}, key_id="pacs")
    assert list(index.jobs.waiting_uploads.hold("pacs")) == [job.id for job in mine]
    assert list(index.jobs.waiting_uploads.hold(None).values()) == [Path("/d")]


def test_no_more_uploads_are_held_than_a_run_takes(index: CaseIndex, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting_uploads, "MOST_JOBS", 3)
    monkeypatch.setattr(waiting_uploads, "MOST_FILES", 10)
    sent = [upload(index, f"/{number}", files=files) for number, files in enumerate((1, 1, 1, 9, 2))]
    hold = index.jobs.waiting_uploads.hold
    assert [list(hold("pacs")) for _ in range(3)] == [
        [job.id for job in sent[:3]],
        [sent[3].id],
        [sent[4].id],
    ]


@pytest.mark.parametrize("back", [timedelta(0), timedelta(seconds=40), timedelta(days=1)])
def test_a_released_upload_is_claimed_at_once_also_when_the_clock_is_set_back(
    index: CaseIndex, wall: Wall, back: timedelta
) -> None:
    sent = held_by_a_worker(index)
    assert index.jobs.waiting_uploads.release([job.id for job in sent[1:]]) == []
    wall.offset = -back
    claimed = [index.jobs.claim("b", KINDS) for _ in sent]
    assert [job and job.id for job in claimed] == [sent[1].id, sent[2].id, None]


def test_the_uploads_of_a_killed_worker_wait_no_longer_than_a_hold_when_the_clock_is_set_back(
    index: CaseIndex, wall: Wall
) -> None:
    sent = held_by_a_worker(index, 2)
    clock = Clock()
    others = JobQueue(index._database, clock=clock)
    wall.offset = -timedelta(days=1)
    with index._database.write_service_tables() as connection:  # they were submitted long before
        earlier = jobs.c.id.in_([job.id for job in sent])
        long_ago = sent[0].created_at - timedelta(days=30)
        connection.execute(update(jobs).where(earlier).values(created_at=long_ago))
    assert others.claim("b", KINDS) is None
    clock.now = HOLD_SECONDS + 1
    claimed = [others.claim("b", KINDS) for _ in sent]  # with the one that the killed worker had claimed
    assert {job and job.id for job in claimed} == {job.id for job in sent}


def test_only_what_is_held_is_released_or_held_on(index: CaseIndex) -> None:
    """Not what another worker has tried meanwhile, or what waits after an outage."""
    sent = held_by_a_worker(index)
    ids = [job.id for job in sent[1:]]
    uploads = index.jobs.waiting_uploads
    uploads.keep(ids, -1.0)
    error = {"code": "database-unreachable", "message": "It does not answer."}
    failed = index.jobs.claim("b", KINDS)
    running = index.jobs.claim("b", KINDS)
    assert failed is not None
    assert running is not None
    assert index.jobs.fail(failed, error, retry_after=300, counts=False)
    uploads.keep(ids)
    assert uploads.release(ids) == []
    assert index.jobs.claim("c", KINDS) is None
    assert index.jobs.get(failed.id).error == error
    assert index.jobs.standing(running) == "go-on"


def test_a_held_upload_that_is_cancelled_ends_when_it_is_released(index: CaseIndex) -> None:
    sent = held_by_a_worker(index)
    answer = index.jobs.cancel(sent[1].id)
    assert (answer.status, answer.cancel_requested) == ("queued", True)
    assert index.jobs.cancel(sent[1].id).change == answer.change
    assert index.jobs.waiting_uploads.release([job.id for job in sent[1:]]) == [sent[1].id]
    ended = index.jobs.get(sent[1].id)
    assert (ended.status, ended.finished_at is None) == ("cancelled", False)
    assert ended.change > answer.change
    assert index.jobs.cancel(sent[2].id).status == "cancelled"  # nobody holds it any more


def test_a_held_upload_that_is_cancelled_is_done_if_it_was_ingested(index: CaseIndex) -> None:
    sent = held_by_a_worker(index)
    index.jobs.cancel(sent[1].id)
    results = {job.id: {"files": number} for number, job in enumerate(sent[1:])}
    assert index.jobs.waiting_uploads.finish(results) == set(results)
    assert index.jobs.waiting_uploads.release(list(results)) == []
    done = [index.jobs.get(job.id) for job in sent[1:]]
    assert [(job.status, job.result, job.done, job.total) for job in done] == [
        ("done", {"files": number}, number, number) for number in range(2)
    ]
    assert index.jobs.waiting_uploads.finish(results) == set()


def test_a_cancelled_upload_of_a_killed_worker_ends_at_the_next_claim(index: CaseIndex) -> None:
    sent = held_by_a_worker(index)
    index.jobs.cancel(sent[1].id)
    index.jobs.waiting_uploads.keep([job.id for job in sent[1:]], -1.0)
    assert list(index.jobs.waiting_uploads.hold("pacs")) == [sent[2].id]
    assert index.jobs.claim("b", KINDS) is None
    assert states(index, sent) == ["running", "cancelled", "queued"]
