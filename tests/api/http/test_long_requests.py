"""Long filters, heads and ranges are answered or refused at once and do not block other requests."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from medsiglip.api.http.multipart import Parts, Received
from medsiglip.api.http.routes.docs import router
from medsiglip.api.settings import Settings
from tests.api.conftest import Home
from tests.api.live_service import LiveService
from tests.linear_work import check_growth, refusal

pytestmark = pytest.mark.long

BLANKS = " " * 4000
MANY = 2000


@pytest.mark.parametrize("words", [("study", "list"), ("search", "--text", "x")])
@pytest.mark.parametrize("text", [BLANKS, "=" * 4000, "label:" + "a" * 4000, "a" * 4000])
def test_the_command_line_refuses_a_long_invalid_filter(
    home: Home, words: tuple[str, ...], text: str
) -> None:
    ran = home.run(*words, "--where", text)
    assert (ran.code, ran.error["code"]) == (1, "bad-filter")
    assert len(ran.error["message"]) < 1000


def test_the_service_refuses_it_and_answers_other_requests_meanwhile(service: LiveService) -> None:
    with service.http("read") as http, ThreadPoolExecutor(12) as threads:
        listed = [threads.submit(http.get, "/v1/studies", params={"where": BLANKS}) for _ in range(4)]
        question = {"text": "x", "where": [BLANKS]}
        searched = [threads.submit(http.post, "/v1/search", json=question) for _ in range(4)]
        alive = [threads.submit(httpx.get, f"{service.url}/healthz", timeout=60) for _ in range(4)]
        refused = [one.result() for one in (*listed, *searched)]
        assert [one.result().status_code for one in alive] == [200] * 4
    assert {(one.status_code, one.json()["code"]) for one in refused} == {(422, "bad-filter")}


def test_thousands_of_alternatives_are_answered(home: Home, service: LiveService) -> None:
    with service.http("read") as http:
        studies = http.get("/v1/studies").json()["studies"]
        wanted = {one["study_instance_uid"] for one in studies[::2]}
        uids = [*wanted, *(f"1.2.{number}" for number in range(MANY - len(wanted)))]
        question = {
            "text": "x",
            "k": 1000,
            "level": "study",
            "where": [f"study_instance_uid={'|'.join(uids)}"],
        }
        found = http.post("/v1/search", json=question)
        assert found.status_code == 200, found.text
        assert {one["study_instance_uid"] for one in found.json()["hits"]} == wanted

        numbers = "|".join(map(str, range(100_000, 100_000 + MANY)))
        rest = http.get("/v1/studies", params={"where": f"image_id!={numbers}"})
        assert rest.json()["total"] == len(studies)
    shown = home.run("study", "list", "--where", f"study_instance_uid={'|'.join(uids)}").json["studies"]
    assert {one["study_instance_uid"] for one in shown} == wanted


LONG = 60_000
HEADERS: dict[str, tuple[str, str, str]] = {
    "authorization": ("GET", "/v1/studies", "Bearer" + " " * LONG + "x y"),
    "a key": ("GET", "/v1/studies", "Bearer " + "x" * LONG),
    "x-request-id": ("GET", "/v1/studies", "a" * LONG + "!"),
    "idempotency-key": ("POST", "/v1/ingest", "k" * LONG + " k"),
    "last-event-id": ("GET", "/v1/jobs/" + "0" * 32 + "/events", "9" * LONG),
    "range": ("GET", "/docs/swagger-ui.css", "bytes=" + "0-0," * (LONG // 4) + "x"),
    "range of digits": ("GET", "/docs/swagger-ui.css", "bytes=" + "1" * LONG),
    "if-range": ("GET", "/docs/swagger-ui.css", "W/" + '"' * LONG),
    "content-type": ("POST", "/v1/search", "multipart/form-data" + ";" * LONG),
    "content-type in quotes": ("POST", "/v1/search", 'multipart/form-data; boundary="' + ";" * LONG),
    "boundary": ("POST", "/v1/search", "multipart/form-data; boundary=" + "-" * LONG),
    "accept": ("POST", "/dicom-web/studies", "a/b;" * (LONG // 4)),
    "cookie": ("GET", "/v1/studies", "a=" + '"\\' * (LONG // 2)),
    "host": ("GET", "/v1/studies", "[" * LONG),
    "origin": ("POST", "/v1/search", "https://" + ":" * LONG),
}


@pytest.mark.parametrize("name", HEADERS)
def test_the_service_survives_long_headers(service: LiveService, name: str) -> None:
    method, path, value = HEADERS[name]
    header = {"a key": "authorization"}.get(name, name.split(" ")[0].replace("boundary", "content-type"))
    with service.http("admin") as http:
        answer = http.request(
            method, path, headers={header: value}, content=b"{}" if method == "POST" else b""
        )
        assert answer.status_code < 500, answer.text[:500]
        assert len(answer.content) < 1 << 21
        assert http.get("/healthz").status_code == 200


BODIES: dict[str, tuple[str, str, str]] = {
    "data URI": ("POST", "/v1/embeddings", '{"input": [{"image": "data:' + ";" * LONG + '"}]}'),
    "base64": ("POST", "/v1/embeddings", '{"input": [{"image": "data:;base64,' + "=" * LONG + '"}]}'),
    "percent signs": ("POST", "/v1/embeddings", '{"input": [{"image": "data:,' + "%" * LONG + '"}]}'),
    "labels": ("POST", "/v1/classify", '{"labels": ["' + "-" * LONG + '"]}'),
    "many labels": ("POST", "/v1/classify", '{"labels": [' + '"a",' * LONG + '"a"]}'),
    "brackets": ("PUT", "/v1/routes/a", '{"where": ' + "[" * LONG + "]" * LONG + "}"),
    "field of a rule": ("PUT", "/v1/routes/a", '{"' + "a" * LONG + '": 1}'),
    "filter of a rule": ("PUT", "/v1/routes/a", '{"where": ["' + " " * LONG + '"]}'),
    "filters of a rule": ("PUT", "/v1/routes/a", '{"where": [' + '"modality=CT",' * 5000 + '"frame=1"]}'),
    "label of a rule": ("PUT", "/v1/routes/a", '{"labels": ["' + "=" * LONG + '"]}'),
    "name of a rule": ("PUT", "/v1/routes/" + "." * LONG, "{}"),
    "half a character": ("PUT", "/v1/routes/a", '{"generator": "\\ud800"}'),
    "uid": ("POST", "/v1/search", '{"study_instance_uid": "' + "1." * LONG + '"}'),
}


@pytest.mark.parametrize("name", BODIES)
def test_the_service_survives_long_bodies(service: LiveService, name: str) -> None:
    method, path, body = BODIES[name]
    with service.http("admin") as http:
        answer = http.request(method, path, headers={"content-type": "application/json"}, content=body)
        assert 400 <= answer.status_code < 500, answer.text[:500]
        assert len(answer.content) < 1 << 16
        assert http.get("/healthz").status_code == 200


@pytest.mark.parametrize(
    ("first", "again"),
    [
        ("bytes=", "0-0,"),
        ("bytes=0-0,", "2-2,"),
        ("bytes=", "-"),
        ("bytes=", "1"),
        ("bytes=", " "),
        ("bytes=", ","),
        ("bytes=0-", "9"),
        ("", "="),
    ],
)
def test_parsing_a_range_takes_linear_time(first: str, again: str) -> None:
    app = FastAPI()
    app.include_router(router)

    async def ask(value: str) -> int:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            return (await client.get("/docs/favicon.png", headers={"range": value})).status_code

    check_growth(
        lambda size: first + again * size,
        lambda value: asyncio.run(ask(value)),
        (2500 // len(again), 60_000 // len(again)),
    )


PARTS: dict[str, Callable[[int], bytes]] = {
    "long header": lambda size: b"--b\r\nContent-Disposition: " + b"a" * size,
    "header without end": lambda size: b"--b\r\n" + b"a" * size,
    "many headers": lambda size: b"--b\r\n" + b"a: b\r\n" * size,
    "disposition": lambda size: b"--b\r\nContent-Disposition: form-data" + b";" * size + b"\r\n\r\n",
    "disposition in quotes": lambda size: (
        b'--b\r\nContent-Disposition: form-data; name="' + b";" * size + b"\r\n\r\n"
    ),
    "escapes": lambda size: b'--b\r\nContent-Disposition: form-data; name="' + b'\\"' * size + b'"\r\n\r\n',
    "preamble": lambda size: b"\r\n" * size + b"--b\r\n",
    "dashes": lambda size: b"-" * size,
    "boundaries": lambda size: b"--b\r\n" * size,
    "nearly boundaries": lambda size: (
        b'--b\r\nContent-Disposition: form-data; name="a"\r\n\r\n' + b"\r\n--" * size
    ),
    "fields": lambda size: b'--b\r\nContent-Disposition: form-data; name="a"\r\n\r\nx\r\n' * size,
    "names of files": lambda size: (
        b'--b\r\nContent-Disposition: form-data; name="file"; filename="'
        + b"." * min(size, 4000)
        + b'"\r\n\r\n'
    ),
}


@pytest.mark.parametrize("pieces", [1, 7, 100_000])
@pytest.mark.parametrize("kind", PARTS)
def test_parsing_a_form_takes_linear_time(tmp_path: Path, kind: str, pieces: int) -> None:
    settings = Settings(home=tmp_path)

    def read(body: bytes) -> None:
        folder = tmp_path / f"{len(list(tmp_path.iterdir()))}"
        folder.mkdir()
        parts = Parts(Received(folder), b"b", ("file",), settings)
        try:
            for start in range(0, len(body), pieces):
                parts.write(body[start : start + pieces])
            parts.finish()
        finally:
            parts.close()

    check_growth(PARTS[kind], read, (50, 100, 200, 400))


def test_the_head_of_a_part_is_refused_before_it_fills_the_memory(tmp_path: Path) -> None:
    parts = Parts(Received(tmp_path), b"b", ("file",), Settings(home=tmp_path))
    parts.write(b"--b\r\nContent-Disposition: form-data; ")

    def write() -> None:
        for _ in range(100):
            parts.write(b"a" * 1000)

    error: Any = refusal(write)
    assert error is not None
    assert error.code == "bad-multipart"
