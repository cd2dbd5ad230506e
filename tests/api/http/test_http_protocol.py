"""Bytes that are no request: garbage, endless and slow heads."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
import uvicorn

from medsiglip.api.http.http_protocol import HttpProtocol
from tests.api.live_service import LiveService


def connect(service: LiveService) -> socket.socket:
    host, port = service.url.removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)), timeout=60)


def answer(connection: socket.socket) -> tuple[int, dict[str, object]]:
    """Status and problem; the connection must end after it."""
    received = b""
    while piece := connection.recv(65536):
        received += piece
    head, _, body = received.partition(b"\r\n\r\n")
    assert b"content-type: application/problem+json" in head.lower()
    problem: dict[str, object] = json.loads(body)
    assert problem["status"] == int(head.split()[1])
    return int(head.split()[1]), problem


@pytest.mark.parametrize(
    "sent",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500),  # TLS to a server that has none
        b"GET /healthz HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"\r\n\r\nnonsense\r\n\r\n",
        b"GET /v1/studies?where=" + b"0" * 70_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n",
    ],
)
def test_invalid_http_is_a_problem(service: LiveService, sent: bytes) -> None:
    with connect(service) as connection:
        connection.sendall(sent)
        status, problem = answer(connection)
    assert (status, problem["code"]) in [(400, "bad-http"), (431, "head-too-large")]


def test_an_endless_head_is_refused(service: LiveService) -> None:
    with connect(service) as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: a\r\nX-Endless: ")
        time.sleep(0.5)  # what comes together with the first bytes is not counted
        for _ in range(17):
            connection.sendall(b"x" * 4000)
            time.sleep(0.01)
        assert answer(connection)[0] == 431


def test_long_queries_below_the_limit_and_many_requests_on_one_connection_are_answered(
    service: LiveService,
) -> None:
    with service.http() as http:
        for size in (10, 60_000, 20, 60_000, 30):
            response = http.get("/healthz", params={"x": "a" * size})
            assert response.status_code == 200


async def hello(scope: Any, receive: Any, send: Any) -> None:
    """An application that always answers 200."""
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body"})


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """The port of a server that waits one second for a head."""
    monkeypatch.setattr("medsiglip.api.http.http_protocol.HEAD_SECONDS", 1.0)
    config = uvicorn.Config(hello, http=HttpProtocol, lifespan="off", log_config=None, timeout_keep_alive=30)
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=server.run, args=([listening],))
        thread.start()
        yield listening.getsockname()[1]
        server.should_exit = True
        thread.join()


def test_slow_heads_are_refused(hasty: int) -> None:
    """Three connections at once: one sends nothing, one stops in its first request, one in its second."""
    with ExitStack() as opened:
        silent, half, later = (
            opened.enter_context(socket.create_connection(("127.0.0.1", hasty), timeout=60)) for _ in range(3)
        )
        half.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n")
        later.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert later.recv(65536).startswith(b"HTTP/1.1 200")
        later.sendall(b"GET / HT")
        refusals = [answer(connection) for connection in (silent, half, later)]
    assert [(status, problem["code"]) for status, problem in refusals] == [(408, "head-too-slow")] * 3


def test_a_body_may_come_slowly_after_its_head(hasty: int) -> None:
    with socket.create_connection(("127.0.0.1", hasty), timeout=60) as connection:
        for _ in range(2):
            connection.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\na")
            time.sleep(1.3)
            connection.sendall(b"b")
            assert connection.recv(65536).startswith(b"HTTP/1.1 200")


def test_a_head_after_a_long_body_is_accepted(hasty: int) -> None:
    first = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 180000\r\n\r\n" + b"x" * 180_000
    with socket.create_connection(("127.0.0.1", hasty), timeout=60) as connection:
        connection.sendall(first + b"GET / HTTP/1.1\r\nHo")
        assert connection.recv(65536).startswith(b"HTTP/1.1 200")
        connection.sendall(b"st: a\r\n\r\n")
        assert connection.recv(65536).startswith(b"HTTP/1.1 200")
