"""What every request passes through: its id, log line and count, security headers, API key and size limit."""

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
from medsiglip.api.http.auth import authenticate
from medsiglip.api.http.cross_site import CrossSiteRefusal
from medsiglip.api.http.messages.answers import Compression, Conditions, HeadRequests
from medsiglip.api.http.messages.body_limit import BodyLimit
from medsiglip.api.http.oidc.bearer import BearerGate, authenticate_token, is_access_token
from medsiglip.api.http.problems import problem_of
from medsiglip.api.http.sessions.cookies import token_of
from medsiglip.api.http.sessions.session_gate import authenticate_session
from medsiglip.api.http.sessions.signing_in import SIGN_IN, require_small_body
from medsiglip.tracing.spans import Span, span, traceparent

if TYPE_CHECKING:
    from medsiglip.api.settings import Settings

PROTECTED = ("/v1/", "/dicom-web/")
_METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"))
# What is asked all the time by probes, and would fill a collector.
_PROBED = frozenset(("/healthz", "/readyz", "/metrics"))
_SANE_ID = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII)
_BEARER = re.compile(r"bearer +(\S+) *", re.IGNORECASE | re.ASCII)
_SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}
_CONTENT_SECURITY_POLICY = "default-src 'none'; frame-ancestors 'none'"
_log = logging.getLogger("medsiglip.http")


def install(app: FastAPI, settings: Settings) -> None:
    """Add the middleware; the one added last is the first that a request passes."""
    app.add_middleware(
        BodyLimit, settings=lambda: app.state.server.settings, max_bytes=settings.max_json_bytes
    )
    app.add_middleware(Conditions)
    app.add_middleware(Compression)
    app.add_middleware(HeadRequests)
    app.add_middleware(Authentication)
    if settings.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(settings.cors_origins),
            allow_methods=["GET", "HEAD", "POST", "PUT", "DELETE"],
            allow_headers=[
                "Authorization",
                "Content-Type",
                "Idempotency-Key",
                "X-Request-ID",
                "Last-Event-ID",
                "If-Match",
                "If-None-Match",
                "If-Range",
                "Range",
            ],
            expose_headers=[
                "X-Request-ID",
                "Retry-After",
                "Location",
                "ETag",
                "Accept-Ranges",
                "Content-Range",
            ],
        )
    app.add_middleware(CrossSiteRefusal, origins=settings.cors_origins)
    app.add_middleware(RequestContext)


class RequestContext:
    """Gives each request an id and its response the security headers; logs and counts it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request; an unexpected error becomes a problem without any detail."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if scope["path"] in _PROBED:
            await self._handle(scope, receive, send)
            return
        method = scope["method"] if scope["method"] in _METHODS else "_OTHER"
        came_with = Headers(scope=scope).get("traceparent")
        with span(method, kind="server", parent=came_with, http__request__method=method) as request:
            await self._handle(scope, receive, send, request)

    async def _handle(self, scope: Scope, receive: Receive, send: Send, request: Span | None = None) -> None:
        found = _request_id(Headers(scope=scope).get("x-request-id"))
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
                _set_security_headers(headers)
            await send(message)

        try:
            await self._app(scope, receive, answer)
        except Exception as error:
            if status is not None:
                raise  # part of the response is sent: the server can only close the connection
            await problem_of(error)(scope, receive, answer)
        finally:
            self._note(scope, status, time.perf_counter() - begun)
            if request is not None:
                _trace(request, scope, status)
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
        if (trace := traceparent()) is not None:
            fields["trace_id"] = trace.split("-")[1]
        request_log.log_request(_log, fields)
        metrics = getattr(scope["app"].state, "metrics", None)
        if metrics is not None:
            metrics.count_request(scope["method"], route, status, seconds)


def _trace(request: Span, scope: Scope, status: int | None) -> None:
    """Say in the trace what was asked for, by its template, and how it was answered."""
    route = getattr(scope.get("route"), "path", None)
    if route is not None:
        request.note(name=f"{scope['method']} {route}", http__route=route)
    if status is not None:
        request.note(http__response__status_code=status)
    if status is None or status >= 500:
        request.note(error=str(status or "client-left"))


def _set_security_headers(headers: MutableHeaders) -> None:
    """Add headers that keep the response out of caches, frames and other sites' pages, unless it sets its
    own.
    """
    for name, value in _SECURITY_HEADERS.items():
        headers.setdefault(name, value)
    headers.setdefault("Cache-Control", "no-store")
    headers.setdefault("Content-Security-Policy", _CONTENT_SECURITY_POLICY)


class Authentication:
    """Checks the key, or the cookie of a session where no key is sent, before the first byte of a body is
    read: without one, nothing can be sent but a key, to sign in.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse a request to a protected path that has no key."""
        if scope["type"] == "http" and f"{scope['path']}/".startswith(PROTECTED):
            try:
                await _identify(Request(scope, receive))
            except Exception as error:
                if explain(error) is None:
                    raise
                await problem_of(error)(scope, receive, send)
                return
        await self._app(scope, receive, send)


async def _identify(request: Request) -> None:
    if (request.method, request.scope["path"]) == SIGN_IN:
        require_small_body(request)
        return
    given = request.headers.get("authorization")
    token = token_of(request) if given is None else None
    if token is not None:
        await authenticate_session(request, token)
        return
    sent = _BEARER.fullmatch(given or "")
    bearer: BearerGate | None = request.app.state.bearer
    if sent is not None and bearer is not None and is_access_token(sent[1]):
        await authenticate_token(request, bearer, sent[1])
        return
    await authenticate(request, sent[1] if sent else None)


def _request_id(sent: str | None) -> str:
    """The client's own id of its request, if it is safe to log, or a new one."""
    return sent if sent is not None and _SANE_ID.fullmatch(sent) else f"{getrandbits(128):032x}"
