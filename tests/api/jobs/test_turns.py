"""Small jobs do not wait behind an ingest that takes long, whatever makes it long, and neither starves."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from medsiglip.api.archive.archive import Archive
from medsiglip.api.jobs import turns
from medsiglip.api.jobs import worker as worker_module
from medsiglip.api.jobs.handlers import HANDLERS
from medsiglip.api.jobs.heartbeat import heartbeats
from medsiglip.api.jobs.job_run import JobRun
from medsiglip.api.jobs.worker import Worker
from medsiglip.index.errors import CatalogError
from medsiglip.index.service.jobs import Job
from tests.api.jobs.conftest import Counted, store
from tests.clocks import Clock

MANY = 9


@pytest.fixture
def archive(uploads_archive: Archive) -> Archive:
    return uploads_archive


def order_of_ends(archive: Archive) -> list[str]:
    ended = [job for job in archive.index.jobs.listed(limit=1000) if job.finished_at is not None]
    return [job.id for job in sorted(ended, key=lambda job: job.finished_at or job.created_at)]


def states(archive: Archive, *jobs: Job) -> list[tuple[str, int]]:
    """Status and attempts of each job."""
    now = [archive.index.jobs.get(job.id) for job in jobs]
    return [(job.status, job.attempts) for job in now]


def a_folder(archive: Archive, files: list[Path]) -> list[Job]:
    return [archive.index.jobs.submit("ingest", {"paths": [str(path) for path in files], "files": None})]


def a_large_upload(archive: Archive, files: list[Path]) -> list[Job]:
    return [store(archive, *files, count=None)]


def a_batch_of_uploads(archive: Archive, files: list[Path]) -> list[Job]:
    return [store(archive, path) for path in files]


@pytest.mark.parametrize("send", [a_folder, a_large_upload, a_batch_of_uploads])
def test_a_small_job_does_not_wait_behind_a_long_ingest(
    archive: Archive,
    photographs: list[Path],
    slices: list[Path],
    eager: Clock,
    send: Callable[[Archive, list[Path]], list[Job]],
) -> None:
    small: list[Job] = []

    def time_passes() -> None:
        eager.now += 15.0
        if not small:
            small.append(store(archive, slices[0], key_id="another"))
            small.append(archive.index.jobs.submit("probe", {"name": "x", "labels": ["none"]}))

    long = send(archive, photographs[:6])
    Counted(archive, time_passes)
    works = Worker(archive, clock=eager)
    works.run(once=True)
    assert order_of_ends(archive)[:2] == [job.id for job in small]
    assert works.ended == {"done": 2, "failed": 1}
    assert [status for status, _ in states(archive, *long)] == ["done"] * len(long)
    assert archive.index.info().images == 7
    assert archive.index.verify().ok


def test_a_stream_of_small_jobs_leaves_the_large_one_its_turns(
    archive: Archive, photographs: list[Path], eager: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As long as small jobs keep coming, which take a second each, and so does each image."""
    monkeypatch.setattr(turns, "TURN_SECONDS", 3.0)

    def time_passes() -> None:
        eager.now += 1.0
        archive.index.jobs.submit("short", {})

    def short(_archive: Archive, _run: JobRun) -> dict[str, Any]:
        if archive.index.jobs.get(large.id).status == "running":
            time_passes()
        return {}

    monkeypatch.setitem(HANDLERS, "short", short)
    [large] = a_folder(archive, photographs[:MANY])
    Counted(archive, time_passes)
    Worker(archive, clock=eager).run(once=True)
    before = order_of_ends(archive).index(large.id)
    # Equal parts: three small jobs for each three images, but for a turn.
    assert MANY - 3 <= before <= MANY + 3
    assert states(archive, large) == [("done", 1)]


def test_a_paused_ingest_stops_with_its_worker(
    archive: Archive, photographs: list[Path], slices: list[Path], eager: Clock
) -> None:
    [large] = a_folder(archive, photographs[:6])
    nested: list[Job] = []

    def time_passes() -> None:
        eager.now += 30.0
        if nested:
            works.stop()
        else:
            nested.append(store(archive, slices[0]))

    Counted(archive, time_passes)
    works = Worker(archive, clock=eager)
    works.run()
    assert states(archive, large, *nested) == [("queued", 0)] * 2


