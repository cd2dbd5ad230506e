"""A long run of two servers with their workers on one PostgreSQL, all of them killed now and then."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import httpx
import numpy as np
import psutil
import pytest

from medsiglip.index.case_index import CaseIndex
from medsiglip.index.errors import CatalogError
from medsiglip.index.service.jobs import Job
from tests.api.conftest import run
from tests.api.service_processes import Started, suppressed
from tests.postgresql_server import PostgresqlServer
from tests.waiting import eventually

T = TypeVar("T")
SECONDS = 75
JOBS = 24
# What a client may see while servers and database come and go.
RETRYABLE = {502, 503, 504, 429}


class Cluster:
    """Two servers that are restarted when they were killed."""

    def __init__(self, home: Path, url: str) -> None:
        self._home = home
        self._url = url
        self.servers = [self._start(), self._start()]
        self.urls = [str(server.answer()["url"]) for server in self.servers]

    def _start(self) -> Started:
        return Started(self._home, ("serve", "--port", "0"), self._url)

    def kill_server(self, number: int) -> None:
        self.servers[number].process.kill()
        self.servers[number].end()
        self.servers[number] = self._start()
        self.urls[number] = str(self.servers[number].answer()["url"])

    def kill_worker(self, number: int) -> None:
        with suppressed():
            for child in psutil.Process(self.servers[number].process.pid).children():
                child.kill()

    def end(self) -> None:
        for server in self.servers:
            server.end()

    def job(self, number: int, job_id: str) -> dict[str, Any] | None:
        """The job as a server returns it; None while no server answers."""
        try:
            answer = httpx.get(f"{self.urls[number]}/v1/jobs/{job_id}", timeout=60)
        except httpx.TransportError:
            return None
        if answer.status_code in RETRYABLE:
            return None
        state: dict[str, Any] = answer.raise_for_status().json()
        return state


def images_of(index: CaseIndex) -> dict[tuple[str, str, int], np.ndarray]:
    images = [one for study in index.studies() for one in index.images_of(study.study_instance_uid)]
    keys = [(one.sop_instance_uid, one.pixel_hash, one.frame) for one in images]
    assert len(set(keys)) == len(keys)
    return dict(zip(keys, index.vectors([one.image_id for one in images]), strict=True))


def persist(call: Callable[[], T]) -> T:
    """The result of a call on the catalogue, repeated until it is available."""
    while True:
        try:
            return call()
        except CatalogError as error:
            if error.code != "database-unreachable":
                raise
        time.sleep(0.2)


@pytest.mark.campaign
def test_kills_lose_and_duplicate_nothing(
    tmp_path: Path, postgresql_server: PostgresqlServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    from medsiglip.phantoms.writing import write_phantoms

    monkeypatch.setenv("MEDSIGLIP_INGEST_ROOTS", str(tmp_path))

    seed = random.SystemRandom().randrange(10**6)
    draw = random.Random(seed)
    print(f"seed {seed}")
    write_phantoms(tmp_path / "phantoms", 72, 5)
    folder = tmp_path / "phantoms" / "dicom"
    run("--home", tmp_path / "whole", "ingest", folder)
    with CaseIndex.open(tmp_path / "whole") as whole:
        expected = images_of(whole)
    patients = sorted(folder.iterdir())
    url = postgresql_server.new_database()
    (tmp_path / "cluster").mkdir()
    home = tmp_path / "cluster" / "home"
    with CaseIndex.open(home, database_url=url) as index:
        cluster = Cluster(home, url)
        jobs: list[Job] = []

        def submit(paths: Sequence[Path]) -> None:
            parameters = {"paths": [str(path) for path in paths]}
            jobs.append(persist(lambda: index.jobs.submit("ingest", parameters)))

        def ended() -> list[Job]:
            return [persist(lambda job=job: index.jobs.get(job.id)) for job in jobs]  # type: ignore[misc]

        try:
            done: Counter[str] = Counter()
            until = time.monotonic() + SECONDS
            while time.monotonic() < until:
                if len(jobs) < JOBS:
                    submit(draw.sample(patients, draw.choice([6, 20, len(patients)])))
                time.sleep(draw.uniform(1, 6))
                disturbance = draw.choice(["kill_worker", "kill_worker", "kill_server", "restart", "cut"])
                done[disturbance] += 1
                if disturbance == "restart":
                    postgresql_server.restart()
                elif disturbance == "cut":
                    postgresql_server.end_connections(url)
                else:
                    getattr(cluster, disturbance)(draw.randrange(2))
                for job in jobs:
                    state = cluster.job(draw.randrange(2), job.id)
                    assert state is None or state["status"] in ("queued", "running", "done"), (seed, state)
            submit(patients)
            eventually(lambda: all(job.is_final for job in ended()), 300)
            print(dict(done), "attempts of each job:", [job.attempts for job in ended()])
            assert [(job.status, job.error) for job in ended()] == [("done", None)] * len(jobs), seed
            assert index.verify().problems == (), seed
            found = images_of(index)
            assert found.keys() == expected.keys(), seed
            assert all(np.abs(found[key] - expected[key]).max() <= 1e-6 for key in found), seed
        finally:
            cluster.end()
    postgresql_server.drop(url)
