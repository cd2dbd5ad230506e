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

from medsiglip.api.http.http_protocol import HEAD_BYTES, HttpProtocol
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


GET = b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n"


def head_of(size: int) -> bytes:
    """A request without a body whose head has so many bytes."""
    start, end = GET + b"Connection: close\r\nX-Long: ", b"\r\n\r\n"
    return start + b"x" * (size - len(start) - len(end)) + end


FORMER = {
    "nothing": b"",
    "a request": GET + b"\r\n",
    "a body": GET + b"Content-Length: 70000\r\n\r\n" + b"\r\n\r\n" * 17_500,
    "chunks": GET + b"Transfer-Encoding: chunked\r\n\r\n5\r\n\r\n\r\nx\r\n1\r\nx\r\n0\r\n\r\n",
    "chunks and trailers": GET + b"Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nX-Last: 1\r\n\r\n",
}


@pytest.mark.parametrize("former", FORMER.values(), ids=list(FORMER))
@pytest.mark.parametrize("pieces", ["whole", "apart", "within the end"])
def test_the_limit_of_a_head_is_exact(service: LiveService, former: bytes, pieces: str) -> None:
    """However the bytes come, and whatever came before them on the connection."""
    for size, status in ((HEAD_BYTES, 200), (HEAD_BYTES + 1, 431)):
        whole = former + head_of(size)
        cut = {"whole": len(whole), "apart": len(former) + 9, "within the end": len(whole) - 2}[pieces]
        with connect(service) as connection:
            for piece in (whole[:cut], whole[cut:]):
                if piece:
                    connection.sendall(piece)
                    time.sleep(0.05)
            received = b""
            while more := connection.recv(65536):
                received += more
        statuses = [int(one[:3]) for one in received.split(b"HTTP/1.1 ")[1:]]
        assert statuses[-1] == status
        assert statuses[:-1] in ([], [200])


@pytest.mark.parametrize(
    "head",
    [
        b"GET /healthz HTTP/1.1\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nHost: 127.0.0.1\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: y\r\nhost: evil.example\r\n\r\n",
        b"GET /healthz HTTP/1.0\r\nHost: localhost\r\nHost: evil.example\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: local host\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: me@localhost\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: localhost:80:80\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: localhost/x\r\n\r\n",
        b"POST /v1/search HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}",
        GET + b"\r\nGET /healthz HTTP/1.1\r\n\r\n",
    ],
)
def test_a_request_names_its_host_once(service: LiveService, head: bytes) -> None:
    with connect(service) as connection:
        connection.sendall(head)
        received = b""
        while more := connection.recv(65536):
            received += more
    last = received.rpartition(b"HTTP/1.1 ")[2]
    assert last.startswith(b"400 ")
    assert b'"code": "bad-http"' in last
    assert b"host" in last.lower().partition(b"\r\n\r\n")[2]


@pytest.mark.parametrize(
    "head",
    [
        b"GET /healthz HTTP/1.0\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: [::1]:8000\r\nConnection: close\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost:\r\nConnection: close\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: a_b.example:\r\nConnection: close\r\n\r\n",
    ],
)
def test_every_valid_host_is_taken(service: LiveService, head: bytes) -> None:
    with connect(service) as connection:
        connection.sendall(head)
        assert connection.recv(65536).startswith(b"HTTP/1.1 200")


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
