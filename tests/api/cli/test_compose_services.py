"""The services of `docker-compose.yml` as processes: their commands, environments and health checks, on a
PostgreSQL server that asks for the password of the secret. What a container finds mounted lies elsewhere.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import psutil
import pytest

from medsiglip.index.case_index import CaseIndex
from medsiglip.phantoms.catalogue import make_studies
from medsiglip.phantoms.dicom import write_study
from tests.container_files import compose, mounts
from tests.postgresql_server import PostgresqlServer
from tests.repository import ROOT
from tests.waiting import eventually

PASSWORD, KEY = "hush%40:/a quiet@word", "0123456789abcdef" * 4


@dataclass
class Project:
    """The project of a compose file; `places` says where this machine has what a container finds mounted."""

    folder: Path
    port: int
    database: str
    places: dict[str, Path]
    started: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def environment(self, name: str) -> dict[str, str]:
        """The environment that the file sets for a service, and nothing else."""
        service = compose()["services"][name]
        found = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "HOME": str(self.folder)}
        for variable, value in service["environment"].items():
            target = next((t for t in mounts(service) if value == t), None)
            found[variable] = str(self.places[mounts(service)[target]]) if target else value
        url = found["MEDSIGLIP_DATABASE_URL"]
        found["MEDSIGLIP_DATABASE_URL"] = url.replace("database:5432/medsiglip", self.database)
        return found

    def start(self, name: str) -> subprocess.Popen[bytes]:
        """Start a service, on loopback only."""
        words = [word.replace("0.0.0.0", "127.0.0.1") for word in compose()["services"][name]["command"]]
        if words[0] == "serve":
            words += ["--port", str(self.port)]
        with (self.folder / f"{name}.log").open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "medsiglip.api.cli", *words],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self.environment(name),
            )
        self.started.append(process)
        return process

    def is_healthy(self, name: str) -> bool:
        """Whether the service's health check succeeds."""
        kind, program, *words = compose()["services"][name]["healthcheck"]["test"]
        assert (kind, program) in {("CMD", "python"), ("CMD", "medsiglip")}
        words = [word.replace(":8000/", f":{self.port}/") for word in words]
        module = ["-m", "medsiglip.api.cli"] if program == "medsiglip" else []
        checked = subprocess.run(
            [sys.executable, *module, *words], env=self.environment(name), capture_output=True, check=False
        )
        return checked.returncode == 0

    def log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text()

    def end(self) -> None:
        """End all running processes and their children."""
        for process in self.started:
            if process.poll() is None:
                for child in psutil.Process(process.pid).children(recursive=True):
                    child.kill()
                process.kill()
                process.wait()


@pytest.fixture
def project(tmp_path: Path, postgresql_server: PostgresqlServer) -> Iterator[Project]:
    database = postgresql_server.new_database()
    postgresql_server.new_login(database, "medsiglip", PASSWORD)
    names = ("home", "models", "database_password", "bootstrap_key", "hf_token", "./dicom")
    places = {name: tmp_path / name for name in names} | {"generators": ROOT / "docker/generators.toml"}
    places["database_password"].write_text(f"{PASSWORD}\n")
    places["bootstrap_key"].write_text(f"{KEY}\n")
    places["hf_token"].touch()
    for study in make_studies(2, 5, ["skin"]):
        write_study(study, places["./dicom"])
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    made = Project(tmp_path, port, database.partition("@")[2], places)
    yield made
    made.end()
    postgresql_server.drop(database)


@pytest.mark.long
def test_server_and_worker_share_a_home_and_a_database(project: Project) -> None:
    assert not project.is_healthy("api")
    api = project.start("api")
    eventually(lambda: project.is_healthy("api") or api.poll() is not None)
    assert api.poll() is None, project.log("api")
    assert not project.is_healthy("worker")
    worker = project.start("worker")
    eventually(lambda: project.is_healthy("worker"))

    assert httpx.get(f"{project.url}/v1/jobs").status_code == 401
    with httpx.Client(base_url=project.url, headers={"Authorization": f"Bearer {KEY}"}) as client:
        assert client.get("/v1/jobs").json()["jobs"] == []
        with CaseIndex.open(project.places["home"], database_url=owner(project)) as index:
            data = str(project.places["./dicom"])
            job_id = client.post("/v1/ingest", json={"path": data}).json()["id"]
            outside = client.post("/v1/ingest", json={"path": str(project.folder)})
            assert (outside.status_code, outside.json()["code"]) == (403, "path-not-allowed")
            # Links may change between the request and the job, so the worker checks again.
            refused = index.jobs.submit("ingest", {"paths": [str(project.folder)]})
            eventually(lambda: index.jobs.get(job_id).is_final and index.jobs.get(refused.id).is_final)
        done = client.get(f"/v1/jobs/{job_id}").json()
        assert (done["status"], done["result"]["studies"]) == ("done", 2), project.log("worker")
        assert done["result"]["embedded"] == done["result"]["images"] > 0
        assert client.get(f"/v1/jobs/{refused.id}").json()["error"]["code"] == "path-not-allowed"
        eventually(lambda: "found a stored image" in client.get("/readyz").text)
        eventually(lambda: metrics_to_watch() <= names_in(client.get("/metrics").text))
    assert project.is_healthy("api")

    for process in (worker, api):
        process.send_signal(signal.SIGTERM)
    assert [process.wait(60) for process in (worker, api)] == [0, 0]
    assert not project.is_healthy("api")
    assert not project.is_healthy("worker")
    assert not (project.places["home"] / "catalog.db").exists()
    for name in ("api", "worker"):
        assert PASSWORD not in project.log(name)
        assert KEY not in project.log(name)


@pytest.mark.long
def test_a_wrong_password_is_a_sentence(project: Project) -> None:
    project.places["database_password"].write_text("another word\n")
    assert project.start("api").wait(60) == 1
    log = project.log("api")
    assert "(database-refused)" in log
    assert "password authentication failed" in log
    assert "Traceback" not in log
    assert "another word" not in log


def names_in(figures: str) -> set[str]:
    """The names of metrics; that of a histogram is the beginning of its parts."""
    found = set(re.findall(r"^\w+", figures, re.M))
    return found | {name.removesuffix("_count") for name in found}


def metrics_to_watch() -> set[str]:
    """The names in docs/operations.md."""
    page = (ROOT / "docs/operations.md").read_text().split("## Monitor")[1].split("\n## ")[0]
    found = set(re.findall(r"`(medsiglip_\w+)`", page))
    assert len(found) > 5
    return found


def owner(project: Project) -> str:
    """The URL of the database for a login without a password."""
    return f"postgresql+psycopg://tester@{project.database}"
