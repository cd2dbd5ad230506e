"""Jobs run by a worker: results, errors, retries, cancellation, a lost lease and shutdown."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient

from medsiglip.api.archive.archive import Archive
from medsiglip.api.errors import ServiceError
from medsiglip.api.http.app import create_app
from medsiglip.api.jobs.handlers import HANDLERS
from medsiglip.api.jobs.job_run import JobRun
from medsiglip.api.jobs.worker import Worker
from medsiglip.index.errors import CatalogError
from medsiglip.index.service.jobs import MAX_ATTEMPTS, Job
from medsiglip.ingest.engines.local import FIRST_TOGETHER
from medsiglip.medgemma.errors import DraftError
from tests.api.conftest import Home, Phantoms


@pytest.fixture(autouse=True)
def _any_folder_may_be_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEDSIGLIP_INGEST_ROOTS", "/")


@pytest.fixture
def archive(uploads_archive: Archive) -> Archive:
    return uploads_archive


@pytest.fixture
def many(photographs: list[Path]) -> list[str]:
    """More files than are encoded together at first."""
    return [str(path) for path in photographs[: FIRST_TOGETHER + 3]]


def ended(archive: Archive, job: Job) -> dict[str, Any]:
    return archive.index.jobs.get(job.id).to_json()


class During:
    """The archive's encoder, with a call at its first use."""

    def __init__(self, archive: Archive, do: Callable[[], None]) -> None:
        self._encoder = archive.encoder
        self._do = do
        self.calls = 0

    def encode_images(self, images: np.ndarray) -> np.ndarray:
        self.calls += 1
        vectors = self._encoder.encode_images(images)
        if self.calls == 1:
            self._do()
        return vectors


def while_encoding(archive: Archive, do: Callable[[], None]) -> During:
    during = archive.__dict__["encoder"] = During(archive, do)
    return during


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_results_are_those_of_the_command_line(own_home: Home, phantoms: Phantoms) -> None:
    with Archive(own_home.path) as archive:
        queue = archive.index.jobs
        again = queue.submit("ingest", {"paths": [str(phantoms.dicom)], "metadata": None, "received": None})
        trained = queue.submit("probe", {"name": "m", "labels": ["melanoma"], "level": "study", "where": []})
        nowhere = queue.submit("ingest", {"paths": ["/no/such/folder"]})
        works = Worker(archive)
        works.run(once=True)
        assert works.ended == {"done": 2, "failed": 1}
        expected = own_home.run("ingest", phantoms.dicom).json
        result = ended(archive, again)["result"]
        assert {**result, "seconds": 0} == {**expected, "seconds": 0}
        assert ended(archive, again)["progress"]["stage"] == "finding files"
        assert ended(archive, trained)["result"] == own_home.run("probe", "show", "m").json
        assert ended(archive, nowhere)["error"]["code"] == "no-such-path"
        assert ended(archive, nowhere)["attempts"] == 1


def test_a_cancelled_ingest_keeps_what_was_committed(archive: Archive, many: list[str]) -> None:
    queue = archive.index.jobs
    job = queue.submit("ingest", {"paths": many})
    works = Worker(archive)

    def cancel() -> None:
        queue.cancel(job.id)
        wait_for(lambda: works._run is not None and works._run.stopped_by == "cancel")

    while_encoding(archive, cancel)
    works.run(once=True)
    assert works.ended == {"cancelled": 1}
    assert ended(archive, job)["status"] == "cancelled"
    kept = archive.index.info().images
    assert 0 < kept < len(many)
    assert archive.index.verify().ok
    again = queue.submit("ingest", {"paths": many})
    works.run(once=True)
    result = ended(archive, again)["result"]
    assert (result["embedded"], result["unchanged"]) == (result["images"] - kept, kept)


def test_a_worker_that_lost_its_job_stops_and_stores_nothing(archive: Archive, many: list[str]) -> None:
    queue = archive.index.jobs
    job = queue.submit("ingest", {"paths": many})
    works = Worker(archive)

    def lose() -> None:
        assert works._run is not None
        queue.beat(works._run.job, lease_seconds=-1)
        assert queue.claim("another", ["ingest"]) is not None
        wait_for(lambda: works._run is not None and works._run.stopped_by == "lost")

    during = while_encoding(archive, lose)
    works.run(once=True)
    assert works.ended == {"lost": 1}
    assert during.calls == 1
    now = queue.get(job.id)
    assert (now.status, now.worker, now.attempts) == ("running", "another", 2)


def test_a_stopped_worker_hands_its_job_back(archive: Archive, many: list[str]) -> None:
    queue = archive.index.jobs
    job = queue.submit("ingest", {"paths": many})
    works = Worker(archive)
    while_encoding(archive, works.stop)
    works.run()
    assert works.ended == {"handed back": 1}
    now = queue.get(job.id)
    assert (now.status, now.attempts) == ("queued", 0)
    Worker(archive).run(once=True)
    assert queue.get(job.id).status == "done"
    assert archive.index.verify().ok


def test_an_idle_worker_takes_new_jobs_and_stops_at_once(archive: Archive) -> None:
    works = Worker(archive, poll_seconds=0.05)
    thread = threading.Thread(target=works.run)
    thread.start()
    job = archive.index.jobs.submit("ingest", {"paths": ["/no/such/folder"]})
    wait_for(lambda: archive.index.jobs.get(job.id).is_final)
    works.stop()
    thread.join(10)
    assert not thread.is_alive()


