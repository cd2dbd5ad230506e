"""Health, readiness and metrics of a server on a real archive with a real model."""

from __future__ import annotations

import os
import shutil
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from prometheus_client.parser import text_string_to_metric_families

from medsiglip.api.archive.archive import Archive
from medsiglip.api.archive.single_flight import SingleFlight
from medsiglip.api.http.app import create_app
from medsiglip.api.http.metrics import ArchiveCollector
from medsiglip.api.http.routes.operations import watch
from medsiglip.api.settings import Settings
from tests.api.conftest import Home

LOOPBACK = "http://127.0.0.1:8000"


@pytest.fixture(scope="module")
def started(home: Home, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """One server for all tests, as starting its model takes seconds."""
    path = tmp_path_factory.mktemp("operations") / "home"
    shutil.copytree(home.path, path)
    app = create_app(Settings(home=path))
    with TestClient(app, base_url=LOOPBACK) as client:
        wait_for_model(app)
        yield client


@pytest.fixture
def app(started: TestClient) -> FastAPI:
    """Its application, with empty metrics and no cached checks."""
    found = cast(FastAPI, started.app)
    again(found)
    return found


@pytest.fixture
def client(started: TestClient, app: FastAPI) -> TestClient:
    assert app is started.app
    return started


def wait_for_model(app: FastAPI) -> None:
    encoder = app.state.server.archive.encoder
    assert encoder.batch_size > 0  # which waits


def figures(client: TestClient) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    families = text_string_to_metric_families(client.get("/metrics").text)
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in families
        for sample in family.samples
    }


def checks(client: TestClient) -> dict[str, bool]:
    answer = client.get("/readyz")
    body = answer.json()
    found = {one["name"]: one["ok"] for one in body["checks"]}
    assert body["ready"] is all(found.values())
    assert answer.status_code == (200 if body["ready"] else 503)
    assert all(one["detail"] for one in body["checks"])
    return found


def again(app: FastAPI) -> None:
    """Drop cached checks and metrics."""
    watch(app, app.state.server.archive)


def test_a_working_server_is_ready(client: TestClient) -> None:
    assert client.get("/healthz").json() == {"status": "ok"}
    assert checks(client) == dict.fromkeys(("database", "disk", "encoder", "search"), True)


@pytest.mark.long
def test_an_empty_archive_is_ready_once_the_model_is_loaded(tmp_path: Path) -> None:
    app = create_app(Settings(home=tmp_path / "home"))
    with TestClient(app, base_url=LOOPBACK) as client:
        assert [name for name, ok in checks(client).items() if not ok] == ["encoder"]
        assert figures(client)[("medsiglip_encoder_ready", ())] == 0
        wait_for_model(app)
        again(app)
        assert all(checks(client).values())


def test_a_full_disk_is_not_ready(app: FastAPI, client: TestClient) -> None:
    archive = app.state.server.archive
    former = archive.settings
    archive.settings = former.model_copy(update={"min_free_bytes": 1 << 60})
    try:
        assert [name for name, ok in checks(client).items() if not ok] == ["disk"]
    finally:
        archive.settings = former


def test_with_a_damaged_index_the_server_is_alive_but_not_ready(own_home: Home) -> None:
    for shard in (own_home.path / "vectors").rglob("*.parquet"):
        shard.write_bytes(b"")
    shutil.rmtree(own_home.path / "faiss", ignore_errors=True)
    with TestClient(create_app(Settings(home=own_home.path)), base_url=LOOPBACK) as client:
        answer = client.get("/readyz")
        assert answer.status_code == 503
        details = {one["name"]: one["detail"] for one in answer.json()["checks"] if not one["ok"]}
        assert details["search"] == "corrupt-shard"
        assert str(own_home.path) not in answer.text
        assert client.get("/healthz").status_code == 200
        assert figures(client)[("medsiglip_archive_up", ())] == 0


def test_a_model_of_another_space_is_not_ready(own_home: Home, changed_checkpoint: Any) -> None:
    other = changed_checkpoint(lambda tensors: tensors["logit_scale"].__iadd__(1))
    with TestClient(create_app(Settings(home=own_home.path, model=str(other))), base_url=LOOPBACK) as client:
        answer = client.get("/readyz").json()
    failed = {one["name"]: one["detail"] for one in answer["checks"] if not one["ok"]}
    assert failed == {"encoder": "space-mismatch"}


