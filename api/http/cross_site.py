"""Refuses requests that a browser sends for the page of another site, on every path, while there is no API
key.

Without a key everybody who reaches the loopback interface may do everything, and any page in a browser on
this machine can make it send requests here: by a picture, a script, a frame, a form or `fetch`. Browsers name
the sender in Sec-Fetch-Site (W3C Fetch Metadata) or, older ones and not for all requests, in Origin (RFC
6454, section 7); other programs send neither. Once there is a key, no page has it, and the key decides.
"""

from __future__ import annotations

from collections.abc import Collection

from fastapi import Request
from fastapi.concurrency import run_in_threadpool
from starlette.types import ASGIApp, Receive, Scope, Send

from medsiglip.api.errors import ServiceError
from medsiglip.api.http.auth import Gate
from medsiglip.api.http.problems import problem_of

_PAGES = frozenset({"/", "/docs", "/app", "/ohif"})
_PAGE_OF_SCREEN = "/app/"
_NO_PAGE_OF_SCREEN = "/app/built/", "/app/session"


class CrossSiteRefusal:
    """Refuses such requests before anything else handles them; those of `origins` pass (CORS)."""

    def __init__(self, app: ASGIApp, origins: Collection[str]) -> None:
        self._app = app
        self._origins = frozenset(origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer 403 `cross-site`, or pass the request on. Only a cross-site one costs a query."""
        if scope["type"] == "http" and is_cross_site(Request(scope), self._origins):
            gate: Gate = scope["app"].state.gate
            if await run_in_threadpool(gate.is_open):
                await problem_of(_refusal())(scope, receive, send)
                return
        await self._app(scope, receive, send)


def is_cross_site(request: Request, origins: Collection[str] = ()) -> bool:
    """Whether a browser sent this for a page of another origin, other ports of this machine included.

    False for one of `origins`, and when a link opens a page (`is_page`).
    """
    site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    if site is not None:
        is_own = site in ("same-origin", "none")
    else:
        is_own = origin is None or origin.partition("://")[2] == request.headers.get("host")
    return not is_own and origin not in origins and not _opens_page(request)


def is_page(path: str) -> bool:
    """Whether a person opens this path: a link on another site may lead there, and discloses nothing to that
    site.
    """
    return path in _PAGES or (path.startswith(_PAGE_OF_SCREEN) and not path.startswith(_NO_PAGE_OF_SCREEN))


def _opens_page(request: Request) -> bool:
    """Whether this opens a page in a window or tab; the destination of a frame is `iframe`."""
    how = request.method, request.headers.get("sec-fetch-mode"), request.headers.get("sec-fetch-dest")
    return how == ("GET", "navigate", "document") and is_page(request.scope["path"])


def _refusal() -> ServiceError:
    return ServiceError(
        "cross-site",
        "a page of another site sent this, which is not answered without any API key: make a key with "
        "`medsiglip keys create`, or name the page's origin in MEDSIGLIP_CORS_ORIGINS.",
    )
