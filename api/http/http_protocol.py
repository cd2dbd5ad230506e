"""HTTP on one connection: uvicorn's protocol, with limits for a request's head, and problems for answers.

A key is asked for when the head is whole; until then whoever connects may send what he likes, so its size and
its time are limited here.
"""

from __future__ import annotations

import asyncio
import json
from http import HTTPStatus
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

# Longer than any question; a cookie or a query of a browser stays far below.
HEAD_BYTES = 64 << 10
HEAD_SECONDS = 20.0


class HttpProtocol(HttpToolsProtocol):
    """Answers what is no HTTP, a head that is too large or one that comes too slowly as RFC 9457 asks."""

    _head: int = 0
    _has_head = False
    _has_just_begun = False
    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for a first request, not for ever."""
        super().connection_made(transport)
        self._wait_for_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait for nothing any more."""
        self._stop_waiting()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take what has come; a head only so far."""
        super().data_received(data)
        if self._has_head or self.transport.is_closing():
            return
        if self._has_just_begun:  # what came before it may have been the end of another's body
            self._has_just_begun = False
            return
        self._head += len(data)
        if self._head > HEAD_BYTES:
            self._refuse(431, "head-too-large", f"a request's head may hold {HEAD_BYTES} bytes.")

    def on_message_begin(self) -> None:
        """A request begins."""
        super().on_message_begin()
        self._head, self._has_head, self._has_just_begun = 0, False, True
        if self._timer is None:
            self._wait_for_head()

    def on_headers_complete(self) -> None:
        """Its head is there."""
        self._has_head = True
        self._stop_waiting()
        super().on_headers_complete()

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no HTTP."""
        self._refuse(400, "bad-http", "this is no HTTP request that can be read.")

    def _wait_for_head(self) -> None:
        self._timer = self.loop.call_later(HEAD_SECONDS, self._give_up)

    def _stop_waiting(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _give_up(self) -> None:
        self._timer = None
        if self._has_head or self.transport.is_closing():
            return
        self._refuse(408, "head-too-slow", f"a request's head must be there in {HEAD_SECONDS:.0f} s.")

    def _refuse(self, status: int, code: str, detail: str) -> None:
        phrase = HTTPStatus(status).phrase
        problem: dict[str, Any] = {"type": "about:blank", "title": phrase, "status": status, "code": code}
        body = json.dumps({**problem, "detail": detail}).encode("utf-8")
        head = (
            f"HTTP/1.1 {status} {phrase}\r\nContent-Type: application/problem+json\r\n"
            f"Content-Length: {len(body)}\r\nConnection: close\r\nCache-Control: no-store\r\n"
            "X-Content-Type-Options: nosniff\r\n\r\n"
        )
        self.transport.write(head.encode("ascii") + body)
        self.transport.close()
