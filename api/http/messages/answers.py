"""The form of answers that HTTP defines for every resource: HEAD, conditions, ranges and compression."""

from __future__ import annotations

import re
from hashlib import sha256
from typing import Any

from fastapi.concurrency import run_in_threadpool
from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware.gzip import (
    DEFAULT_EXCLUDED_CONTENT_TYPES,
    GZipMiddleware,
    GZipResponder,
    IdentityResponder,
)
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from medsiglip.api.http.problems import MEDIA_TYPE, problem

_STREAM = "text/event-stream"
# Beside those that starlette leaves alone: what is compressed itself, or usually holds what is.
_COMPRESSED = (
    *DEFAULT_EXCLUDED_CONTENT_TYPES,
    *("application/pdf", "application/dicom", "multipart/related", MEDIA_TYPE),
)
_LEAST_BYTES = 1024
# On JSON, level 5 takes a third of the time of 9 for 2 % more bytes.
_LEVEL = 5
_IN_THREAD = 1 << 20
_RANGE = re.compile(r"bytes=([0-9]{0,18})-([0-9]{0,18})", re.ASCII | re.IGNORECASE)
# RFC 9110, section 15.4.5, and what the outer middleware adds.
_WITHOUT_CONTENT = ("content-length", "content-type", "content-disposition")


class HeadRequests:
    """Answers HEAD as GET is answered, without the content (RFC 9110, section 9.3.2)."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request; what would go on, such as events, ends with the head of its answer."""
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return
        has_ended = False

        async def answer(message: Message) -> None:
            nonlocal has_ended
            if message["type"] == "http.response.start" and not has_ended:
                has_ended = True
                await send(message)
                await send({"type": "http.response.body", "body": b""})

        async def listen() -> Message:
            return {"type": "http.disconnect"} if has_ended else await receive()

        # A range is one of GET alone (RFC 9110, section 14.2).
        headers = [one for one in scope["headers"] if one[0] not in (b"range", b"if-range")]
        asked = {**scope, "method": "GET", "headers": headers}
        try:
            await self._app(asked, listen, answer)
        finally:
            if "route" in asked:  # which the log and the metrics name
                scope["route"] = asked["route"]


class Compression(GZipMiddleware):
    """Compresses answers for who accepts gzip (RFC 9110, section 12.5.3), except what is compressed already.

    A compressed answer that holds a secret beside what a stranger chose tells the secret by its length
    (BREACH). Nothing is compressed for the pages of other sites, nor where there are cookies, which may open
    a session, nor errors, which repeat what was asked.
    """

    def __init__(self, app: ASGIApp) -> None:
        super().__init__(app, _LEAST_BYTES, _LEVEL, exclude_content_types=_COMPRESSED)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request; a range is one of the content that is not compressed."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        is_own = headers.get("sec-fetch-site", "none") in ("none", "same-origin") and "cookie" not in headers
        excluded = self.exclude_content_types
        if is_own and "range" not in headers and accepts_gzip(headers.get("accept-encoding", "")):
            responder: ASGIApp = GZipResponder(
                self.app, self.minimum_size, self.compresslevel, exclude_content_types=excluded
            )
        else:
            responder = IdentityResponder(self.app, self.minimum_size, exclude_content_types=excluded)

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                _weaken(message)
            await send(message)

        await responder(scope, receive, answer)


def _weaken(message: Message) -> None:
    """An entity tag of other bytes of the same meaning is weak (RFC 9110, section 8.8.3)."""
    headers = MutableHeaders(raw=message["headers"])
    tag = headers.get("etag", "")
    if tag.startswith('"') and headers.get("content-encoding") == "gzip":
        headers["ETag"] = f"W/{tag}"
        del headers["Accept-Ranges"]


def accepts_gzip(field: str) -> bool:
    """Whether a header Accept-Encoding names gzip, or all encodings, with a weight above 0."""
    weights: dict[str, bool] = {}
    for one in field.split(","):
        coding, _, weight = one.partition(";")
        name, _, value = weight.strip().partition("=")
        is_zero = name.strip().lower() == "q" and not value.strip().strip("0.")
        weights[coding.strip().lower()] = not is_zero
    return weights.get("gzip", weights.get("x-gzip", weights.get("*", False)))


class Conditions:
    """Gives whole answers to GET an entity tag, and answers conditions and ranges (RFC 9110, 13 and 14)."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request."""
        if scope["type"] != "http" or scope["method"] != "GET":
            await self._app(scope, receive, send)
            return
        await self._app(scope, receive, _Answer(scope, receive, send).take)


