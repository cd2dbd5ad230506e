"""A dry run over HTTP: it tells what an ingest would do, and leaves nothing behind."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pydicom
import pytest
from fastapi.testclient import TestClient

from medsiglip.api.archive.archive import Archive
from medsiglip.api.http.app import create_app
from medsiglip.api.jobs.worker import Worker
from medsiglip.api.settings import Settings
from medsiglip.ingest.engines import ray_cluster
from tests.api.conftest import Phantoms


@dataclass
class Service:
    """A running application on a home of its own, and the folder that it may read."""

    client: TestClient
    archive: Archive
    folder: Path

    def run(self, **sent: Any) -> dict[str, Any]:
        """What became of the job that a request starts."""
        answer = self.client.post("/v1/ingest", **sent)
        assert answer.status_code == 202, answer.text
        Worker(self.archive).run(once=True)
        job: dict[str, Any] = self.client.get(f"/v1/jobs/{answer.json()['id']}").json()
        assert job["status"] == "done", job
        result: dict[str, Any] = job["result"]
        return result

    def images(self) -> int:
        return int(self.archive.index_info()["images"])


@contextmanager
def started(folder: Path, home: Path, phantoms: Phantoms) -> Iterator[Service]:
    files = sorted(path for path in phantoms.dicom.rglob("*") if path.is_file())
    for number, path in enumerate(files[:3]):
        content = pydicom.dcmread(path)
        content.BurnedInAnnotation = ("NO", "YES", "NO")[number]
        content.save_as(folder / f"{number}.dcm")
    (folder / "notes.txt").write_text("no picture")
    with TestClient(
        create_app(Settings(home=home, ingest_roots=(folder,))), base_url="http://127.0.0.1:8000"
    ) as client:
        archive = client.app.state.server.archive  # type: ignore[attr-defined]
        yield Service(client, archive, folder)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, phantoms: Phantoms) -> Iterator[Service]:
    make = tmp_path_factory.mktemp
    with started(make("files"), make("dry") / "home", phantoms) as one:
        yield one


@pytest.fixture
def new_service(tmp_path_factory: pytest.TempPathFactory, phantoms: Phantoms) -> Iterator[Service]:
    """One whose home holds nothing yet."""
    make = tmp_path_factory.mktemp
    with started(make("files"), make("new") / "home", phantoms) as one:
        yield one


def forms(service: Service) -> list[tuple[str, tuple[str, io.BytesIO]]]:
    return [("file", (path.name, io.BytesIO(path.read_bytes()))) for path in service.folder.iterdir()]


def test_a_dry_run_tells_what_an_ingest_then_does(service: Service) -> None:
    tried = service.run(json={"path": str(service.folder), "dry_run": True})
    assert (tried["dry_run"], tried["files"], tried["files_embedded"]) == (True, 4, 3)
    assert [(one["burned_in"], one["files"]) for one in tried["withheld"]] == [("yes", 1)]
    assert service.images() == 0
    sent = service.run(data={"dry_run": "true"}, files=forms(service))
    told = {"files", "files_embedded", "studies", "series", "instances", "images", "embedded", "withheld"}
    assert {name: sent[name] for name in told} == {name: tried[name] for name in told}
    assert [one["path"] for one in sent["skipped"]] == ["notes.txt"]
    assert service.images() == 0
    received = service.archive.home / "received"
    assert not received.exists() or not [path for path in received.rglob("*") if path.is_file()]
    done = service.run(json={"path": str(service.folder)})
    assert not done.get("dry_run")
    assert {name: done[name] for name in told} == {name: tried[name] for name in told}
    assert service.images() == 3


def test_a_dry_run_of_files_is_not_taken_into_the_run_of_others(service: Service) -> None:
    before = service.images()
    tried = service.client.post("/v1/ingest", data={"dry_run": "true"}, files=forms(service)[:1]).json()
    real = service.client.post("/v1/ingest", files=forms(service)[1:]).json()
    Worker(service.archive).run(once=True)
    for job, is_dry in ((tried, True), (real, False)):
        ended = service.client.get(f"/v1/jobs/{job['id']}").json()
        assert (ended["status"], ended["result"].get("dry_run", False)) == ("done", is_dry)
    assert service.images() == before


def test_a_client_chooses_among_the_engines_of_the_service(
    new_service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may have a run on the service's machine; a cluster is what the settings name, or there is none."""
    service = new_service
    for engine, code in (("ray://10.1.0.7:10001", "bad-request"), ("ray", "no-ray-cluster")):
        answer = service.client.post("/v1/ingest", json={"path": str(service.folder), "engine": engine})
        assert (answer.status_code, answer.json()["code"]) == (422, code)
    monkeypatch.setattr(ray_cluster, "import_ray", lambda: SimpleNamespace(is_initialized=lambda: False))
    clustered = service.archive.settings.model_copy(update={"ingest_engine": "ray://127.0.0.1:1"})
    monkeypatch.setattr(service.archive, "settings", clustered)
    monkeypatch.setattr(service.client.app.state.server, "settings", clustered)  # type: ignore[attr-defined]
    for given in ({}, {"engine": "ray"}):
        asked = {"path": str(service.folder), **given}
        job = service.client.post("/v1/ingest", json=asked).json()
        Worker(service.archive).run(once=True)
        ended = service.client.get(f"/v1/jobs/{job['id']}").json()
        assert ended["error"] is not None, ended
        # It waits for the cluster, and loses no attempt.
        assert (ended["status"], ended["error"]["code"]) == ("queued", "ray-unreachable")
        assert ended["attempts"] == 0
        service.client.delete(f"/v1/jobs/{job['id']}")
        assert service.images() == 0
    sent = service.run(files=forms(service)[:1])
    assert sent["embedded"] <= service.images()
    done = service.run(json={"path": str(service.folder), "engine": "local"})
    assert done["images"] == service.images() == 3


def test_a_catalogue_of_a_server_cannot_be_tried(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    server = service.client.app.state.server  # type: ignore[attr-defined]
    elsewhere = server.settings.model_copy(update={"database_url": "postgresql://nobody@127.0.0.1/none"})
    monkeypatch.setattr(server, "settings", elsewhere)
    answer = service.client.post("/v1/ingest", json={"path": str(service.folder), "dry_run": True})
    assert (answer.status_code, answer.json()["code"]) == (422, "dry-run-needs-sqlite")
