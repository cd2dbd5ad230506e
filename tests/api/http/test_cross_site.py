"""Requests that browsers send for pages of other sites, to every path, with and without API keys."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from starlette.types import Message

from medsiglip.api.http.app import create_app
from medsiglip.api.http.cross_site import is_page
from medsiglip.api.settings import Settings

OWN = "http://127.0.0.1:8000"
EVIL = "https://evil.example"
VIEWER = "https://viewer.example"
METHODS = ("GET", "HEAD", "OPTIONS", "POST", "PUT", "DELETE", "PATCH")


@dataclass(frozen=True)
class Sent:
    """The requests of one kind of sender, and the paths on which they are answered."""

    what: str
    answered: Literal["everywhere", "nowhere", "pages"]
    methods: tuple[str, ...] = ("GET",)
    headers: dict[str, str] = field(default_factory=dict)


def sent_by_browser(
    what: str,
    answered: Literal["everywhere", "nowhere", "pages"],
    fetch: str,
    methods: tuple[str, ...] = ("GET",),
    **headers: Any,
) -> Sent:
    """`fetch` holds Sec-Fetch-Site, -Mode and -Dest, as Chromium 150 sends them."""
    names = ("Sec-Fetch-Site", "Sec-Fetch-Mode", "Sec-Fetch-Dest")
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    return Sent(what, answered, methods, {**dict(zip(names, fetch.split(), strict=True)), **given})


CLICK: dict[str, Any] = {"Sec_Fetch_User": "?1", "Upgrade_Insecure_Requests": "1"}
FORM: dict[str, Any] = {"Content_Type": "application/x-www-form-urlencoded"}
ASKS: dict[str, Any] = {"Access_Control_Request_Method": "POST"}
SENDERS = (
    sent_by_browser("<img>", "nowhere", "cross-site no-cors image"),
    sent_by_browser("<img> of another port", "nowhere", "same-site no-cors image"),
    sent_by_browser("<script>", "nowhere", "cross-site no-cors script"),
    sent_by_browser("<link rel=stylesheet>", "nowhere", "cross-site no-cors style"),
    sent_by_browser("fetch no-cors", "nowhere", "cross-site no-cors empty", ("GET", "HEAD")),
    sent_by_browser("fetch no-cors POST", "nowhere", "cross-site no-cors empty", ("POST",), Origin=EVIL),
    sent_by_browser("fetch cors", "nowhere", "cross-site cors empty", METHODS, Origin=EVIL),
    sent_by_browser("fetch of a sandbox", "nowhere", "cross-site cors empty", METHODS, Origin="null"),
    sent_by_browser(
        "fetch of another port", "nowhere", "same-site cors empty", METHODS, Origin="http://127.0.0.1:9999"
    ),
    sent_by_browser("preflight", "nowhere", "cross-site cors empty", ("OPTIONS",), Origin=EVIL, **ASKS),
    sent_by_browser("form GET", "pages", "cross-site navigate document", **CLICK),
    sent_by_browser(
        "form POST", "nowhere", "cross-site navigate document", ("POST",), Origin=EVIL, **FORM, **CLICK
    ),
    sent_by_browser("<iframe>", "nowhere", "cross-site navigate iframe", Upgrade_Insecure_Requests="1"),
    sent_by_browser("<object>", "nowhere", "cross-site navigate object"),
    sent_by_browser("link", "pages", "cross-site navigate document", **CLICK),
    sent_by_browser("link of another port", "pages", "same-site navigate document", **CLICK),
    sent_by_browser("script that opens a window", "pages", "cross-site navigate document"),
    sent_by_browser("typed address", "everywhere", "none navigate document", **CLICK),
    sent_by_browser("link of an own page", "everywhere", "same-origin navigate document", **CLICK),
    sent_by_browser("fetch GET of /docs", "everywhere", "same-origin cors empty", ("GET", "HEAD")),
    sent_by_browser("fetch of /docs", "everywhere", "same-origin cors empty", METHODS, Origin=OWN),
    sent_by_browser(
        "form of an own page", "everywhere", "same-origin navigate document", ("POST",), Origin="null"
    ),
    Sent("an old browser's fetch", "nowhere", METHODS, {"Origin": EVIL}),
    Sent("an old browser's form", "nowhere", ("POST",), {"Origin": "null"}),
    Sent("an old browser's fetch of another port", "nowhere", METHODS, {"Origin": "http://127.0.0.1:9999"}),
    Sent("an old browser's fetch of /docs", "everywhere", METHODS, {"Origin": OWN}),
    Sent("curl", "everywhere", METHODS, {"User-Agent": "curl/8.5.0", "Accept": "*/*"}),
    Sent(
        "a health check", "everywhere", ("GET",), {"User-Agent": "Python-urllib/3.11", "Connection": "close"}
    ),
    Sent("Prometheus", "everywhere", ("GET",), {"Accept": "text/plain;version=1.0.0,*/*;q=0.1"}),
)


@dataclass(frozen=True)
class Service:
    """An application on an empty archive, with all its paths; `{name}` of a path is filled."""

    app: FastAPI
    client: TestClient
    paths: tuple[str, ...]

    def code(self, method: str, path: str, headers: dict[str, str]) -> str:
        answer = self.client.request(method, path, headers=headers)
        if answer.status_code != 403:
            return str(answer.status_code)
        return "cross-site" if method == "HEAD" else str(answer.json()["code"])


def every_route(routes: Iterable[Any]) -> Iterator[Any]:
    for route in routes:
        inner = getattr(route, "original_router", None)
        yield from [route] if inner is None else every_route(inner.routes)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    app = create_app(Settings(home=tmp_path_factory.mktemp("cross-site") / "home"))
    found = {re.sub(r"\{[^}]+\}", "0", route.path) for route in every_route(app.routes)}
    assert len(found) > 25
    paths = (
        *sorted(found),
        "/docs/",
        "/docs/swagger-ui.css",
        "/app/",
        "/app/cases/1.2.3",
        "/app/built/none.js",
        "/app/built/",
        "/v1",
        "/nothing",
        "/favicon.ico",
        f"{OWN}//docs",
    )
    with TestClient(app, base_url=OWN, raise_server_exceptions=False, follow_redirects=False) as client:
        yield Service(app, client, paths)


@pytest.mark.long(every=4)
@pytest.mark.parametrize("sent", SENDERS, ids=lambda sent: sent.what)
def test_which_senders_are_answered_on_which_paths(service: Service, sent: Sent) -> None:
    for path in service.paths:
        for method in sent.methods:
            is_answered = sent.answered == "everywhere" or (sent.answered == "pages" and is_page(path))
            code = service.code(method, path, sent.headers)
            assert (code != "cross-site") == is_answered, (method, path, code)
            if is_answered and path in ("/docs", "/healthz") and method == "GET":
                assert code == "200"


def test_pages_answer_with_html(service: Service) -> None:
    kinds = {path: service.client.get(path).headers.get("content-type", "") for path in service.paths}
    shown = {path for path, kind in kinds.items() if kind.startswith("text/html")}
    leading = {path for path in service.paths if service.client.get(path).status_code == 302}
    assert leading == {"/", "/app", "/ohif"}
    assert shown | leading == {path for path in service.paths if is_page(path)}


def test_a_refusal_is_a_problem_with_its_cure(service: Service) -> None:
    answer = service.client.get("/v1/studies", headers={"Sec-Fetch-Site": "cross-site"})
    assert (answer.status_code, answer.headers["content-type"]) == (403, "application/problem+json")
    assert "medsiglip keys create" in answer.json()["detail"]
    assert answer.headers["cross-origin-resource-policy"] == "same-origin"
    assert answer.headers["x-request-id"] == answer.json()["request_id"]


def test_the_body_of_a_cross_site_request_is_not_read(service: Service) -> None:
    sent: list[Message] = []

    async def receive() -> Message:
        raise AssertionError("the body was asked for")

    async def send(message: Message) -> None:
        sent.append(message)

    headers = [(b"host", b"127.0.0.1:8000"), (b"content-length", b"5000"), (b"sec-fetch-site", b"cross-site")]
    scope = {"type": "http", "method": "POST", "path": "/v1/ingest", "query_string": b"", "headers": headers}
    asyncio.run(service.app({**scope, "client": ("127.0.0.1", 5000)}, receive, send))
    assert sent[0]["status"] == 403


def test_a_health_check_costs_no_query(tmp_path: Path) -> None:
    never_started = TestClient(create_app(Settings(home=tmp_path / "home")), base_url=OWN)
    assert never_started.get("/healthz").json() == {"status": "ok"}
    assert not (tmp_path / "home").exists()


def test_an_origin_of_the_settings_is_answered(tmp_path: Path) -> None:
    app = create_app(Settings(home=tmp_path / "home", cors_origins=VIEWER))
    fetch = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "cors", "Sec-Fetch-Dest": "empty"}
    with TestClient(app, base_url=OWN) as client:
        for method, path in (("GET", "/v1/studies"), ("POST", "/v1/search"), ("GET", "/healthz")):
            preflight_headers = {"Access-Control-Request-Method": method}
            preflight = client.options(path, headers={**fetch, **preflight_headers, "Origin": VIEWER})
            assert preflight.status_code == 200
            assert preflight.headers["access-control-allow-origin"] == VIEWER
            answer = client.request(method, path, headers={**fetch, "Origin": VIEWER})
            assert answer.status_code != 403
            assert answer.headers["access-control-allow-origin"] == VIEWER
            for origin in (EVIL, VIEWER + ".evil.example", "http://viewer.example", "null"):
                for headers in ({**fetch, **preflight_headers}, fetch):
                    how = "OPTIONS" if preflight_headers.items() <= headers.items() else method
                    refused = client.request(how, path, headers={**headers, "Origin": origin})
                    assert (refused.status_code, refused.json()["code"]) == (403, "cross-site")
        picture = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"}
        assert client.get("/v1/studies", headers=picture).status_code == 403


def test_once_there_is_a_key_cross_site_requests_need_it(tmp_path: Path) -> None:
    app = create_app(Settings(home=tmp_path / "home"))
    with TestClient(app, base_url=OWN) as client:
        _, key = app.state.server.archive.index.api_keys.create("one", ["read"])
        for sent in SENDERS:
            if "GET" in sent.methods:
                assert client.get("/v1/studies", headers=sent.headers).status_code == 401
                shown = {**sent.headers, "Authorization": f"Bearer {key}"}
                assert client.get("/v1/studies", headers=shown).status_code == 200
                assert client.get("/healthz", headers=sent.headers).status_code == 200