class _Answer:
    """One answer to a GET, whose head waits for its first content."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._scope = scope
        self._receive = receive
        self._send = send
        self._asked = Headers(scope=scope)
        self._start: Message | None = None
        self._is_replaced = False

    async def take(self, message: Message) -> None:
        """The next message of the route."""
        if self._is_replaced:
            return
        if message["type"] == "http.response.start":
            kind = Headers(raw=message["headers"]).get("content-type", "")
            if message["status"] in (200, 206) and not kind.startswith(_STREAM):
                self._start = message
                return
        elif self._start is not None:
            start, self._start = self._start, None
            await self._begin(start, message)
            return
        await self._send(message)

    async def _begin(self, start: Message, content: Message) -> None:
        headers = MutableHeaders(raw=start["headers"])
        is_whole = start["status"] == 200 and not content.get("more_body", False)
        body = content.get("body", b"")
        if is_whole and "etag" not in headers:
            headers["ETag"] = await _tag(body)
        tag = headers.get("etag")
        if tag is not None and await self._is_settled(start, tag):
            return
        if is_whole and tag is not None and "accept-ranges" not in headers:
            headers["Accept-Ranges"] = "bytes"
            wanted = self._range(tag, len(body))
            if wanted is not None:
                await self._send_part(start, body, wanted)
                return
        await self._send(start)
        await self._send(content)

    async def _is_settled(self, start: Message, tag: str) -> bool:
        """Whether a condition decides the answer, which is then sent."""
        match, none_match = self._asked.get("if-match"), self._asked.get("if-none-match")
        if match is not None and not _is_listed(tag, match, weak=False):
            self._is_replaced = True
            detail = "the header If-Match names another state of this: ask without it."
            await problem(412, "precondition-failed", detail)(self._scope, self._receive, self._send)
            return True
        if none_match is None or not _is_listed(tag, none_match, weak=True):
            return False
        self._is_replaced = True
        headers = MutableHeaders(raw=start["headers"])
        for name in _WITHOUT_CONTENT:
            del headers[name]
        await self._send({**start, "status": 304, "headers": headers.raw})
        await self._send({"type": "http.response.body", "body": b""})
        return True

    def _range(self, tag: str, size: int) -> range | None:
        """The bytes that are asked for, none where they lie beyond the end; None for the whole.

        Several ranges at once are answered with the whole, as RFC 9110, section 14.2, allows.
        """
        only_if = self._asked.get("if-range")
        found = _RANGE.fullmatch(self._asked.get("range", "").strip())
        if found is None or found.groups() == ("", "") or only_if not in (None, tag):
            return None
        first, last = found.groups()
        if not first:
            return range(max(0, size - int(last)), size) if int(last) else range(0)
        if last and int(last) < int(first):
            return None
        return range(int(first), min(size, int(last) + 1) if last else size)

    async def _send_part(self, start: Message, body: bytes, wanted: range) -> None:
        headers = MutableHeaders(raw=start["headers"])
        if not len(wanted):
            detail = f"the range lies beyond the {len(body)} bytes that there are."
            refused = problem(416, "range-not-satisfiable", detail)
            refused.headers["Content-Range"] = f"bytes */{len(body)}"
            self._is_replaced = True
            await refused(self._scope, self._receive, self._send)
            return
        headers["Content-Range"] = f"bytes {wanted.start}-{wanted.stop - 1}/{len(body)}"
        headers["Content-Length"] = str(len(wanted))
        part: dict[str, Any] = {"type": "http.response.body", "body": body[wanted.start : wanted.stop]}
        await self._send({**start, "status": 206, "headers": headers.raw})
        await self._send(part)


async def _tag(body: bytes) -> str:
    """A strong entity tag: equal for equal bytes alone."""
    told = await run_in_threadpool(sha256, body) if len(body) > _IN_THREAD else sha256(body)
    return f'"{told.hexdigest()[:32]}"'


def _is_listed(tag: str, field: str, *, weak: bool) -> bool:
    """Whether a list of entity tags holds this one, or is `*`; `weak` compares without regard to `W/`."""
    listed = [one.strip() for one in field.split(",")]
    if "*" in listed:
        return True
    if not weak:
        return tag.startswith('"') and tag in listed
    return tag.removeprefix("W/") in {one.removeprefix("W/") for one in listed}
