"""What a strict home answers of a PACS to each scope, and how many questions are asked at once."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from medsiglip.api.errors import ServiceError
from medsiglip.api.http.app import create_app
from medsiglip.api.http.routes.pacs.bodies import PullOrder
from medsiglip.api.http.routes.pacs.turns import Turns
from medsiglip.api.settings import Settings
from medsiglip.ingest.pacs import opening
from medsiglip.ingest.privacy.deidentify import bound_key
from tests.api.archive.pacs.stub_pacs import PERSON, URL, StubPacs


@dataclass(frozen=True)
class Strict:
    """A service on a strict home, with a key of each scope."""

    client: TestClient
    keys: dict[str, str]

    def asked(self, scope: str, method: str, path: str, key: str = "", **given: Any) -> Any:
        headers = {"Authorization": f"Bearer {self.keys[scope]}"} | ({"Idempotency-Key": key} if key else {})
        answer = self.client.request(method, path, headers=headers, **given)
        assert answer.is_success, answer.text
        return answer.json()


@pytest.fixture
def strict(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Strict]:
    made = StubPacs([PERSON])
    monkeypatch.setattr(opening, "open_client", lambda _connection, _spend=None: made)
    app = create_app(Settings(home=tmp_path / "home"))
    with TestClient(app, base_url="http://127.0.0.1:8000") as client:
        archive = app.state.server.archive
        bound_key(archive.index, "strict")
        archive.add_pacs("main", url=URL)
        scopes = {"write": ["read", "write"], "admin": ["admin"]}
        keys = {name: archive.index.api_keys.create(name, given)[1] for name, given in scopes.items()}
        yield Strict(client, keys)


def test_a_strict_home_tells_what_a_pacs_calls_a_study_to_admins_alone(strict: Strict) -> None:
    key = bound_key(strict.client.app.state.server.archive.index)  # type: ignore[attr-defined]
    own = key.uid(PERSON.study_instance_uid)
    found = {
        scope: strict.asked(scope, "POST", "/v1/pacs/main/find", json={"patient_id": "4711"})["studies"][0]
        for scope in ("write", "admin")
    }
    names = ("study_instance_uid", "patient_key", "study_date")
    assert [found["write"][name] for name in names] == [None, None, None]
    expected = [PERSON.study_instance_uid, key.patient_key("KH", "4711"), None]
    assert [found["admin"][name] for name in names] == expected
    order = {"patient_id": "4711"}
    job = strict.asked("write", "POST", "/v1/pacs/main/pull", "once", json=order)
    assert job["kind"] == "pacs-pull"
    assert strict.asked("write", "POST", "/v1/pacs/main/pull", "once", json=order)["id"] == job["id"]
    sent = PullOrder(patient_id="4711").model_dump(mode="json")
    plain = b"POST /v1/pacs/main/pull\n" + json.dumps(sent, sort_keys=True).encode()
    listed = {
        scope: strict.asked(scope, "GET", "/v1/pacs/main/studies")["studies"][0]["study_instance_uid"]
        for scope in ("write", "admin")
    }
    assert listed == {"write": own, "admin": PERSON.study_instance_uid}
    queue = strict.client.app.state.server.archive.index.jobs  # type: ignore[attr-defined]
    parameters = dict(queue.get(job["id"]).parameters)
    assert {name: parameters[name] for name in ("connection", "study_instance_uids")} == {
        "connection": "main",
        "study_instance_uids": [own],
    }
    assert "4711" not in str(parameters)
    assert sha256(plain).hexdigest() != parameters["request_digest"]
    events = strict.asked("admin", "GET", "/v1/audit/events")["events"]
    assert PERSON.study_instance_uid not in str(events)
    assert "4711" not in str(events)


def test_so_many_questions_are_asked_at_once() -> None:
    turns = Turns(1)
    with turns.taken(), pytest.raises(ServiceError) as refused, turns.taken():
        pass
    assert (refused.value.code, refused.value.retry_after) == ("too-busy", 5.0)
    with turns.taken():
        pass