class Exit:
    """Stands for the end of the process: notes the jobs as it leaves them."""

    def __init__(self, archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
        self.jobs: list[tuple[str, int]] = []
        self.came = threading.Event()
        self._archive = archive
        monkeypatch.setattr(worker_module, "GRACE_SECONDS", 0.1)
        monkeypatch.setattr(os, "_exit", self._exit)

    def _exit(self, _code: int) -> None:
        listed = self._archive.index.jobs.listed()
        self.jobs = sorted((job.status, job.attempts) for job in listed)
        self.came.set()


def with_a_nested_job(
    archive: Archive,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
    small: Callable[[], object],
    afterwards: Callable[[], object],
) -> Job:
    """An ingest that pauses for a job which calls `small`, and then calls `afterwards`."""

    def ingest(_archive: Archive, run: JobRun) -> dict[str, Any]:
        archive.index.jobs.submit("short", {})
        clock.now += 30.0
        run.progress("embedding", 1, 2)
        afterwards()
        return {}

    def short(_archive: Archive, _run: JobRun) -> dict[str, Any]:
        small()
        return {}

    monkeypatch.setitem(HANDLERS, "ingest", ingest)
    monkeypatch.setitem(HANDLERS, "short", short)
    return archive.index.jobs.submit("ingest", {})


@pytest.mark.parametrize("hangs", ["nested", "paused"])
def test_jobs_that_do_not_stop_are_handed_back_when_the_grace_ends(
    archive: Archive, eager: Clock, monkeypatch: pytest.MonkeyPatch, hangs: str
) -> None:
    """Whichever runs when the worker is told to stop, and whichever does then."""
    exits, works = Exit(archive, monkeypatch), Worker(archive, clock=eager)

    def stop() -> None:
        works.stop()
        if hangs == "nested":
            assert exits.came.wait(20)

    def hang() -> None:
        assert exits.came.wait(20)

    with_a_nested_job(archive, eager, monkeypatch, stop, hang)
    works.run()
    assert exits.jobs == [("done", 1) if hangs == "paused" else ("queued", 0), ("queued", 0)]


def test_a_job_that_begins_after_the_worker_was_told_to_stop_has_a_grace_too(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    exits, works = Exit(archive, monkeypatch), Worker(archive)
    claim = archive.index.jobs.claim

    def claimed_while_it_stops(*given: Any, **options: Any) -> Job | None:
        works.stop()
        return claim(*given, **options)

    def hang(_archive: Archive, _run: JobRun) -> dict[str, Any]:
        assert exits.came.wait(20)
        return {}

    monkeypatch.setattr(archive.index.jobs, "claim", claimed_while_it_stops)
    monkeypatch.setitem(HANDLERS, "hanging", hang)
    archive.index.jobs.submit("hanging", {})
    works.run()
    assert exits.jobs == [("queued", 0)]


def test_a_worker_that_ends_in_time_is_not_ended(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    exits, works = Exit(archive, monkeypatch), Worker(archive)

    def stop(_archive: Archive, _run: JobRun) -> dict[str, Any]:
        works.stop()
        return {}

    monkeypatch.setitem(HANDLERS, "short", stop)
    archive.index.jobs.submit("short", {})
    works.run()
    assert works.ended == {"done": 1}
    assert not exits.came.wait(0.3)


def heartbeats_around_an_outage(
    archive: Archive, eager: Clock, monkeypatch: pytest.MonkeyPatch, *, found_after: bool = True
) -> tuple[Job, list[tuple[str, str | None]]]:
    """A large job, and the states and jobs of the heartbeat while the database is away once as a small job is
    looked for, and later; whether the small job is `found_after` that.
    """
    seen: list[tuple[str, str | None]] = []
    claim, outages = archive.index.jobs.claim, iter([True])

    def look() -> None:
        seen.extend((one.state, one.job) for one in heartbeats(archive.home))

    def away_once(*given: Any, **options: Any) -> Job | None:
        is_small = options.get("small_only")
        if is_small and next(outages, False):
            raise CatalogError("database-unreachable", "It does not answer.")
        return claim(*given, **options) if found_after or not is_small else None

    monkeypatch.setattr(archive.index.jobs, "claim", away_once)
    large = with_a_nested_job(archive, eager, monkeypatch, look, look)
    works = Worker(archive, clock=eager)
    monkeypatch.setattr(works, "_sleep", lambda _seconds: look())
    works.run(once=True)
    return large, seen


def test_after_a_pause_the_heartbeat_names_the_large_job_again(
    archive: Archive, eager: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pause for a small job, in which the database is away for a moment, too."""
    large, seen = heartbeats_around_an_outage(archive, eager, monkeypatch)
    [small] = [job.id for job in archive.index.jobs.listed() if job.kind == "short"]
    assert seen == [("waiting", large.id), ("working", small), ("working", large.id)]


def test_the_heartbeat_names_its_job_again_after_the_database_was_away(
    archive: Archive, eager: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While no small job waits: nothing else says that the large one goes on."""
    large, seen = heartbeats_around_an_outage(archive, eager, monkeypatch, found_after=False)
    assert seen[:2] == [("waiting", large.id), ("working", large.id)]
