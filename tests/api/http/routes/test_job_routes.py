"""Jobs over HTTP: who sees which, cancellation, and progress as events."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from medsiglip.api.http.app import create_app
from medsiglip.api.settings import Settings
from medsiglip.index.case_index import CaseIndex
from medsiglip.index.service.jobs import Job, JobQueue


@dataclass
class Service:
    """A running application with an admin and two readers."""

    client: TestClient
    index: CaseIndex
    keys: dict[str, tuple[str, str]]

    @property
    def queue(self) -> JobQueue:
        return self.index.jobs

    def ask(self, who: str, path: str, method: str = "GET", **headers: str) -> Any:
        given = {"Authorization": f"Bearer {self.keys[who][1]}", **headers}
        return self.client.request(method, f"/v1/jobs{path}", headers=given)

    def submit(self, who: str, **parameters: Any) -> Job:
        return self.queue.submit("ingest", parameters, key_id=self.keys[who][0])


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    with TestClient(create_app(Settings(home=tmp_path / "home"))) as client:
        index = client.app.state.server.archive.index  # type: ignore[attr-defined]
        keys = {}
        for name, scopes in {"admin": ["admin"], "one": ["read", "write"], "two": ["read"]}.items():
            made, shown = index.api_keys.create(name, scopes)
            keys[name] = made.id, shown
        yield Service(client, index, keys)


def events(text: str) -> list[tuple[str, int, dict[str, Any]]]:
    """Name, id and data of each event of a stream; comments are left out."""
    found = []
    for block in text.strip().split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":"))
        if fields:
            found.append((fields["event"], int(fields["id"]), json.loads(fields["data"])))
    return found


def test_a_caller_sees_the_jobs_of_its_own_key_and_an_admin_all(service: Service) -> None:
    mine, others = service.submit("one"), service.submit("two")
    assert service.ask("one", f"/{mine.id}").json()["id"] == mine.id
    assert service.ask("admin", f"/{mine.id}").json()["status"] == "queued"
    for path, method in [
        (f"/{others.id}", "GET"),
        (f"/{others.id}", "DELETE"),
        (f"/{others.id}/events", "GET"),
    ]:
        answer = service.ask("one", path, method)
        assert (answer.status_code, answer.json()["code"]) == (404, "unknown-job")
    assert service.queue.get(others.id).status == "queued"
    assert [job["id"] for job in service.ask("one", "").json()["jobs"]] == [mine.id]
    assert {job["id"] for job in service.ask("admin", "").json()["jobs"]} == {mine.id, others.id}
    assert service.ask("admin", "?status=done").json() == {"jobs": []}
    for odd in ("nothing", "%00", "f" * 32, mine.id.upper()):
        assert service.ask("admin", f"/{odd}").status_code == 404


def test_only_admins_see_paths_and_senders_see_names_of_their_files(service: Service) -> None:
    skipped = [
        {"path": "/srv/received/7/a/b.dcm", "code": "x"},
        {"path": "/srv/elsewhere/c.dcm", "code": "y"},
    ]
    job = service.submit("one", received="/srv/received/7")
    claimed = service.queue.claim("w", ["ingest"])
    assert claimed is not None
    service.queue.finish(claimed, {"files": 2, "skipped": skipped})
    for_admin = service.ask("admin", f"/{job.id}").json()["result"]["skipped"]
    assert for_admin == [{"path": "a/b.dcm", "code": "x"}, skipped[1]]
    shown = service.ask("one", f"/{job.id}").json()["result"]
    assert shown == {"files": 2, "skipped": [{"path": "a/b.dcm", "code": "x"}, {"code": "y"}]}
    [(_, _, news)] = events(service.ask("one", f"/{job.id}/events").text)
    assert news["result"] == shown


def test_a_waiting_job_is_cancelled_at_once_and_a_running_one_when_it_stops(service: Service) -> None:
    waiting = service.submit("one")
    assert service.ask("one", f"/{waiting.id}", "DELETE").json()["status"] == "cancelled"
    running = service.submit("one")
    claimed = service.queue.claim("w", ["ingest"])
    assert claimed is not None
    assert service.ask("one", f"/{running.id}", "DELETE").json()["status"] == "running"
    assert service.queue.beat(claimed) == "cancel"


def test_every_follower_gets_events_until_the_job_has_ended(service: Service) -> None:
    job = service.submit("one")

    def work() -> None:
        claimed = service.queue.claim("w", ["ingest"])
        assert claimed is not None
        for done in (1, 2):
            time.sleep(0.8)
            service.queue.beat(claimed, done=done, total=2, stage="embedding")
        time.sleep(0.8)
        service.queue.finish(claimed, {"images": 2})

    texts: list[str] = []
    followers = [
        threading.Thread(target=lambda: texts.append(service.ask("one", f"/{job.id}/events").text))
        for _ in range(3)
    ]
    worker = threading.Thread(target=work)
    for thread in (*followers, worker):
        thread.start()
    for thread in (*followers, worker):
        thread.join(30)
    assert len(texts) == 3
    for text in texts:
        news = events(text)
        assert [name for name, _, _ in news][:-1] == ["progress"] * (len(news) - 1)
        name, last, final = news[-1]
        assert (name, final["result"], final["status"]) == ("done", {"images": 2}, "done")
        assert last == service.queue.get(job.id).change
        changes = [change for _, change, _ in news]
        assert changes == sorted(set(changes))
        assert {one["progress"]["done"] for _, _, one in news} >= {0, 1, 2}
    seen = service.ask("one", f"/{job.id}/events", **{"Last-Event-ID": str(last - 1)})
    assert [name for name, _, _ in events(seen.text)] == ["done"]
    assert service.ask("one", f"/{job.id}/events", **{"Last-Event-ID": str(last)}).status_code == 204
    assert len(events(service.ask("one", f"/{job.id}/events", **{"Last-Event-ID": "odd"}).text)) == 1


def test_streams_end_with_the_server(service: Service) -> None:
    job = service.submit("one")
    texts: list[str] = []
    follower = threading.Thread(target=lambda: texts.append(service.ask("one", f"/{job.id}/events").text))
    follower.start()
    state: Any = service.client.app.state  # type: ignore[attr-defined]
    while not getattr(state, "job_followers", None):
        time.sleep(0.02)
    time.sleep(0.2)
    portal = service.client.portal
    assert portal is not None
    portal.call(state.job_followers.close)
    follower.join(10)
    assert [name for name, _, _ in events(texts[0])] == ["progress"]
    assert state.job_followers._followed == {}