def test_metrics_are_those_of_the_archive(app: FastAPI, client: TestClient) -> None:
    info = app.state.server.archive.index_info()
    app.state.server.archive.index.jobs.submit("probe", {"name": "x"})
    for _ in range(3):
        client.get("/v1/jobs/nothing")
    app.state.metrics.count_upload("taken", 100)
    app.state.metrics.count_upload("upload-too-large")
    found = figures(client)
    assert found[("medsiglip_archive_up", ())] == 1
    assert found[("medsiglip_index_studies", ())] == info["studies"]
    assert found[("medsiglip_index_images", ())] == info["images"]
    assert found[("medsiglip_index_vectors", ())] == info["faiss"]["ntotal"]
    assert found[("medsiglip_jobs", (("kind", "probe"), ("status", "queued")))] == 1
    events = app.state.server.archive.index.audit.head()[0]
    assert found[("medsiglip_audit_events_total", ())] == events > 0
    labels = (("method", "GET"), ("route", "/v1/jobs/{job_id}"), ("status", "404"))
    assert found[("medsiglip_http_requests_total", labels)] == 3
    assert found[("medsiglip_http_request_seconds_count", labels[:2])] == 3
    assert found[("medsiglip_uploads_total", (("outcome", "taken"),))] == 1
    assert found[("medsiglip_upload_bytes_total", ())] == 100
    assert found[("process_resident_memory_bytes", ())] > 1 << 20


def test_recall_is_exported_once_it_is_measured(client: TestClient) -> None:
    deadline = time.monotonic() + 60
    while ("medsiglip_index_recall", ()) not in (found := figures(client)):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert found[("medsiglip_index_recall", ())] == 1


def test_clients_cannot_create_time_series(client: TestClient) -> None:
    for number in range(5):
        client.request(f"ODD{number}", f"/v1/nothing/{number}")
    routes = {labels for name, labels in figures(client) if name == "medsiglip_http_requests_total"}
    assert len([labels for labels in routes if ("route", "(none)") in labels]) == 1


def test_two_applications_have_separate_metrics(tmp_path: Path) -> None:
    apps = [create_app(Settings(home=tmp_path / name)) for name in ("a", "b")]
    with TestClient(apps[0], base_url=LOOPBACK) as one, TestClient(apps[1], base_url=LOOPBACK) as two:
        one.get("/healthz")
        counted = [sum(n == "medsiglip_http_requests_total" for n, _ in figures(c)) for c in (one, two)]
    assert counted == [1, 0]


def test_a_model_in_this_process_has_no_metrics(own_home: Home) -> None:
    with Archive(own_home.path) as archive:
        names = {family.name for family in ArchiveCollector(archive).collect()}
    assert "medsiglip_index_images" in names
    assert not any(name.startswith("medsiglip_encoder") for name in names)


def test_metrics_of_a_shared_encoder(app: FastAPI, client: TestClient) -> None:
    encoder = app.state.server.archive.encoder
    kind = ("kind", "image")
    assert all(checks(client).values())

    def batches() -> list[float]:
        """Batches of at most 1, 2 and 4 images, and of any number; and images in all."""
        found = figures(client)
        bounds = [(kind, ("le", bound)) for bound in ("1.0", "2.0", "4.0", "+Inf")]
        name = "medsiglip_encoder_batch_size"
        return [*(found[(f"{name}_bucket", bound)] for bound in bounds), found[(f"{name}_sum", (kind,))]]

    before = batches()
    encoder.encode_images(np.zeros((3, encoder.image_size, encoder.image_size, 3), np.uint8))
    assert [after - former for after, former in zip(batches(), before, strict=True)] == [0, 0, 1, 1, 3]
    found = figures(client)
    assert found[("medsiglip_encoder_ready", ())] == 1
    assert found[("medsiglip_encoder_restarts_total", ())] == 0
    assert found[("medsiglip_encoder_waiting", ())] == 0


@pytest.mark.long
def test_a_killed_model_is_restarted(app: FastAPI, client: TestClient) -> None:
    os.kill(app.state.server.archive.encoder.process_id, signal.SIGKILL)
    deadline = time.monotonic() + 60
    while figures(client)[("medsiglip_encoder_restarts_total", ())] < 1 or not all(checks(client).values()):
        assert time.monotonic() < deadline
        again(app)
        time.sleep(0.05)


def test_concurrent_calls_share_one_computation() -> None:
    calls: list[int] = []
    go = threading.Event()

    def slow() -> int:
        calls.append(1)
        go.wait(30)
        return len(calls)

    now = [0.0]
    held = SingleFlight(slow, 2.0, clock=lambda: now[0])
    assert held.get(0.01) is None  # it hangs, and no call waits longer than its timeout
    assert held.get(0.01) is None
    answers: list[int | None] = []
    threads = [threading.Thread(target=lambda: answers.append(held.get(30))) for _ in range(5)]
    for thread in threads:
        thread.start()
    go.set()
    for thread in threads:
        thread.join()
    assert answers == [1] * 5
    assert held.get(30) == 1
    now[0] = 2.5
    assert held.get(30) == 2


def test_a_failed_computation_is_repeated() -> None:
    outcomes: Iterator[Exception | int] = iter([ValueError("no"), 7])

    def unsure() -> int:
        found = next(outcomes)
        if isinstance(found, Exception):
            raise found
        return found

    now = [0.0]
    held = SingleFlight(unsure, 2.0, clock=lambda: now[0])
    assert held.get(30) is None
    now[0] = 3
    assert held.get(30) == 7
