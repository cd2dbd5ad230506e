"""Bodies that are no uploads: their pace, and the memory that many of them hold together."""

from __future__ import annotations

import asyncio
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI, Request
from fastapi.testclient import TestClient
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from medsiglip.api.http.app import create_app
from medsiglip.api.http.messages.body_limit import HELD_BYTES, BodyLimit, Memory
from medsiglip.api.settings import Settings
from tests.api.live_service import LiveService

MIB = 1 << 20
SENDERS = 30


def settings(home: Path, **values: Any) -> Settings:
    home.mkdir(exist_ok=True)
    return Settings(home=home, min_free_bytes=0, **values)


def scope(size: int, content_type: str = "application/json") -> Scope:
    headers = [(b"content-length", str(size).encode()), (b"content-type", content_type.encode())]
    return {"type": "http", "method": "POST", "path": "/v1/x", "headers": headers, "state": {}}


def body_limit(route: ASGIApp, of: Settings) -> BodyLimit:
    return BodyLimit(route, lambda: of, of.max_json_bytes)


class Sender:
    """Sends a body in pieces of 256 KiB, and the last piece when it is told to."""

    def __init__(self, size: int) -> None:
        self.left = size
        self.waits = asyncio.Event()
        self.goes_on = asyncio.Event()

    async def __call__(self) -> Message:
        await asyncio.sleep(0)
        piece = min(self.left, 256 << 10)
        if piece == self.left:
            self.waits.set()
            await self.goes_on.wait()
        self.left -= piece
        return {"type": "http.request", "body": bytes(piece), "more_body": self.left > 0}


async def ignore(_: Message) -> None:
    """The answer goes nowhere."""


def test_thirty_slow_senders_hold_little_memory_while_they_send(tmp_path: Path) -> None:
    """Each has sent all but the last piece of 4 MiB: 112 MiB, of which memory holds almost nothing."""
    sizes: list[int] = []

    async def route(scope: Scope, receive: Receive, send: Send) -> None:
        sizes.append(len((await receive())["body"]))

    async def all_at_once() -> tuple[int, int]:
        app = body_limit(route, settings(tmp_path / "home"))
        senders = [Sender(4 * MIB) for _ in range(SENDERS)]
        tracemalloc.start()
        before = tracemalloc.get_traced_memory()[0]
        running = [asyncio.create_task(app(scope(4 * MIB), sender, ignore)) for sender in senders]
        for sender in senders:
            await sender.waits.wait()
        held = tracemalloc.get_traced_memory()[0] - before
        files = len(list((tmp_path / "home").iterdir()))
        tracemalloc.stop()
        for sender in senders:
            sender.goes_on.set()
        await asyncio.gather(*running)
        return held, files

    held, files = asyncio.run(all_at_once())
    assert held < SENDERS * 2 * HELD_BYTES, f"{held} bytes are held"
    assert files == 0, "what is spooled has no name"
    assert sizes == [4 * MIB] * SENDERS


