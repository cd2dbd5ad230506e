"""Drafts of routing rules outlive an outage of their generator, are shown meanwhile, and are sent again."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select, update

from medsiglip.api.archive.archive import Archive
from medsiglip.api.http.app import create_app
from medsiglip.api.jobs.handlers import HANDLERS
from medsiglip.api.jobs.job_run import JobRun
from medsiglip.api.jobs.worker import Worker
from medsiglip.api.settings import Settings
from medsiglip.index.catalogue.draft_schema import route_decisions
from medsiglip.index.catalogue.service_schema import jobs
from medsiglip.index.service.jobs import MAX_ATTEMPTS
from medsiglip.medgemma.errors import DraftError
from tests.api.archive.drafts.test_generated_reports import Scripted
from tests.api.conftest import Home, run

RULE = {"studies": "all", "modality": ["CR", "DX"], "total": 2, "generator": "near", "max_images": 1}
DOWN = DraftError("generator-down", "No server answers; start it.", may_pass=True)
NOT_OF_THE_GENERATOR = DraftError("no-pictures", "The study has no picture; ingest it first.")
NO_KEY = DraftError("generator-key", "The server wants a key; give it one.")


@pytest.fixture
def port() -> int:
    """A port of this machine at which nothing listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@pytest.fixture
def archive(own_home: Home, port: int) -> Iterator[Archive]:
    url = f"http://127.0.0.1:{port}/v1"
    (own_home.path / "generators.toml").write_text(
        f'[near]\nurl = "{url}"\nmodel = "scripted"\nretries = 0\n', encoding="utf-8"
    )
    with Archive(own_home.path) as opened:
        yield opened


def let_time_pass(archive: Archive, seconds: float) -> None:
    """As if all jobs had begun to wait so much earlier."""
    with archive.index._database.write_service_tables() as connection:
        for job in archive.index.jobs.listed():
            moved = {"not_before": job.created_at}
            if job.started_at is not None:
                moved["started_at"] = job.started_at - timedelta(seconds=seconds)
            connection.execute(update(jobs).where(jobs.c.id == job.id).values(**moved))


def failing(monkeypatch: pytest.MonkeyPatch, error: Callable[[], Exception | None]) -> list[str]:
    """Let report jobs raise what `error` gives; returns the studies that were drafted."""
    drafted: list[str] = []

    def draft(_archive: Archive, job: JobRun) -> dict[str, Any]:
        raised = error()
        if raised is not None:
            raise raised
        drafted.append(job.parameters["study_instance_uid"])
        return {}

    monkeypatch.setitem(HANDLERS, "report", draft)
    return drafted


