"""The one request that is answered without a key or a session: signing in."""

from __future__ import annotations

from fastapi import Request

from medsiglip.api.errors import ServiceError
from medsiglip.api.http.messages.body_rules import announced_size

SIGN_IN = "POST", "/v1/session"
_MOST_BYTES = 4096


def require_small_body(request: Request) -> None:
    """Raise ServiceError `body-too-large` for more than a key: nobody is known yet who sends it."""
    headers = request.headers
    size = announced_size(headers.get("content-length", "0"))
    if size > _MOST_BYTES or "transfer-encoding" in headers:
        raise ServiceError(
            "body-too-large",
            f"signing in takes a body of known length, at most {_MOST_BYTES} bytes: send the key alone.",
        )