def test_whole_bodies_share_the_memory_of_four_of_the_largest(tmp_path: Path) -> None:
    at_once, most, served = 0, 0, 0
    forever: asyncio.Event

    async def route(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal at_once, most, served
        body = (await receive())["body"]
        at_once += len(body)
        most = max(most, at_once)
        for _ in range(20):
            await asyncio.sleep(0)
        at_once -= len(body)
        served += 1
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await forever.wait()  # a client that does not read the answer keeps nobody waiting

    async def all_at_once() -> None:
        nonlocal forever
        forever = asyncio.Event()
        app = body_limit(route, settings(tmp_path / "home", max_json_bytes=MIB))
        running = []
        for _ in range(SENDERS):
            sender = Sender(MIB)
            sender.goes_on.set()
            running.append(asyncio.create_task(app(scope(MIB), sender, ignore)))
        while served < SENDERS:
            await asyncio.sleep(0.01)
        forever.set()
        await asyncio.gather(*running)

    asyncio.run(all_at_once())
    assert most == 4 * MIB


def test_memory_is_given_in_order() -> None:
    order: list[int] = []

    async def take(memory: Memory, size: int) -> None:
        await memory.take(size)
        order.append(size)

    async def several() -> None:
        memory = Memory(10)
        await memory.take(8)
        waiting = [asyncio.create_task(take(memory, size)) for size in (9, 1, 2)]
        await asyncio.sleep(0)
        assert order == []
        memory.give_back(8)
        await asyncio.wait_for(waiting[0], 60)
        await asyncio.wait_for(waiting[1], 60)
        memory.give_back(9)
        await asyncio.gather(*waiting)

    asyncio.run(several())
    assert order == [9, 1, 2]


@pytest.fixture
def hasty(tmp_path: Path) -> Iterator[FastAPI]:
    """An application that waits a fifth of a second for the next bytes."""
    app = create_app(settings(tmp_path / "home", upload_pause_seconds=0.2, max_json_bytes=MIB))

    @app.post("/v1/echo")
    async def echo(request: Request) -> int:
        return len(await request.body())

    with TestClient(app, base_url="http://127.0.0.1"):
        yield app


def ask(app: FastAPI, path: str, receive: Receive, content_type: str = "application/json") -> list[Message]:
    """The messages of the answer."""
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    asked = scope(MIB, content_type)
    asked.update({"path": path, "query_string": b"", "client": ("127.0.0.1", 5000)})
    asked["headers"].append((b"host", b"127.0.0.1"))
    asyncio.run(app(asked, receive, send))
    return sent


@pytest.mark.long(every=5)
@pytest.mark.parametrize("path", ["/v1/echo", "/v1/search", "/v1/embeddings", "/v1/reports", "/v1/labels"])
@pytest.mark.parametrize("content_type", ["application/json", "text/plain", "multipart/form-data"])
@pytest.mark.parametrize("trickles", [False, True])
def test_a_body_that_stands_still_or_trickles_is_refused(
    hasty: FastAPI, path: str, content_type: str, trickles: bool
) -> None:
    """The rest never comes: old code would wait for ever. A route that takes uploads refuses another way."""

    async def receive() -> Message:
        await asyncio.sleep(0.05 if trickles else 3600)
        return {"type": "http.request", "body": b"x", "more_body": True}

    start, body = ask(hasty, path, receive, content_type)
    refusal = (start["status"], body["body"])
    if content_type == "application/json" or path in ("/v1/echo", "/v1/embeddings", "/v1/reports"):
        assert start["status"] == 408
        assert b'"code":"body-too-slow"' in body["body"]
        assert (b"connection", b"close") in start["headers"]
    else:
        assert refusal[0] == 415, refusal


def test_routes_without_a_body_read_none(hasty: FastAPI) -> None:
    async def receive() -> Message:
        raise AssertionError("the body was asked for")

    for path, status in (("/healthz", 405), ("/nothing", 404), ("/v1/nothing", 404), ("/v1/info", 405)):
        start, _ = ask(hasty, path, receive)
        assert start["status"] == status, path


def test_a_client_that_goes_away_ends_its_request(hasty: FastAPI) -> None:
    async def receive() -> Message:
        return {"type": "http.disconnect"}

    for path in ("/v1/embeddings", "/v1/search"):
        start, body = ask(hasty, path, receive)
        assert start["status"] == 400
        assert b'"code":"body-incomplete"' in body["body"]


def test_a_body_beyond_what_memory_holds_arrives_whole(service: LiveService) -> None:
    """The service refuses the last of its rows, which it has therefore read."""
    row = {"study_instance_uid": "1.2.3", "label": "a finding " * 20, "value": 1}
    with service.http("write") as http:
        refused = http.post("/v1/labels", json={"rows": [row] * 1000 + [{**row, "value": 2}]})
    assert refused.status_code == 422
    assert [one["field"] for one in refused.json()["errors"]] == ["body.rows.1000.value"]


def test_where_the_disk_is_full_a_body_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    app = create_app(settings(tmp_path / "home"))
    with TestClient(app, base_url="http://127.0.0.1") as client:
        monkeypatch.setattr(app.state.server.settings, "min_free_bytes", 1 << 62)
        refused = client.post("/v1/search", json={"text": "x" * 2 * HELD_BYTES})
        assert (refused.status_code, refused.json()["code"]) == (507, "disk-full")
        small = client.post("/v1/search", json={"text": "x", "k": 0})
        assert small.status_code == 422, "what fits in memory needs no disk"
