"""HEAD, entity tags, conditions, ranges and compression, as RFC 9110 defines them."""

from __future__ import annotations

import asyncio
import gzip
import io
import json
import socket
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI, Response
from fastapi.responses import StreamingResponse
from fastapi.testclient import TestClient
from PIL import Image

from medsiglip.api.http.app import create_app
from medsiglip.api.http.messages.answers import accepts_gzip
from medsiglip.api.settings import Settings
from tests.api.conftest import Phantoms
from tests.api.live_service import LiveService

CONTENT = bytes(range(256)) * 8
TEXT = json.dumps([{"number": number} for number in range(500)])


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    app: FastAPI = create_app(Settings(home=tmp_path_factory.mktemp("forms") / "home"))

    @app.get("/bytes")
    def content() -> Response:
        return Response(CONTENT, media_type="image/png", headers={"Content-Disposition": "attachment"})

    @app.get("/text")
    def text() -> Response:
        return Response(TEXT, media_type="application/json")

    @app.get("/events")
    async def events() -> StreamingResponse:
        async def endless() -> AsyncIterator[str]:
            while True:
                yield "data: 1\n\n"
                await asyncio.sleep(0.01)

        return StreamingResponse(endless(), media_type="text/event-stream")

    @app.post("/posted")
    def posted() -> Response:
        return Response(TEXT, media_type="application/json")

    with TestClient(app, base_url="http://127.0.0.1") as made:
        yield made