def test_a_worker_tells_the_engine_between_jobs_and_while_idle(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In turns of some seconds, with the queue looked at between, until nothing waits."""
    fed: list[float] = []
    seen: list[str] = []
    works = Worker(archive, poll_seconds=0.02)
    jobs = archive.index.jobs
    claim = jobs.claim

    def feed(seconds: float, stopped: Callable[[], bool]) -> bool:
        fed.append(seconds)
        seen.append("feed")
        assert not stopped()
        if len(fed) <= 2:
            raise CatalogError("catalog-busy", "More waits.")
        if len(fed) == 6:
            works.stop()
            assert stopped()
        return True

    def claimed(*given: Any, **options: Any) -> Any:
        found = claim(*given, **options)
        seen.append("claim" if found is None else "job")
        return found

    monkeypatch.setattr(archive.index, "feed_engine", feed)
    monkeypatch.setattr(jobs, "claim", claimed)
    monkeypatch.setattr(works, "_sleep", lambda _seconds: seen.append("sleep"))
    jobs.submit("ingest", {"paths": ["/no/such/folder"]})
    works.run()
    assert seen[:8] == ["job", "feed", "claim", "feed", "claim", "feed", "sleep", "claim"]
    assert len(fed) == 6
    assert max(fed) <= 20


def test_an_engine_that_is_away_is_left_alone_for_a_while(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    works, tries = Worker(archive), list[int]()

    def fail(*_: object) -> bool:
        tries.append(1)
        raise CatalogError("engine-unreachable", "It is away.")

    def slept(_seconds: float) -> None:
        if len(tries) and works._feed_after > time.monotonic():
            works.stop()

    monkeypatch.setattr(archive.index, "feed_engine", fail)
    monkeypatch.setattr(works, "_sleep", slept)
    works.run()
    assert len(tries) == 1


ERRORS = {
    "a code that may pass": (ServiceError("disk-full", "The disk is full."), "disk-full", True),
    "an error that says so": (DraftError("server-busy", "Busy.", may_pass=True), "server-busy", True),
    "memory": (MemoryError(), "out-of-memory", True),
    "for good": (ServiceError("no-such-path", "It is not there."), "no-such-path", False),
    "a defect": (ZeroDivisionError("secret"), "unexpected", False),
}


@pytest.mark.parametrize("name", ERRORS)
def test_only_temporary_errors_are_tried_again(
    archive: Archive, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    error, code, passes = ERRORS[name]

    def fail(_archive: Archive, _run: JobRun) -> dict[str, Any]:
        raise error

    monkeypatch.setitem(HANDLERS, "failing", fail)
    monkeypatch.setattr("medsiglip.api.errors.LONGEST_WAIT_S", 0.0)
    job = archive.index.jobs.submit("failing", {})
    Worker(archive).run(once=True)
    state = ended(archive, job)
    assert (state["status"], state["error"]["code"]) == ("failed", code)
    assert state["attempts"] == (MAX_ATTEMPTS if passes else 1)
    assert "secret" not in state["error"]["message"]


def test_an_outage_of_the_database_uses_up_no_attempt(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    outages = iter(range(3 * MAX_ATTEMPTS))

    def work(_archive: Archive, _run: JobRun) -> dict[str, Any]:
        if next(outages, None) is None:
            return {"attempts": _run.job.attempts}
        raise CatalogError("database-unreachable", "It does not answer.")

    monkeypatch.setitem(HANDLERS, "patient", work)
    monkeypatch.setattr("medsiglip.api.errors.LONGEST_WAIT_S", 0.0)
    job = archive.index.jobs.submit("patient", {})
    Worker(archive).run(once=True)
    state = ended(archive, job)
    assert (state["status"], state["attempts"], state["result"]) == ("done", 1, {"attempts": 1})


def test_results_with_invalid_unicode_and_nan_are_stored(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    odd = {"path": "/a/\udcff\0.dcm", "auroc": float("nan"), "n": np.float32(0.5)}
    monkeypatch.setitem(HANDLERS, "odd", lambda *_: odd)
    job = archive.index.jobs.submit("odd", {})
    Worker(archive).run(once=True)
    assert ended(archive, job)["result"] == {"path": "/a/\\xff\ufffd.dcm", "auroc": None, "n": 0.5}


@pytest.mark.parametrize("how", ["done", "cancelled while waiting", "failed"])
def test_only_indexed_files_of_an_upload_are_kept(archive: Archive, phantoms: Phantoms, how: str) -> None:
    folder = archive.home / "received" / "7"
    study = sorted(phantoms.dicom.iterdir())[0]
    shutil.copytree(study, folder / "a")
    (folder / "a" / "notes.txt").write_text("no picture")
    (folder / "b").mkdir()
    (folder / "b" / "broken.dcm").write_bytes(b"")
    pictures = {path for path in folder.rglob("*.dcm") if path.parent.name != "b"}
    paths = [str(folder), *(["/no/such/folder"] if how == "failed" else [])]
    job = archive.index.jobs.submit("ingest", {"paths": paths, "received": str(folder)})
    if how == "cancelled while waiting":
        with TestClient(create_app(archive.settings), base_url="http://127.0.0.1") as client:
            assert client.delete(f"/v1/jobs/{job.id}").json()["status"] == "cancelled"
    else:
        Worker(archive).run(once=True)
    assert ended(archive, job)["status"] == how.split()[0]
    left = {path for path in folder.rglob("*") if path.is_file()}
    assert left == (pictures if how == "done" else set())
    assert folder.exists() == (how == "done")
    assert not (folder / "b").exists()
