"""What happens around every request: its id, its sender, its key, its log line and count, headers, limits."""

from __future__ import annotations

import logging
import re
import time
from random import getrandbits
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI, Request
from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from medsiglip.api.errors import explain
from medsiglip.api.http import request_log
from medsiglip.api.http.auth import identified
from medsiglip.api.http.cross_site import CrossSiteRefusal
from medsiglip.api.http.problems import problem, problem_of
from medsiglip.api.http.security_headers import set_security_headers

if TYPE_CHECKING:
    from medsiglip.api.settings import Settings

PROTECTED = ("/v1/", "/dicom-web/")
_SANE_ID = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII)
_BEARER = re.compile(r"bearer +(\S+) *", re.IGNORECASE | re.ASCII)
_log = logging.getLogger("medsiglip.http")


def install(app: FastAPI, settings: Settings) -> None:
    """Put everything around the routes; the last one added is the first that a request meets."""
    app.add_middleware(BodyLimit, max_bytes=settings.max_json_bytes)
    app.add_middleware(KeyFirst)
    if settings.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(settings.cors_origins),
            allow_methods=["GET", "POST", "PUT", "DELETE"],
            allow_headers=[
                "Authorization",
                "Content-Type",
                "Idempotency-Key",
                "X-Request-ID",
                "Last-Event-ID",
            ],
            expose_headers=["X-Request-ID", "Retry-After", "Location"],
        )
    app.add_middleware(CrossSiteRefusal, origins=settings.cors_origins)
    app.add_middleware(RequestContext)


class RequestContext:
    """Gives a request its id, its answer the headers that keep it safe, and the log and metrics a line."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request; what the routes could not foresee is a problem without any detail."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        found = _chosen_id(Headers(scope=scope).get("x-request-id"))
        scope.setdefault("state", {})["request_id"] = found
        token = request_log.request_id.set(found)
        begun = time.perf_counter()
        status: int | None = None

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers["X-Request-ID"] = found
                set_security_headers(headers)
            await send(message)

        try:
            await self._app(scope, receive, answer)
        except Exception as error:
            if status is not None:
                raise  # the answer is half sent: the server can only break the connection off
            await problem_of(error)(scope, receive, answer)
        finally:
            self._note(scope, status, time.perf_counter() - begun)
            request_log.request_id.reset(token)

    @staticmethod
    def _note(scope: Scope, status: int | None, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", "(none)")
        caller = scope["state"].get("caller")
        fields: dict[str, Any] = {
            "method": scope["method"],
            "route": route,
            "status": status,
            "ms": round(seconds * 1000, 1),
            "request_id": scope["state"]["request_id"],
            "key_id": None if caller is None else caller.key_id,
            "client": scope["client"][0] if scope.get("client") else None,
        }
        request_log.log_request(_log, fields)
        metrics = getattr(scope["app"].state, "metrics", None)
        if metrics is not None:
            metrics.answered(scope["method"], route, status, seconds)


class KeyFirst:
    """Looks at the key before the first byte of a body is read: who has none can send nothing."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse a request to a protected path that has no key."""
        if scope["type"] == "http" and f"{scope['path']}/".startswith(PROTECTED):
            request = Request(scope, receive)
            sent = _BEARER.fullmatch(request.headers.get("authorization", ""))
            try:
                await identified(request, sent[1] if sent else None)
            except Exception as error:
                if explain(error) is None:
                    raise
                await problem_of(error)(scope, receive, send)
                return
        await self._app(scope, receive, send)


class BodyLimit:
    """Refuses bodies that are too large, but for uploads, which have limits of their own."""

    def __init__(self, app: ASGIApp, max_bytes: int) -> None:
        self._app = app
        self._max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Read the body, at most so far, and hand it on in one piece."""
        headers = Headers(scope=scope) if scope["type"] == "http" else Headers()
        has_body = "content-length" in headers or "transfer-encoding" in headers
        if not has_body or headers.get("content-type", "").lower().startswith("multipart/"):
            await self._app(scope, receive, send)
            return
        length = headers.get("content-length", "")
        parts: list[bytes] = []
        announced, size = int(length) if length.isdecimal() else 0, 0
        while max(announced, size) <= self._max_bytes:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            parts.append(message.get("body", b""))
            size += len(parts[-1])
            if not message.get("more_body", False):
                break
        if max(announced, size) > self._max_bytes:
            answer = problem(
                413, "body-too-large", f"the body is larger than {self._max_bytes} bytes: send less at once."
            )
            await answer(scope, receive, send)
            return
        await self._app(scope, _replay(b"".join(parts), receive), send)


def _replay(body: bytes, receive: Receive) -> Receive:
    is_given = False

    async def again() -> Message:
        nonlocal is_given
        if is_given:
            return await receive()
        is_given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again


def _chosen_id(sent: str | None) -> str:
    """The client's own id of its request, if it is one that can stand in a log."""
    return sent if sent is not None and _SANE_ID.fullmatch(sent) else f"{getrandbits(128):032x}"