def get(client: TestClient, path: str, **headers: str) -> Any:
    """An answer that the test's client has not unpacked, to a request without its usual headers."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    sent = client.build_request("GET", path, headers={"Accept-Encoding": "identity", **named})
    return client.send(sent)


@pytest.mark.parametrize(
    "path",
    ["/app/", "/docs", "/docs/swagger-ui.css", "/openapi.json", "/healthz", "/v1/info", "/v1/jobs", "/bytes"],
)
def test_head_is_get_without_content(client: TestClient, path: str) -> None:
    shown, head = get(client, path), client.head(path, headers={"Accept-Encoding": "identity"})
    assert (head.status_code, head.content) == (200, b"")
    ignored = {"x-request-id"}
    assert {k: v for k, v in head.headers.items() if k not in ignored} == {
        k: v for k, v in shown.headers.items() if k not in ignored
    }
    assert int(head.headers["content-length"]) == len(shown.content)


def test_head_knows_no_ranges(client: TestClient) -> None:
    whole = client.head("/bytes", headers={"Accept-Encoding": "identity", "Range": "bytes=0-9"})
    assert (whole.status_code, int(whole.headers["content-length"])) == (200, len(CONTENT))


def test_head_where_there_is_nothing_to_get(client: TestClient) -> None:
    assert client.head("/nothing").status_code == 404
    refused = client.head("/v1/search")
    assert (refused.status_code, refused.headers["allow"]) == (405, "POST")
    assert client.post("/v1/info").headers["allow"] == "GET, HEAD"
    assert client.head("/events").headers["content-type"].startswith("text/event-stream")


def test_a_tag_names_the_bytes(client: TestClient) -> None:
    first, again, other = (get(client, path) for path in ("/bytes", "/bytes", "/text"))
    assert first.headers["etag"] == again.headers["etag"] != other.headers["etag"]
    assert first.headers["etag"].startswith('"')
    assert "etag" not in client.post("/posted").headers
    assert "etag" not in client.get("/v1/nothing").headers


@pytest.mark.parametrize("path", ["/bytes", "/text", "/docs/swagger-ui.css", "/openapi.json"])
def test_conditions(client: TestClient, path: str) -> None:
    shown = get(client, path)
    tag = shown.headers["etag"]
    for field in (tag, f"W/{tag}", f'"x", {tag}', "*"):
        unchanged = get(client, path, if_none_match=field)
        assert (unchanged.status_code, unchanged.content) == (304, b"")
        assert unchanged.headers["etag"] == tag
        assert not {"content-length", "content-type", "content-disposition"} & unchanged.headers.keys()
        assert unchanged.headers["cache-control"] == shown.headers["cache-control"]
        assert client.head(path, headers={"If-None-Match": field}).status_code == 304
    assert get(client, path, if_none_match='"x"').content == shown.content
    assert get(client, path, if_match=tag).content == shown.content
    assert get(client, path, if_match="*").content == shown.content
    failed = get(client, path, if_match='"x"')
    assert (failed.status_code, failed.json()["code"]) == (412, "precondition-failed")
    assert get(client, path, if_none_match=tag, range="bytes=0-3").status_code == 304


RANGES = {
    "bytes=0-0": slice(0, 1),
    "bytes=10-19": slice(10, 20),
    "bytes=2000-": slice(2000, None),
    "bytes=-5": slice(-5, None),
    "bytes=-99999": slice(0, None),
    "bytes=2040-99999": slice(2040, None),
    "BYTES=1-2": slice(1, 3),
}


@pytest.mark.parametrize(("field", "wanted"), RANGES.items(), ids=list(RANGES))
def test_ranges(client: TestClient, field: str, wanted: slice) -> None:
    part = get(client, "/bytes", range=field)
    first, last = wanted.indices(len(CONTENT))[:2]
    assert part.status_code == 206
    assert part.content == CONTENT[wanted]
    assert part.headers["content-range"] == f"bytes {first}-{last - 1}/{len(CONTENT)}"
    assert int(part.headers["content-length"]) == last - first
    assert part.headers["accept-ranges"] == "bytes"


@pytest.mark.parametrize("field", ["bytes=2048-", "bytes=9999-10000", "bytes=-0"])
def test_a_range_beyond_the_end(client: TestClient, field: str) -> None:
    refused = get(client, "/bytes", range=field)
    assert (refused.status_code, refused.json()["code"]) == (416, "range-not-satisfiable")
    assert refused.headers["content-range"] == f"bytes */{len(CONTENT)}"


@pytest.mark.parametrize("field", ["bytes=5-1", "bytes=-", "lines=1-2", "bytes=1-2,4-5", "bytes=a-b", "x"])
def test_a_range_that_cannot_be_given_is_ignored(client: TestClient, field: str) -> None:
    whole = get(client, "/bytes", range=field)
    assert (whole.status_code, whole.content) == (200, CONTENT)


def test_a_range_of_what_has_not_changed(client: TestClient) -> None:
    tag = get(client, "/bytes").headers["etag"]
    assert get(client, "/bytes", range="bytes=1-2", if_range=tag).status_code == 206
    for other in ('"x"', f"W/{tag}", "Sun, 29 Nov 2026 10:00:00 GMT"):
        assert get(client, "/bytes", range="bytes=1-2", if_range=other).content == CONTENT


def test_texts_are_compressed_for_who_accepts_it(client: TestClient) -> None:
    with client.stream("GET", "/text", headers={"Accept-Encoding": "br, gzip;q=0.5"}) as packed:
        raw = b"".join(packed.iter_raw())
    assert packed.headers["content-encoding"] == "gzip"
    assert gzip.decompress(raw).decode() == TEXT
    assert int(packed.headers["content-length"]) == len(raw) < len(TEXT) / 3
    assert "accept-encoding" in packed.headers["vary"].lower()
    plain = get(client, "/text")
    assert packed.headers["etag"] == f"W/{plain.headers['etag']}"
    assert plain.headers["vary"].lower() == "accept-encoding"
    unchanged = get(client, "/text", if_none_match=packed.headers["etag"], accept_encoding="gzip")
    assert unchanged.status_code == 304
    assert get(client, "/text", range="bytes=0-1", accept_encoding="gzip").content == TEXT.encode()[:2]
    head = client.head("/text", headers={"Accept-Encoding": "gzip"})
    assert head.headers["content-length"] == packed.headers["content-length"]


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("/bytes", {}),
        ("/healthz", {}),
        ("/text", {"Accept-Encoding": "identity"}),
        ("/text", {"Accept-Encoding": "gzip;q=0, *"}),
        ("/text", {"Cookie": "session=1"}),
        ("/v1/studies?" + "&".join(f"x{number}=1" for number in range(100)), {}),
    ],
)
def test_what_is_not_compressed(client: TestClient, path: str, headers: dict[str, str]) -> None:
    answer = client.get(path, headers={"Accept-Encoding": "gzip", **headers})
    assert "content-encoding" not in answer.headers


@pytest.mark.parametrize(
    ("field", "accepted"),
    [
        *[
            (one, True)
            for one in ("gzip", "GZIP", "x-gzip", "*", "br,gzip;q=0.1", "gzip ; q=1", "gzip;q=0.001")
        ],
        *[(one, False) for one in ("", "br", "gzip;q=0", "gzip;q=0.000", "*;q=0", "gzip;q=0,*", "gzipped")],
    ],
)
def test_who_accepts_gzip(field: str, accepted: bool) -> None:
    assert accepts_gzip(field) is accepted


@pytest.mark.long
def test_previews_and_reports_in_parts(service: LiveService, phantoms: Phantoms, tmp_path: Path) -> None:
    study = phantoms.with_label("pleural-effusion")[0]
    with service.client() as asking:
        draft = asking.wait(asking.draft(study)).result["id"]
        [image] = asking.study(study).images
    with service.http() as http:
        for path in (
            f"/v1/images/{image.image_id}/preview?size=128",
            f"/v1/reports/{draft}/export?format=markdown",
        ):
            whole = http.get(path)
            tag = whole.headers["etag"].removeprefix("W/")
            size = len(whole.content)
            parts = [
                http.get(path, headers={"Range": field, "If-Range": tag})
                for field in (f"bytes=0-{size // 2 - 1}", f"bytes={size // 2}-")
            ]
            assert [part.status_code for part in parts] == [206, 206]
            assert b"".join(part.content for part in parts) == whole.content
            assert http.get(path, headers={"If-None-Match": tag}).status_code == 304
            head = http.head(path, headers={"Accept-Encoding": "identity"})
            assert (head.status_code, int(head.headers["content-length"])) == (200, size)
        preview = http.get(f"/v1/images/{image.image_id}/preview?size=128").content
        assert Image.open(io.BytesIO(preview)).format == "PNG"
        lines = http.get("/v1/audit", params={"limit": 10})
        assert lines.headers["content-encoding"] == "gzip"
        assert len(lines.text.splitlines()) == 10
        assert http.head("/v1/audit").status_code == 200


def test_head_ends_where_events_would_go_on(service: LiveService, phantoms: Phantoms) -> None:
    """On a real connection, which the next request uses."""
    with service.client() as asking:
        job = asking.wait(asking.draft(phantoms.with_label("pleural-effusion")[1]))
    host, port = service.url.removeprefix("http://").split(":")
    asked = f"HEAD /v1/jobs/{job.id}/events HTTP/1.1\r\nHost: {host}\r\n"
    asked += f"Authorization: Bearer {service.keys['admin']}\r\n"
    with socket.create_connection((host, int(port)), timeout=60) as connection:
        connection.sendall(f"{asked}\r\n{asked}Connection: close\r\n\r\n".encode())
        received = b""
        while more := connection.recv(65536):
            received += more
    heads: Any = received.split(b"\r\n\r\n")
    assert [head[:12] for head in heads] == [b"HTTP/1.1 200", b"HTTP/1.1 200", b""]
    assert b"data:" not in received
