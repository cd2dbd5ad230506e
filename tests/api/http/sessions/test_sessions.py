"""A browser's session: how it begins, what its cookie opens, for whom, and when it ends."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from medsiglip.api.http.app import create_app
from medsiglip.api.http.auth import KEY_SECONDS, Gate
from medsiglip.api.http.sessions.session_gate import SessionGate
from medsiglip.api.settings import Settings
from tests.clocks import Clock

LOCAL = "http://127.0.0.1:8000"
REMOTE = "https://archive.example"
OWN = {"Sec-Fetch-Site": "same-origin"}


class Browser:
    """A client that keeps cookies, of a service whose clock the test sets."""

    def __init__(self, app: FastAPI, http: TestClient, clock: Clock) -> None:
        self.app = app
        self.http = http
        self.clock = clock
        self.index = app.state.server.archive.index
        self.key, self.shown = self.index.api_keys.create("anna", ["read", "report"])

    def sign_in(self, shown: str | None = None, **headers: str) -> Any:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.http.post("/v1/session", json={"key": shown or self.shown}, headers={**OWN, **sent})

    def code(self, method: str = "GET", path: str = "/v1/session", **headers: str) -> str:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        answer = self.http.request(method, path, headers=sent)
        return "ok" if answer.is_success else str(answer.json()["code"])

    @property
    def cookies(self) -> dict[str, str]:
        return dict(self.http.cookies)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("sessions") / "home"


@pytest.fixture(scope="module")
def app(home: Path) -> Iterator[FastAPI]:
    app = create_app(Settings(home=home, cors_origins="https://viewer.example", session_seconds=3600))
    with TestClient(app, base_url=LOCAL):
        yield app


@pytest.fixture
def browser(app: FastAPI) -> Browser:
    clock, archive = Clock(1000.0), app.state.server.archive
    app.state.gate = Gate(archive.index.api_keys, app.state.server.settings, clock=clock)
    app.state.sessions = SessionGate(archive.index.sessions, clock=clock)
    return Browser(app, TestClient(app, base_url=LOCAL), clock)


def attributes(answer: Any) -> tuple[str, Any]:
    """The name of the cookie that is set, and its attributes."""
    parsed = SimpleCookie(answer.headers["set-cookie"])
    [(name, morsel)] = parsed.items()
    return name, morsel


def test_a_browser_signs_in_and_out(browser: Browser) -> None:
    assert browser.code() == "no-key"
    begun = browser.sign_in()
    assert begun.status_code == 200
    assert begun.json() == {
        "key_id": browser.key.id,
        "name": "anna",
        "scopes": ["read", "report"],
        "expires_at": begun.json()["expires_at"],
        "open": False,
    }
    left = datetime.fromisoformat(begun.json()["expires_at"]) - datetime.now(UTC)
    assert timedelta(minutes=59) < left <= timedelta(hours=1)
    assert browser.http.get("/v1/session").json() == begun.json()
    assert browser.code(path="/v1/studies") == "ok"
    assert browser.code("POST", "/v1/labels/none") != "no-key"
    token = browser.cookies["medsiglip_session"]
    gone = browser.http.delete("/v1/session", headers=OWN)
    assert (gone.status_code, gone.content, browser.cookies) == (204, b"", {})
    assert browser.code() == "no-key"
    assert browser.code(Cookie=f"medsiglip_session={token}") == "session-ended"
    actions = [one.event.action for one in browser.index.audit.newest(limit=3)]
    assert actions == ["sign-out", "list", "sign-in"]


def test_a_session_can_do_what_its_key_can(browser: Browser) -> None:
    browser.sign_in()
    assert browser.code(path="/v1/keys") == "missing-scope"
    assert browser.code("POST", "/dicom-web/studies", Content_Type="application/dicom") == "missing-scope"
    [event] = browser.index.audit.newest(limit=1)
    assert event.event.actor == browser.key.id
    # A header says who asks, also a wrong one: the cookie then counts for nothing.
    assert browser.code(path="/v1/studies", Authorization="Bearer wrong") == "wrong-key"
    assert browser.code(path="/v1/studies", Authorization="Basic x") == "no-key"
    assert browser.code(path="/metrics") == "no-key"


def test_the_cookie_is_kept_from_scripts_and_other_sites(browser: Browser) -> None:
    name, local = attributes(browser.sign_in())
    assert (name, local["httponly"], local["samesite"], local["path"]) == (
        "medsiglip_session",
        True,
        "strict",
        "/",
    )
    assert (local["secure"], local["domain"], local["max-age"]) == ("", "", "3599")


@pytest.mark.parametrize(
    ("url", "headers"),
    [
        (REMOTE, {}),
        ("http://archive.example", {"X-Forwarded-Proto": "https"}),
        ("http://archive.example", {"Origin": "https://archive.example"}),
        ("https://localhost", {}),
    ],
)
def test_beyond_this_machine_the_cookie_needs_tls(
    browser: Browser, url: str, headers: dict[str, str]
) -> None:
    http = TestClient(browser.app, base_url=url)
    begun = http.post("/v1/session", json={"key": browser.shown}, headers={**OWN, **headers})
    name, cookie = attributes(begun)
    assert (name, cookie["secure"], cookie["path"]) == ("__Host-medsiglip_session", True, "/")
    assert not cookie["domain"]
    sent = {"Cookie": f"{name}={cookie.value}", **headers}
    assert http.get("/v1/studies", headers=sent).status_code == 200
    # A host of the same domain can set the name without the prefix.
    tossed = TestClient(browser.app, base_url=REMOTE)
    answer = tossed.get("/v1/studies", headers={"Cookie": f"medsiglip_session={cookie.value}"})
    assert answer.json()["code"] == "no-key"


def test_a_key_goes_over_no_open_line(browser: Browser) -> None:
    http = TestClient(browser.app, base_url="http://archive.example")
    answer = http.post("/v1/session", json={"key": browser.shown}, headers=OWN)
    assert (answer.status_code, answer.json()["code"]) == (403, "insecure-sign-in")
    assert "set-cookie" not in answer.headers


CROSS = [
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Origin": "https://evil.example"},
    {"Origin": "http://127.0.0.1:9999"},
    {"Origin": "null"},
    {"Sec-Fetch-Site": "cross-site", "Origin": "https://viewer.example"},
]


@pytest.mark.parametrize("headers", CROSS, ids=str)
def test_pages_of_other_sites_get_nothing_by_the_cookie(browser: Browser, headers: dict[str, str]) -> None:
    browser.sign_in()
    for method, path in (
        *(("GET", "/v1/session"), ("HEAD", "/v1/session"), ("DELETE", "/v1/session")),
        *(("GET", "/v1/studies"), ("POST", "/v1/search"), ("PUT", "/v1/views/a")),
        *(("POST", "/dicom-web/studies"), ("POST", "/v1/session")),
    ):
        answer = browser.http.request(method, path, headers=headers, json=None if method == "GET" else {})
        assert answer.status_code in (403, 422), path
        assert method == "HEAD" or answer.status_code == 422 or answer.json()["code"] == "cross-site"
    assert browser.code() == "ok"
    # With a key, nothing has changed for them.
    keyed = {**headers, "Authorization": f"Bearer {browser.shown}"}
    assert browser.http.get("/v1/studies", headers=keyed).status_code == 200


@pytest.mark.parametrize("headers", CROSS, ids=str)
def test_no_other_page_signs_a_browser_in(browser: Browser, headers: dict[str, str]) -> None:
    answer = browser.http.post("/v1/session", json={"key": browser.shown}, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (403, "cross-site")
    assert "set-cookie" not in answer.headers


def test_own_pages_and_programs_are_answered(browser: Browser) -> None:
    browser.sign_in()
    for headers in (OWN, {"Sec-Fetch-Site": "none"}, {"Origin": LOCAL}, {}):
        assert browser.http.get("/v1/studies", headers=headers).status_code == 200
        assert browser.http.put("/v1/views/a", json={"page": "cases"}, headers=headers).status_code == 200


def test_a_session_ends_with_its_key(browser: Browser) -> None:
    browser.sign_in()
    assert browser.code() == "ok"
    browser.index.api_keys.revoke(browser.key.id)
    browser.clock.now += KEY_SECONDS - 0.1
    assert browser.code() == "ok"
    browser.clock.now += 0.1
    assert browser.code() == "session-ended"
    short, shown = browser.index.api_keys.create(
        "short", ["read"], expires_at=datetime.now(UTC) + timedelta(seconds=90)
    )
    begun = browser.sign_in(shown).json()
    assert (begun["key_id"], datetime.fromisoformat(begun["expires_at"])) == (short.id, short.expires_at)


def test_a_session_ends_in_time_also_while_it_is_cached(
    browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    end = datetime.fromisoformat(browser.sign_in().json()["expires_at"])

    class Later(datetime):
        @classmethod
        def now(cls, tz: object = None) -> datetime:  # type: ignore[override]
            return end

    assert browser.code() == "ok"
    monkeypatch.setattr("medsiglip.api.http.sessions.session_gate.datetime", Later)
    monkeypatch.setattr("medsiglip.index.service.sessions.datetime", Later)
    assert browser.code() == "session-ended"


def test_a_known_session_costs_no_query(browser: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    browser.sign_in()
    assert browser.code() == "ok"
    monkeypatch.setattr(type(browser.index.sessions), "find", None)
    assert [browser.code() for _ in range(3)] == ["ok"] * 3
    unknown = {"Cookie": "medsiglip_session=" + "a" * 43}
    monkeypatch.undo()
    assert browser.code(**unknown) == "session-ended"
    monkeypatch.setattr(type(browser.index.sessions), "find", None)
    assert browser.code(**unknown) == "session-ended"
    assert browser.code(Cookie="medsiglip_session=short") == "no-key"


def test_a_new_session_ends_the_former_of_the_browser(browser: Browser) -> None:
    browser.sign_in()
    first = browser.cookies["medsiglip_session"]
    browser.sign_in()
    assert browser.cookies["medsiglip_session"] != first
    assert browser.code(Cookie=f"medsiglip_session={first}") == "session-ended"


def test_wrong_keys_are_counted(browser: Browser) -> None:
    codes = [browser.sign_in(f"msk_{n:012x}_{'0' * 64}").json()["code"] for n in range(22)]
    assert codes == ["wrong-key"] * 20 + ["rate-limited"] * 2
    assert browser.sign_in("msk_" + "0" * 12 + "_" + "0" * 64).headers["retry-after"]


def test_made_up_sessions_are_counted_apart_from_keys(browser: Browser) -> None:
    codes = {browser.code(Cookie=f"medsiglip_session={n:043}") for n in range(200)}
    assert codes == {"session-ended"}
    assert browser.code(Cookie=f"medsiglip_session={1000:043}") == "rate-limited"
    assert browser.code(Cookie=f"medsiglip_session={7:043}") == "session-ended"
    assert browser.sign_in().status_code == 200


def test_requests_by_the_cookie_count_for_the_key(browser: Browser) -> None:
    browser.sign_in()
    browser.app.state.gate.limit(Settings(rate_limit=1, rate_burst=2))
    assert [browser.code() for _ in range(3)] == ["ok", "ok", "rate-limited"]
    assert browser.code(Authorization=f"Bearer {browser.shown}") == "rate-limited"


def test_only_a_small_body_is_read_of_a_stranger(browser: Browser) -> None:
    large = browser.http.post("/v1/session", content=b"{" + b" " * 5000 + b"}", headers=OWN)
    assert (large.status_code, large.json()["code"]) == (413, "body-too-large")
    endless = browser.http.post("/v1/session", content=iter([b"{", b"}"]), headers=OWN)
    assert (endless.status_code, endless.json()["code"]) == (413, "body-too-large")
    for body in ({}, {"key": ""}, {"key": "a" * 601}, {"key": 3}, {"key": "a", "name": "b"}):
        refused = browser.http.post("/v1/session", json=body, headers=OWN)
        assert (refused.status_code, refused.json()["code"]) == (422, "bad-request")
    assert browser.http.post("/v1/session?key=a", json={"key": browser.shown}).status_code == 422


def test_keys_and_tokens_are_in_no_log_answer_or_file(
    browser: Browser, home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        answer = browser.sign_in()
        browser.http.post("/v1/session", json={"key": browser.shown, "x": 1}, headers=OWN)
        browser.http.get("/v1/studies")
    token, secret = browser.cookies["medsiglip_session"], browser.shown.rsplit("_", 1)[1]
    logged = caplog.text + json.dumps([repr(vars(one)) for one in caplog.records], default=str)
    stored = b"".join(path.read_bytes() for path in home.rglob("*") if path.is_file())
    for hidden in (token, secret):
        assert hidden not in logged
        assert hidden not in answer.text
        assert hidden.encode() not in stored


def test_while_there_is_no_key_everybody_here_is_signed_in(tmp_path: Path) -> None:
    app = create_app(Settings(home=tmp_path / "home"))
    with TestClient(app, base_url=LOCAL) as http:
        expected = {
            "key_id": "anonymous",
            "name": "anonymous",
            "scopes": ["read", "write", "train", "report", "admin"],
            "expires_at": None,
            "open": True,
        }
        assert http.get("/v1/session").json() == expected
        begun = http.post("/v1/session", json={"key": "anything"})
        assert (begun.status_code, begun.json()) == (200, expected)
        assert "set-cookie" not in begun.headers
        stale = {"Cookie": "medsiglip_session=" + "a" * 43}
        assert http.get("/v1/studies", headers=stale).status_code == 200
        elsewhere = http.post("/v1/session", json={"key": "a"}, headers={"Host": "archive.example"})
        assert elsewhere.json()["code"] == "foreign-host"
