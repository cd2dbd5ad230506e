"""The middleware, tested through requests."""

from __future__ import annotations

import asyncio
import io
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI, Request
from fastapi.testclient import TestClient
from starlette.types import Message

from medsiglip.api.archive.keys import take_bootstrap_key
from medsiglip.api.http.app import create_app
from medsiglip.api.http.request_log import configure_logging
from medsiglip.api.settings import Settings

SECRET = "0123456789abcdef" * 4
OWN = {"Authorization": f"Bearer {SECRET}"}
LOOPBACK = "http://127.0.0.1:8000"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / "home", max_json_bytes=2000, cors_origins="https://viewer.example")


@pytest.fixture
def app(settings: Settings) -> FastAPI:
    app = create_app(settings)

    @app.post("/v1/echo")
    async def echo(request: Request) -> int:
        return len(await request.body())

    @app.get("/v1/fails/{uid}")
    def fails(uid: str) -> None:
        raise ValueError(f"Doe^Jane of {uid}")

    return app


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """The log of the server; logging is restored afterwards."""
    root = logging.getLogger()
    former = root.handlers, root.level
    stream = io.StringIO()
    configure_logging("json", stream)
    yield stream
    root.handlers, root.level = former
    for name in ("medsiglip", "uvicorn"):
        logging.getLogger(name).setLevel(logging.NOTSET)
    logging.getLogger("uvicorn.access").disabled = False


@pytest.fixture
def client(app: FastAPI) -> Iterator[TestClient]:
    with TestClient(app, base_url=LOOPBACK) as client:
        yield client


@pytest.fixture
def keyed(client: TestClient, app: FastAPI, tmp_path: Path) -> TestClient:
    """The same application with an API key."""
    (tmp_path / "key").write_text(SECRET)
    take_bootstrap_key(app.state.server.archive.index, tmp_path / "key")
    return client


def lines(log: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log.getvalue().splitlines()]


def test_every_response_has_the_security_headers(client: TestClient) -> None:
    for path in ("/healthz", "/v1/jobs", "/v1/nothing", "/nothing", "/openapi.json", "/v1/fails/1"):
        headers = client.get(path).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] == "no-store"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"
        assert headers["cross-origin-resource-policy"] == "same-origin"
    docs = client.get("/docs").headers["content-security-policy"]
    assert "frame-ancestors 'none'" in docs
    assert "default-src 'none'" in docs


@pytest.mark.parametrize(
    ("sent", "is_taken"),
    [("abc-123.X_9", True), ("a" * 64, True), ("a" * 65, False), ("a b", False), ('"}', False), ("", False)],
)
def test_request_ids(client: TestClient, sent: str, is_taken: bool) -> None:
    answer = client.get("/v1/nothing", headers={"X-Request-ID": sent})
    found = answer.headers["x-request-id"]
    assert (found == sent) is is_taken
    assert len(found) > 0
    assert answer.json()["request_id"] == found


def test_ids_differ(client: TestClient) -> None:
    assert len({client.get("/healthz").headers["x-request-id"] for _ in range(5)}) == 5


def test_without_a_key_no_body_is_read(keyed: TestClient, app: FastAPI) -> None:
    sent: list[Message] = []

    async def receive() -> Message:
        raise AssertionError("the body was asked for")

    async def send(message: Message) -> None:
        sent.append(message)

    headers = [(b"host", b"127.0.0.1"), (b"content-length", b"5000")]
    scope = {"type": "http", "method": "POST", "path": "/v1/echo", "query_string": b"", "headers": headers}
    asyncio.run(app({**scope, "client": ("127.0.0.1", 5000)}, receive, send))
    assert sent[0]["status"] == 401
    assert keyed.post("/v1/echo", content=b"x" * 300, headers=OWN).json() == 300


def test_protected_paths_need_a_key_whether_they_exist_or_not(keyed: TestClient) -> None:
    for path in ("/v1/jobs", "/v1/nothing", "/v1", "/dicom-web/studies"):
        assert keyed.get(path).status_code == 401, path
    assert keyed.get(f"{LOOPBACK}//v1/jobs").status_code == 404


