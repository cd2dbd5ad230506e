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
    assert service.ask("admin", "?status=done").json() == {"jobs": [], "cursor": None}
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
        time.sleep(2.0)  # until all of them have asked
        for done in (1, 2):
            time.sleep(1.2)
            service.queue.beat(claimed, done=done, total=2, stage="embedding")
        time.sleep(1.2)
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


def test_jobs_are_listed_in_pages_by_status_and_kind(service: Service) -> None:
    made = [service.submit("one", number=number).id for number in range(5)]
    service.queue.submit("probe", {}, key_id=service.keys["one"][0])
    service.submit("two")
    service.ask("one", f"/{made[0]}", "DELETE")
    whole = [one["id"] for one in service.ask("one", "?kind=ingest").json()["jobs"]]
    assert sorted(whole) == sorted(made)
    paged: list[str] = []
    cursor = ""
    while cursor is not None:
        page = service.ask("one", f"?kind=ingest&limit=2{cursor}").json()
        assert len(page["jobs"]) <= 2
        paged += [one["id"] for one in page["jobs"]]
        service.submit("one")  # comes before the first page, and shifts none
        cursor = page["cursor"] and f"&cursor={page['cursor']}"
    assert paged == whole
    cancelled = service.ask("one", "?kind=ingest&status=cancelled").json()["jobs"]
    assert [one["id"] for one in cancelled] == [made[0]]
    assert [one["kind"] for one in service.ask("one", "?kind=probe").json()["jobs"]] == ["probe"]
    odd = service.ask("one", "?cursor=abc")
    assert (odd.status_code, odd.json()["code"]) == (422, "bad-cursor")


def test_a_job_that_failed_is_started_again_once(service: Service) -> None:
    job = service.submit("one", paths=["/data"], metadata=None, received=None)
    claimed = service.queue.claim("w", ["ingest"])
    assert claimed is not None
    early = service.ask("one", f"/{job.id}/retry", "POST")
    assert (early.status_code, early.json()["code"]) == (409, "not-retryable")
    service.queue.fail(claimed, {"code": "no-such-path", "message": "There is nothing."})
    again = service.ask("one", f"/{job.id}/retry", "POST")
    assert (again.status_code, again.json()["status"]) == (202, "queued")
    assert again.headers["location"] == f"/v1/jobs/{again.json()['id']}"
    assert again.json()["id"] != job.id
    stored = service.queue.get(again.json()["id"])
    assert (stored.kind, stored.parameters, stored.key_id) == ("ingest", job.parameters, job.key_id)
    for who in ("one", "admin"):
        assert service.ask(who, f"/{job.id}/retry", "POST").json()["id"] == stored.id
    assert service.ask("two", f"/{job.id}/retry", "POST").status_code == 404
    event = next(iter(service.index.audit.events())).event
    assert (event.action, event.details) == ("ingest", {"retry_of": job.id})


def test_what_cannot_be_started_again_says_so(service: Service) -> None:
    sent = service.submit("one", paths=["/x/7"], received="/x/7")
    routed = service.queue.submit("report", {"study_instance_uid": "1.2", "route": "chest"})
    unknown = service.queue.submit("odd", {}, key_id=service.keys["one"][0])
    cases = {"one": [sent.id, unknown.id], "admin": [routed.id]}
    for who, ids in cases.items():
        for job_id in ids:
            service.queue.cancel(job_id)
            answer = service.ask(who, f"/{job_id}/retry", "POST")
            assert (answer.status_code, answer.json()["code"]) == (409, "not-retryable")
    others = service.queue.submit("ingest", {"paths": ["/data"]}, key_id=service.keys["two"][0])
    service.queue.cancel(others.id)
    answer = service.ask("two", f"/{others.id}/retry", "POST")
    assert (answer.status_code, answer.json()["code"]) == (403, "missing-scope")
