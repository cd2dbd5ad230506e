"""Many clients at once: no error, no lost job; and a server that is killed under load."""

from __future__ import annotations

import os
import shutil
import signal
import threading
import time
from pathlib import Path

import pytest

from medsiglip.client.client import Client
from medsiglip.index.case_index import CaseIndex
from tests.api.conftest import Home, Phantoms
from tests.api.http.load import Work, run_load
from tests.api.service_processes import Started
from tests.waiting import eventually


def work_on(phantoms: Phantoms, folder: Path, new: int) -> Work:
    """Questions about the phantoms, and so many new studies."""
    from medsiglip.phantoms.catalogue import make_studies
    from medsiglip.phantoms.dicom import write_study

    for study in make_studies(new, 77, ["skin", "chest-xray"]):
        write_study(study, folder)
    files = sorted(phantoms.dicom.rglob("*.dcm"))
    return Work(list(phantoms.by_study), files, sorted(folder.rglob("*.dcm")))


class Server:
    """A server with its worker that can be killed and started again on the same port and home."""

    def __init__(self, home: Path) -> None:
        self.home = home
        with CaseIndex.open(home) as index:
            self.key = index.api_keys.create("load", ["read", "write"])[1]
        self.port = "0"
        self.start()

    def start(self) -> None:
        self.started = Started(self.home, ("serve", "--port", self.port))
        self.url = str(self.started.answer()["url"])
        self.port = self.url.rpartition(":")[2]

    def client(self, retries: int = 0) -> Client:
        return Client(self.url, api_key=self.key, retries=retries)

    def kill(self) -> None:
        os.kill(self.started.process.pid, signal.SIGKILL)
        self.started.process.wait()
        self.started.end()

    def stop(self) -> None:
        self.started.process.terminate()
        assert self.started.process.wait(60) == 0
        self.started.end()


def check(server: Server, jobs: list[str]) -> None:
    """Every accepted job succeeded, and the index is intact."""
    with server.client(retries=5) as client:
        eventually(lambda: all(client.job(job).is_final for job in jobs), 120)
        ended = [client.job(job) for job in jobs]
        assert [(one.status, one.error) for one in ended] == [("done", None)] * len(jobs)
    server.stop()
    with CaseIndex.open(server.home) as index:
        assert index.verify().problems == ()


@pytest.mark.parametrize(
    ("clients", "seconds", "new"),
    [
        pytest.param(8, 4, 16, marks=pytest.mark.long),
        pytest.param(32, 60, 60, marks=pytest.mark.campaign),
    ],
)
def test_many_clients_see_no_error(
    home: Home, phantoms: Phantoms, tmp_path: Path, clients: int, seconds: int, new: int
) -> None:
    work = work_on(phantoms, tmp_path / "new", new)
    shutil.copytree(home.path, tmp_path / "home")
    server = Server(tmp_path / "home")
    with server.client() as client:
        eventually(client.is_ready)
    seen = run_load(server.client, work, clients=clients, seconds=seconds)
    print(f"\n{seen.summary()}\np99 / p50 = {seen.percentile(99) / seen.percentile(50):.2f}")
    assert seen.errors == []
    assert not seen.passing, "a server that runs refuses nothing at this load"
    assert len(seen.jobs) >= 1
    check(server, seen.jobs)


@pytest.mark.parametrize(
    ("clients", "kills"),
    [pytest.param(6, 1, marks=pytest.mark.long), pytest.param(32, 3, marks=pytest.mark.campaign)],
)
def test_a_server_killed_under_load_loses_nothing(
    home: Home, phantoms: Phantoms, tmp_path: Path, clients: int, kills: int
) -> None:
    work = work_on(phantoms, tmp_path / "new", 60)
    shutil.copytree(home.path, tmp_path / "home")
    server = Server(tmp_path / "home")
    with server.client() as client:
        eventually(client.is_ready)

    def disturb() -> None:
        for _ in range(kills):
            time.sleep(4)
            server.kill()
            server.start()

    disturbing = threading.Thread(target=disturb)
    disturbing.start()
    seen = run_load(server.client, work, clients=clients, seconds=9 * kills + 3)
    disturbing.join()
    print(f"\n{seen.summary()}")
    assert seen.errors == []
    assert sum(seen.passing.values()) > 0, "the kills were noticed"
    check(server, seen.jobs)
