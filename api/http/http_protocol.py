"""HTTP on one connection: uvicorn's protocol, with limits for a request's head, and errors as problem JSON.

The API key is checked when the head is complete. Until then anybody may send anything, so the size of the
head and the time it takes are limited here.
"""

from __future__ import annotations

import asyncio
import json
from http import HTTPStatus
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

# Larger than the head of any real request, browser cookies included.
HEAD_BYTES = 64 << 10
HEAD_SECONDS = 20.0


class HttpProtocol(HttpToolsProtocol):
    """Answers invalid HTTP, and heads that are too large or too slow, with problem JSON (RFC 9457)."""

    _head: int = 0
    _has_head = False
    _has_just_begun = False
    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the timer of the first request's head."""
        super().connection_made(transport)
        self._wait_for_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the timer."""
        self._stop_waiting()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take the next bytes; refuse a head that is too large."""
        super().data_received(data)
        if self._has_head or self.transport.is_closing():
            return
        if self._has_just_begun:  # these bytes may also hold the end of the previous request's body
            self._has_just_begun = False
            return
        self._head += len(data)
        if self._head > HEAD_BYTES:
            self._refuse(431, "head-too-large", f"a request's head may hold {HEAD_BYTES} bytes.")

    def on_message_begin(self) -> None:
        """Start counting and timing the head of a request."""
        super().on_message_begin()
        self._head, self._has_head, self._has_just_begun = 0, False, True
        if self._timer is None:
            self._wait_for_head()

    def on_headers_complete(self) -> None:
        """Stop the timer: the head is complete."""
        self._has_head = True
        self._stop_waiting()
        super().on_headers_complete()

    def send_400_response(self, msg: str) -> None:
        """Refuse invalid HTTP."""
        self._refuse(400, "bad-http", "this is no HTTP request that can be read.")

    def _wait_for_head(self) -> None:
        self._timer = self.loop.call_later(HEAD_SECONDS, self._time_out)

    def _stop_waiting(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _time_out(self) -> None:
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
