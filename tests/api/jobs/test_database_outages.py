"""Servers and workers while their PostgreSQL is frozen, not there yet, refuses them, or is a standby."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi.testclient import TestClient
from prometheus_client.parser import text_string_to_metric_families

from medsiglip.api.archive.archive import Archive
from medsiglip.api.http import metrics, readiness
from medsiglip.api.http.app import create_app
from medsiglip.api.jobs import patience
from medsiglip.api.settings import Settings
from medsiglip.index.case_index import CaseIndex
from medsiglip.index.catalogue.connecting import server_connection
from tests.api.jobs.conftest import working
from tests.api.service_processes import Start, Started
from tests.index.index_cases import SPACE, make_bundle, unit_vectors
from tests.postgresql_server import PostgresqlServer, find_programs
from tests.waiting import eventually

pytestmark = pytest.mark.long


def archive_up(answer: Any) -> float:
    families = text_string_to_metric_families(answer.raise_for_status().text)
    [value] = [one.value for f in families for one in f.samples if one.name == "medsiglip_archive_up"]
    return float(value)


def log_of(process: Started) -> str:
    return process.log.read_text()


@pytest.fixture
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """What waits for a database gives up sooner, and looks at it again sooner."""
    monkeypatch.setattr(server_connection, "SILENCE_SECONDS", 0.3)
    monkeypatch.setattr(server_connection, "CONNECT_SECONDS", 1)
    monkeypatch.setitem(server_connection._TCP, "connect_timeout", 1)
    monkeypatch.setattr(metrics, "COUNTS_SECONDS", 0.1)
    monkeypatch.setattr(readiness, "HELD_SECONDS", 0.1)
    monkeypatch.setattr(patience, "_pause", lambda _tries: 0.1)


@pytest.mark.usefixtures("_impatient")
def test_a_frozen_database_is_a_503_and_figures_go_on(
    tmp_path: Path, url: str, postgresql_server: PostgresqlServer, caplog: pytest.LogCaptureFixture
) -> None:
    with CaseIndex.open(tmp_path / "home", database_url=url) as index:
        index.activate(SPACE)
        index.add([make_bundle(0, 2), make_bundle(1, 2, patient="b")], unit_vectors(4, 1))
        key = index.api_keys.create("watch", ["read"])[1]
    app = create_app(Settings(home=tmp_path / "home", database_url=url))
    mine = {"Authorization": f"Bearer {key}"}
    with TestClient(app, base_url="http://127.0.0.1", headers=mine) as client:

        def search() -> Any:
            return client.post("/v1/search", json={"study_instance_uid": "2.25.0"})

        assert search().status_code == 200
        eventually(lambda: archive_up(client.get("/metrics")))
        with postgresql_server.frozen():
            for _ in range(3):
                answer = search()
                assert (answer.status_code, answer.json()["code"]) == (503, "database-unreachable")
                assert "127.0.0.1" not in answer.text
                assert int(answer.headers["Retry-After"]) >= 1
            assert client.get("/healthz").status_code == 200
            eventually(lambda: archive_up(client.get("/metrics")) == 0)
            ready = client.get("/readyz")
            assert (ready.status_code, ready.json()["ready"]) == (503, False)
            never_seen = client.get("/metrics", headers={"Authorization": f"Bearer {key[::-1]}"})
            assert never_seen.status_code in (401, 503)
        eventually(lambda: search().status_code == 200)
        eventually(lambda: archive_up(client.get("/metrics")))
    assert "has stopped answering" in caplog.text or "does not answer" in caplog.text


def test_serve_waits_for_its_database_when_told_to(
    start: Start, url: str, postgresql_server: PostgresqlServer
) -> None:
    postgresql_server.stop()
    try:
        at_once, patient = (
            start("serve", "--port", "0", "--no-worker", *wait, database_url=url)
            for wait in ((), ("--wait",))
        )
        assert at_once.answer()["error"]["code"] == "database-unreachable"
        assert at_once.process.wait(60) == 1
        eventually(lambda: "trying again" in log_of(patient))
        assert "Connection refused" in log_of(patient)
    finally:
        postgresql_server.start()
    assert httpx.get(f"{patient.answer()['url']}/healthz").status_code == 200


def test_a_worker_says_the_server_s_reason_and_gives_up_on_what_cannot_heal(
    start: Start, url: str, postgresql_server: PostgresqlServer
) -> None:
    asked = postgresql_server.new_login(url, "worker", "right")
    wrong = start("worker", database_url=asked.replace("worker@", "worker:secret@"))
    unknown = start("worker", database_url=f"{postgresql_server.url}/nowhere")
    for worker, reason in ((wrong, "password authentication failed"), (unknown, "does not exist")):
        error: Any = worker.answer()["error"]
        assert error["code"] == "database-refused"
        assert reason in error["message"]
        assert worker.process.wait(60) == 1
        assert reason in log_of(worker)
        assert "secret" not in log_of(worker) + json.dumps(error)


def test_a_worker_outlasts_too_many_connections(
    tmp_path: Path, start: Start, url: str, postgresql_server: PostgresqlServer
) -> None:
    theirs = postgresql_server.new_login(url, "crowded", "p").replace("crowded@", "crowded:p@")
    with CaseIndex.open(tmp_path / "home", database_url=theirs) as index:
        job = index.jobs.submit("ingest", {"paths": ["/no/such/folder"]})
    postgresql_server.execute("ALTER ROLE crowded CONNECTION LIMIT 0")
    worker = start("worker", "--poll", "0.1", database_url=theirs)
    eventually(lambda: "(too-many-connections)" in log_of(worker))
    assert "too many connections for role" in log_of(worker)
    postgresql_server.execute("ALTER ROLE crowded CONNECTION LIMIT 20")
    with CaseIndex.open(tmp_path / "home", database_url=url) as index:
        eventually(lambda: index.jobs.get(job.id).is_final)
    assert worker.process.poll() is None


@pytest.mark.usefixtures("_impatient")
def test_on_a_standby_nothing_is_ready_and_workers_wait_for_its_promotion(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    programs = find_programs()
    if programs is None:
        pytest.skip("no PostgreSQL server is installed")
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as two:
        settings = {"wal_level": "replica", "max_wal_senders": 2}
        primary, standby = (PostgresqlServer(programs, Path(folder), settings) for folder in (one, two))
        primary.make()
        try:
            url = primary.new_database()
            with CaseIndex.open(tmp_path / "home", database_url=url) as index:
                index.activate(SPACE)
                job = index.jobs.submit("ingest", {"paths": ["/no/such/folder"]})
            standby.make_standby_of(primary)
        finally:
            primary.stop()
        try:
            there = Settings(home=tmp_path / "home", database_url=f"{standby.url}/{url.rpartition('/')[2]}")
            with TestClient(create_app(there), base_url="http://127.0.0.1") as client:
                ready = client.get("/readyz")
            assert ready.status_code == 503
            details = {check["name"]: check["detail"] for check in ready.json()["checks"]}
            assert details["database"] == "database-read-only"
            with Archive.from_settings(there) as archive, working(archive):
                eventually(lambda: "(database-read-only)" in caplog.text)
                standby.promote()
                eventually(lambda: archive.index.jobs.get(job.id).is_final)
        finally:
            standby.stop()
