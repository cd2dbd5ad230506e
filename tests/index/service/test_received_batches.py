"""Ingests of what was acknowledged, as rows: those that get another job, and those that nobody has read."""

from __future__ import annotations

import pytest

from medsiglip.index.case_index import CaseIndex
from medsiglip.index.service import received_batches
from medsiglip.index.service.jobs import Job
from medsiglip.index.service.received_batches import next_key


def submitted(index: CaseIndex, name: str, *, answered: bool = True) -> Job:
    given = {"answered": True} if answered else {}
    return index.jobs.submit("ingest", {"paths": [name], "received": name, "metadata": None, **given})


def ended(index: CaseIndex, name: str, status: str) -> str:
    job = submitted(index, name)
    if status == "cancelled":
        return index.jobs.cancel(job.id).id
    claimed = index.jobs.claim("a", ("ingest",))
    assert claimed is not None
    assert claimed.id == job.id
    if status == "done":
        index.jobs.finish(claimed, {})
    if status == "failed":
        index.jobs.fail(claimed, {"code": "disk-full", "message": "The disk is full."})
    return job.id


def test_jobs_that_ended_badly_are_found_on_every_page(
    index: CaseIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(received_batches, "_PAGE", 2)
    store = index.received_batches
    bad = [ended(index, f"/{number}", "failed" if number % 2 else "cancelled") for number in range(5)]
    done, running = ended(index, "/done", "done"), ended(index, "/running", "running")
    queued, other = submitted(index, "/queued").id, submitted(index, "/upload", answered=False).id
    index.jobs.cancel(other)
    assert [job_id for job_id, _ in store.abandoned(-1.0)] == bad
    assert list(store.abandoned()) == []  # they rest
    index.jobs.submit("ingest", {}, idempotency_key=next_key(bad[1]))
    found = dict(store.abandoned(-1.0))
    assert list(found) == [bad[0], *bad[2:]]
    assert found[bad[2]]["received"] == "/2"
    assert store.unread() == {job_id: f"/{number}" for number, job_id in enumerate(bad)} | {queued: "/queued"}
    assert store.done() == {done: "/done"}
    assert running not in store.unread()