def test_an_outage_of_two_days_loses_no_draft(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    errors: list[Exception | None] = [DOWN]
    drafted = failing(monkeypatch, lambda: errors[0])
    archive.put_route("near", RULE)
    assert archive.run_routes()["sent"] == 2
    for _ in range(3 * MAX_ATTEMPTS):
        Worker(archive).run(once=True)
        let_time_pass(archive, 2 * 24 * 3600 / (3 * MAX_ATTEMPTS))
    shown = archive.route("near")
    assert (shown["waiting"], shown["failed"], drafted) == (2, 0, [])
    assert {one["code"] for one in shown["waiting_drafts"]} == {"generator-down"}
    errors[0] = None
    let_time_pass(archive, 0)
    Worker(archive).run(once=True)
    assert len(drafted) == len(set(drafted)) == 2
    assert (archive.route("near")["waiting"], archive.run_routes()["sent"]) == (0, 0)


def test_an_outage_without_an_end_is_a_failure_that_route_run_cures(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    errors: list[Exception | None] = [DOWN]
    drafted = failing(monkeypatch, lambda: errors[0])
    archive.put_route("near", RULE)
    archive.run_routes()
    Worker(archive).run(once=True)
    let_time_pass(archive, 8 * 24 * 3600)
    Worker(archive).run(once=True)
    assert (archive.route("near")["waiting"], archive.route("near")["failed"]) == (0, 2)
    errors[0] = None
    routed = archive.run_routes()
    assert (routed["sent"], routed["resent"]) == (0, 2)
    Worker(archive).run(once=True)
    assert len(set(drafted)) == 2
    assert archive.route("near")["failed"] == 0
    assert archive.run_routes()["resent"] == 0


def test_what_failed_because_of_its_generator_is_sent_again_by_itself(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    errors: list[Exception | None] = [NO_KEY]
    drafted = failing(monkeypatch, lambda: errors[0])
    archive.put_route("near", RULE)
    archive.run_routes()
    tried = []
    for hours in (0.0, 0.5, 0.6, 1.0, 1.2):
        as_if_decided_and_failed_earlier(archive, hours)
        Worker(archive).run(once=True)
        tried.append(len(archive.index.jobs.listed()))
    # Two studies: at first, an hour after that, and when twice the time has gone by.
    assert tried == [2, 2, 4, 4, 6]
    assert (archive.route("near")["failed"], drafted) == (2, [])

    for error, hours in ((NOT_OF_THE_GENERATOR, 24.0), (NO_KEY, 200.0)):
        errors[0] = error
        ordered = len(archive.index.jobs.listed())
        assert archive.run_routes()["resent"] == 2
        Worker(archive).run(once=True)
        as_if_decided_and_failed_earlier(archive, hours)
        Worker(archive).run(once=True)
        assert len(archive.index.jobs.listed()) == ordered + 2


def as_if_decided_and_failed_earlier(archive: Archive, hours: float) -> None:
    """As if everything that was decided and ended lay so many hours further back."""
    earlier = timedelta(hours=hours)
    with archive.index._database.write_service_tables() as connection:
        for table, key, column in (
            (route_decisions, route_decisions.c.study_id, route_decisions.c.decided_at),
            (jobs, jobs.c.id, jobs.c.finished_at),
        ):
            rows = connection.execute(select(key, column).where(column.is_not(None))).all()
            for row_key, moment in rows:
                connection.execute(update(table).where(key == row_key).values({column: moment - earlier}))


def test_a_draft_that_a_person_ordered_fails_as_before(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing(monkeypatch, lambda: DOWN)
    monkeypatch.setattr("medsiglip.api.errors.LONGEST_WAIT_S", 0.0)
    job = archive.index.jobs.submit("report", {"study_instance_uid": "1.2.3"})
    Worker(archive).run(once=True)
    now = archive.index.jobs.get(job.id)
    assert (now.status, now.attempts) == ("failed", MAX_ATTEMPTS)


def test_what_waited_is_drafted_when_a_server_answers(archive: Archive) -> None:
    archive.put_route("near", RULE)
    archive.run_routes()
    Worker(archive).run(once=True)
    shown = archive.route("near")
    assert [one["code"] for one in shown["waiting_drafts"]] == ["generator-down"] * 2
    assert archive.reports()["reports"] == []
    with Scripted() as server:  # another one, at another address
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        (archive.home / "generators.toml").write_text(
            f'[near]\nurl = "http://127.0.0.1:{server.server_port}/v1"\nmodel = "scripted"\n',
            encoding="utf-8",
        )
        let_time_pass(archive, 24 * 3600)
        Worker(archive).run(once=True)
        server.shutdown()
        thread.join()
    drafts = archive.reports()["reports"]
    assert len({one["study_instance_uid"] for one in drafts}) == len(drafts) == 2
    assert archive.route("near")["waiting"] == 0


def test_what_failed_is_shown_over_http_and_on_the_command_line(
    archive: Archive, own_home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing(monkeypatch, lambda: NO_KEY)
    archive.put_route("near", RULE)
    archive.run_routes()
    Worker(archive).run(once=True)
    key = archive.index.api_keys.create("admin", ["admin"])[1]
    with TestClient(create_app(Settings(home=own_home.path))) as client:
        client.headers["Authorization"] = f"Bearer {key}"
        listed = client.get("/v1/routes").json()["routes"]
        assert [(one["name"], one["failed"], one["waiting"]) for one in listed] == [("near", 2, 0)]
        [first, second] = client.get("/v1/routes/near").json()["failed_drafts"]
        assert first["study_instance_uid"] != second["study_instance_uid"]
        assert (first["status"], first["code"]) == ("failed", "generator-key")
        warned = client.put("/v1/routes/later", json={"modality": ["NM"]}).json()["warnings"]
        assert len(warned) == 1
        refused = client.put("/v1/routes/later", json={"findings": ["probe:nothing"]})
        assert (refused.status_code, refused.json()["code"]) == (422, "bad-route")
        assert client.post("/v1/routes/near/run").json()["resent"] == 2
        assert client.delete("/v1/routes/near").status_code == 200
    assert {job.status for job in archive.index.jobs.listed()} == {"failed", "cancelled"}
    answer = run("--home", own_home.path, "--json", "route", "list").json
    assert [one["name"] for one in answer["routes"]] == ["later"]
    archive.put_route("near", {**RULE, "total": 4})
    archive.run_routes()
    Worker(archive).run(once=True)
    shown = run("--home", own_home.path, "route", "show", "near")
    assert "give it one" in shown.out.replace("\n", " ")
    sent_again = run("--home", own_home.path, "route", "run", "near")
    assert "failed ones sent again" in sent_again.out
