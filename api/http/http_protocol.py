"""HTTP on one connection: uvicorn's protocol, with limits for a request's head, and errors as problem JSON.

The API key is checked when the head is complete. Until then anybody may send anything, so the size of the
head and the time it takes are limited here.
"""

from __future__ import annotations

import asyncio
import json
import re
from http import HTTPStatus
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from medsiglip.api.http.problems import error_member

# Larger than the head of any real request, browser cookies included.
HEAD_BYTES = 64 << 10
HEAD_SECONDS = 20.0

# Where a head ends, and the last chunk of a body; llhttp takes no other ends of lines.
_END = b"\r\n\r\n"
# RFC 3986, section 3.2.2, and RFC 9110, section 7.2: a name or an address, and a port. Empty where the target
# has no authority.
_HOST = re.compile(rb"(?:\[[0-9A-Fa-f:.%]+\]|[A-Za-z0-9._~!$&'()*+,;=%-]*)(?::[0-9]*)?")


class HttpProtocol(HttpToolsProtocol):
    """Answers invalid HTTP, and heads that are too large or too slow, with problem JSON (RFC 9457).

    The parser is given the bytes of a head, of a body and of the next head apart, so that a head of exactly
    `HEAD_BYTES`, blank lines before it included, is accepted and one byte more is not, however the bytes
    come and whatever comes before them.
    """

    _head = 0
    _has_head = False
    _tail = b""
    _body_left: int | None = None
    _problem = "this is no HTTP request that can be read."
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
        begin = 0
        while begin < len(data) and not self.transport.is_closing():
            end = self._end_of_part(data, begin)
            if not self._has_head:
                self._head += end - begin
                if self._head > HEAD_BYTES:
                    self._refuse(431, "head-too-large", f"a request's head may hold {HEAD_BYTES} bytes.")
                    return
            part = data[begin:end] if begin or end < len(data) else data
            self._tail = (self._tail + part[-3:])[-3:]
            begin = end
            super().data_received(part)

    def _end_of_part(self, data: bytes, begin: int) -> int:
        """Where the head ends that `data` is in at `begin`, or the body, or at most the data."""
        if self._has_head and self._body_left is not None:
            return min(len(data), begin + self._body_left)
        # The end may have begun in the data before.
        before = self._tail + data[begin : begin + 3]
        at = before.find(_END)
        if at >= 0:
            return begin + at + len(_END) - len(self._tail)
        at = data.find(_END, begin)
        return len(data) if at < 0 else at + len(_END)

    def on_message_begin(self) -> None:
        """Start timing the head of a request."""
        super().on_message_begin()
        if self._timer is None:
            self._wait_for_head()

    def on_headers_complete(self) -> None:
        """Stop the timer: the head is complete. Refuse it without one host (RFC 9112, section 3.2)."""
        self._stop_waiting()
        hosts = [value for name, value in self.headers if name == b"host"]
        if len(hosts) > 1 or (not hosts and self.parser.get_http_version() != "1.0"):
            self._problem = "a request names its host once, in the header Host."
            raise ValueError(self._problem)
        if hosts and not _HOST.fullmatch(hosts[0]):
            self._problem = "the header Host is no name or address with or without a port."
            raise ValueError(self._problem)
        lengths = [value for name, value in self.headers if name == b"content-length"]
        is_chunked = any(name == b"transfer-encoding" for name, _ in self.headers)
        self._has_head, self._body_left = True, int(lengths[0]) if lengths and not is_chunked else None
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Count the bytes of a body whose length is known."""
        if self._body_left is not None:
            self._body_left -= len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        """The next byte belongs to the head of another request."""
        self._head, self._has_head, self._tail, self._body_left = 0, False, b"", None
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """Refuse invalid HTTP."""
        self._refuse(400, "bad-http", self._problem)

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
        body = json.dumps({**problem, "detail": detail, "error": error_member(status, code, detail)}).encode(
            "utf-8"
        )
        head = (
            f"HTTP/1.1 {status} {phrase}\r\nContent-Type: application/problem+json\r\n"
            f"Content-Length: {len(body)}\r\nConnection: close\r\nCache-Control: no-store\r\n"
            "X-Content-Type-Options: nosniff\r\n\r\n"
        )
        self.transport.write(head.encode("ascii") + body)
        self.transport.close()