@pytest.mark.parametrize("chunked", [False, True])
def test_bodies_other_than_uploads_have_a_limit(client: TestClient, chunked: bool) -> None:
    def content(size: int) -> Any:
        return iter([b"x" * (size // 2), b"x" * (size - size // 2)]) if chunked else b"x" * size

    assert client.post("/v1/echo", content=content(2000)).json() == 2000
    refused = client.post("/v1/echo", content=content(2001))
    assert (refused.status_code, refused.json()["code"]) == (413, "body-too-large")
    form = {"Content-Type": "multipart/form-data; boundary=x"}  # to a route that takes no upload
    refused = client.post("/v1/echo", content=content(2001), headers=form)
    assert (refused.status_code, refused.json()["code"]) == (413, "body-too-large")


def test_the_log_has_one_line_for_a_request_without_its_path(keyed: TestClient, log: io.StringIO) -> None:
    keyed.get("/v1/jobs/1.2.840.99?Doe=Jane", headers={**OWN, "X-Request-ID": "r-1"})
    (line,) = lines(log)
    assert line["route"] == "/v1/jobs/{job_id}"
    assert (line["method"], line["status"], line["request_id"]) == ("GET", 422, "r-1")
    assert line["ms"] >= 0
    assert len(line["key_id"]) == 12
    assert "1.2.840.99" not in log.getvalue()
    assert "Doe" not in log.getvalue()
    assert SECRET not in log.getvalue()


def test_the_log_has_only_type_and_place_of_a_defect(client: TestClient, log: io.StringIO) -> None:
    answer = client.get("/v1/fails/1.2.3", headers={"X-Request-ID": "r-2"})
    assert (answer.status_code, answer.json()["code"]) == (500, "unexpected")
    assert answer.headers["content-type"] == "application/problem+json"
    reason, line = lines(log)
    assert reason["error"].startswith("ValueError (")
    assert "in fails" in reason["error"]
    assert reason["request_id"] == line["request_id"] == "r-2"
    assert line["status"] == 500
    for output in (log.getvalue(), answer.text):
        assert "Doe" not in output
        assert "1.2.3" not in output


def test_a_text_record_is_one_line(client: TestClient, log: io.StringIO) -> None:
    configure_logging("text", log)
    client.get("/healthz")
    logging.getLogger("medsiglip").warning("two\nlines")
    client.get("/v1/fails/1.2.3")
    written = log.getvalue().splitlines()
    assert len(written) == 4
    assert "route=/healthz status=200" in written[0]
    assert "two\\nlines" in written[1]


def test_origins_of_the_settings_are_allowed(client: TestClient) -> None:
    preflight = {"Origin": "https://viewer.example", "Access-Control-Request-Method": "POST"}
    allowed = client.options(
        "/v1/echo", headers={**preflight, "Access-Control-Request-Headers": "authorization"}
    )
    assert allowed.status_code == 200
    assert allowed.headers["access-control-allow-origin"] == "https://viewer.example"
    other = client.options("/v1/echo", headers={**preflight, "Origin": "https://evil.example"})
    assert (other.status_code, other.json()["code"]) == (403, "cross-site")
    assert "access-control-allow-origin" not in other.headers
    assert client.post("/v1/echo", content=b"x", headers={"Origin": "https://viewer.example"}).json() == 1


class TestWithoutOrigins:
    @pytest.fixture
    def settings(self, tmp_path: Path) -> Settings:
        return Settings(home=tmp_path / "home")

    def test_by_default_no_origin_is_allowed(self, client: TestClient) -> None:
        answer = client.get("/v1/jobs", headers={"Origin": "https://viewer.example"})
        assert not [name for name in answer.headers if name.startswith("access-control")]
        preflight = {"Origin": "https://viewer.example", "Access-Control-Request-Method": "POST"}
        refused = client.options("/v1/echo", headers=preflight)
        assert (refused.status_code, refused.json()["code"]) == (403, "cross-site")
        assert not [name for name in refused.headers if name.startswith("access-control")]
