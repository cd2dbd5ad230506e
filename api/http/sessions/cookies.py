"""The cookie that carries a session, and over which lines it goes.

It is never readable by scripts, and never sent by a browser for a page of another site (SameSite=Strict, RFC
6265bis). Cookies know no ports: another service of the same host gets them, so a host should be ours alone.
"""

from __future__ import annotations

from datetime import UTC, datetime

from fastapi import Request, Response

from medsiglip.api.errors import ServiceError
from medsiglip.api.http.auth import name_of
from medsiglip.api.loopback import is_loopback
from medsiglip.index.service.sessions import is_token

PLAIN = "medsiglip_session"
SECURE = "__Host-medsiglip_session"
"""Browsers take this name from a secure line alone, for this host and all its paths."""


def token_of(request: Request) -> str | None:
    """The token that a request's cookies hold, if it may be one.

    The name without the prefix counts on this machine alone: elsewhere another host of the same domain could
    have set it.
    """
    names = (SECURE, PLAIN) if _is_local(request) else (SECURE,)
    shown = next((request.cookies[name] for name in names if name in request.cookies), None)
    return shown if shown is not None and is_token(shown) else None


def require_private_line(request: Request) -> None:
    """Raise ServiceError `insecure-sign-in` where others may read what goes over the line."""
    if not (_is_secure(request) or _is_local(request)):
        raise ServiceError(
            "insecure-sign-in",
            "a key that is sent to another machine without TLS can be read on the way: open the screen by "
            "https, behind a proxy that terminates TLS, or on the service's own machine.",
        )


def set_token(request: Request, response: Response, token: str, expires_at: datetime) -> None:
    """Give a browser its token until the session's end."""
    put_token(response, token, expires_at, secure=_is_secure(request))


def put_token(response: Response, token: str, expires_at: datetime, *, secure: bool) -> None:
    """As `set_token`, where it is known whether the browser speaks TLS."""
    left = int((expires_at - datetime.now(UTC)).total_seconds())
    response.set_cookie(
        SECURE if secure else PLAIN,
        token,
        max_age=max(left, 0),
        path="/",
        secure=secure,
        httponly=True,
        samesite="strict",
    )


def remove_token(request: Request, response: Response) -> None:
    """Have a browser forget its token."""
    for name, secure in ((PLAIN, False), (SECURE, True)):
        if name in request.cookies:
            response.delete_cookie(name, path="/", secure=secure, httponly=True, samesite="strict")


def _is_local(request: Request) -> bool:
    return is_loopback(name_of(request.headers.get("host", "")))


def _is_secure(request: Request) -> bool:
    """Whether the browser speaks TLS. A proxy says so; where none is configured, the page's own origin does,
    and whoever lies about it only loses the cookie.
    """
    proxy_says = request.headers.get("x-forwarded-proto", "").lower() == "https"
    page_says = request.headers.get("origin", "").startswith("https://")
    return request.url.scheme == "https" or proxy_says or page_says
