"""Servers and workers as processes: shared work, kills, restarts and shutdown."""

from __future__ import annotations

import signal
from collections import Counter
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from medsiglip.api.archive.archive import Archive
from medsiglip.api.jobs.heartbeat import heartbeats
from medsiglip.api.jobs.worker import Worker
from medsiglip.index.case_index import CaseIndex
from medsiglip.index.service.jobs import Job
from tests.api.conftest import Phantoms, run
from tests.api.jobs.conftest import working
from tests.api.service_processes import Start
from tests.postgresql_server import PostgresqlServer
from tests.waiting import eventually


@pytest.fixture(autouse=True)
def _any_folder_may_be_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEDSIGLIP_INGEST_ROOTS", "/")


def pid_of(job: Job) -> int:
    """The process that runs a job: a worker's name is its host, its process and a random word."""
    return int(str(job.worker).split(":")[1])


@pytest.mark.long
def test_two_servers_and_two_workers_share_a_database(
    tmp_path: Path, photographs: list[Path], start: Start, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, files = tmp_path / "home", photographs[:12]
    monkeypatch.setenv("MEDSIGLIP_DATABASE_URL", url)
    with (
        CaseIndex.open(home, database_url=url) as index,
        Archive(home) as archive,
        working(archive) as here,
    ):
        servers = [start("serve", "--port", "0", "--no-worker", database_url=url) for _ in range(2)]
        there = start("worker", "--poll", "0.1", database_url=url)
        urls = [str(server.answer()["url"]) for server in servers]
        eventually(lambda: [one.state for one in heartbeats(home)] == ["idle"] * 2)
        parts = [files[n::4] for n in range(4)]
        overlapping = [files, files[:8], files[4:], files]
        paths = [[str(path) for path in part] for part in (*parts, *overlapping)]
        jobs = [index.jobs.submit("ingest", {"paths": part}) for part in paths]

        def job(server: int, job_id: str) -> Any:
            return httpx.get(f"{urls[server]}/v1/jobs/{job_id}").raise_for_status().json()

        for number, one in enumerate(jobs):
            with httpx.stream("GET", f"{urls[number % 2]}/v1/jobs/{one.id}/events", timeout=60) as stream:
                assert "event: done" in list(stream.iter_lines())
        answers = [job(number % 2, one.id) for number, one in enumerate(jobs)]
        assert [(one["status"], one["attempts"]) for one in answers] == [("done", 1)] * len(jobs)
        assert len({index.jobs.get(one.id).worker for one in jobs}) == 2
        whole = answers[-1]["result"]
        info = index.info()
        assert (info.images, info.vectors, info.faiss.ntotal) == (whole["images"],) * 3
        assert info.studies == len(files)
        assert info.files["embedded"] == whole["files_embedded"] + whole["files_unchanged"]
        assert index.verify().problems == ()
        labels = tmp_path / "labels.csv"
        uids = sorted(study.study_instance_uid for study in index.studies())
        rows = [f"{uid},{number % 2}" for number, uid in enumerate(uids)]
        labels.write_text("\n".join(["study_instance_uid,label:melanoma", *rows]))
        assert run("--home", home, "label", "import", labels).code == 0
        probes = [
            index.jobs.submit("probe", {"name": f"p{n}", "labels": ["melanoma"], "level": "study"})
            for n in range(2)
        ]
        eventually(lambda: all(index.jobs.get(one.id).is_final for one in probes))
        results = [job(number % 2, one.id)["result"] for number, one in enumerate(probes)]
        assert [one["name"] for one in results] == ["p0", "p1"]
        assert len({one["macro_auroc"] for one in results}) == 1
        there.process.terminate()
        ended = Counter(there.answer()["jobs"])
        assert there.process.wait(30) == 0
        here.stop()
        eventually(lambda: heartbeats(home) == [])
        assert (ended + here.ended)["done"] == len(jobs) + len(probes)
        waiting = index.jobs.submit("ingest", {"paths": ["/no/such/folder"]})
        with httpx.stream("GET", f"{urls[0]}/v1/jobs/{waiting.id}/events", timeout=60) as stream:
            lines = stream.iter_lines()
            assert next(lines) == "event: progress"
            servers[0].process.terminate()
            assert "event: done" not in list(lines)
        assert servers[0].process.wait(30) == 0


def test_a_worker_killed_during_an_ingest_costs_one_attempt(
    tmp_path: Path, phantoms: Phantoms, start: Start
) -> None:
    with CaseIndex.open(tmp_path / "home") as index:
        job = index.jobs.submit("ingest", {"paths": [str(phantoms.dicom)]})
        worker = start("worker")
        eventually(lambda: index.info().images)
        worker.process.send_signal(signal.SIGSTOP)
        below = worker.children()
        claimed = index.jobs.get(job.id)
        assert (claimed.status, pid_of(claimed)) == ("running", worker.process.pid)
        worker.process.kill()
        worker.process.wait()
        psutil.wait_procs(below, timeout=20)
        assert not any(one.is_running() for one in below)
        index.jobs.beat(claimed, lease_seconds=-1)  # as if the lease's time had passed
        with Archive(tmp_path / "home") as archive:
            second = Worker(archive)
            second.run(once=True)
        assert second.ended == {"done": 1}
        ended = index.jobs.get(job.id)
        assert (ended.status, ended.attempts) == ("done", 2)
        assert ended.result["embedded"] + ended.result["unchanged"] == ended.result["images"]
        assert ended.result["unchanged"] > 0
        assert index.info().images == ended.result["images"]
        assert index.verify().problems == ()


@pytest.mark.long
def test_the_worker_of_a_server_is_replaced_and_ends_with_it(tmp_path: Path, start: Start) -> None:
    with CaseIndex.open(tmp_path / "home") as index:
        server = start("serve", "--port", "0")
        url = server.answer()["url"]

        def run_a_job() -> int:
            job = index.jobs.submit("ingest", {"paths": ["/no/such/folder"]})
            eventually(lambda: index.jobs.get(job.id).is_final)
            assert httpx.get(f"{url}/v1/jobs/{job.id}").json()["error"]["code"] == "no-such-path"
            return pid_of(index.jobs.get(job.id))

        first = run_a_job()
        psutil.Process(first).kill()
        second = run_a_job()
        assert first != second
        server.process.terminate()
        assert server.process.wait(30) == 0
        assert not psutil.pid_exists(second)
        again = start("serve", "--port", "0")
        url = again.answer()["url"]
        third = run_a_job()
        again.process.kill()
        again.process.wait()
        eventually(lambda: not psutil.pid_exists(third))


@pytest.mark.long
def test_a_worker_survives_a_database_outage(
    tmp_path: Path, start: Start, url: str, postgresql_server: PostgresqlServer
) -> None:
    with CaseIndex.open(tmp_path / "home", database_url=url) as index:
        worker = start("worker", "--poll", "0.1", database_url=url)
        for _ in range(2):
            job = index.jobs.submit("ingest", {"paths": ["/no/such/folder"]})
            eventually(lambda job=job: index.jobs.get(job.id).is_final)  # type: ignore[misc]
            postgresql_server.restart()
            assert worker.process.poll() is None
        job = index.jobs.submit("ingest", {"paths": ["/no/such/folder"]})
        eventually(lambda: index.jobs.get(job.id).is_final)
        worker.process.terminate()
        assert worker.answer()["jobs"] == {"failed": 3}
        assert worker.process.wait(30) == 0
