"""Headers that keep answers out of caches, frames and other sites' pages."""

from __future__ import annotations

from starlette.datastructures import MutableHeaders

_ALWAYS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}
_NOTHING = "default-src 'none'; frame-ancestors 'none'"
# The description's page takes its script and style from where FastAPI has them, and starts them by a line of
# its own.
_DOCS = (
    "default-src 'none'; connect-src 'self'; img-src 'self' data: https://fastapi.tiangolo.com; "
    "script-src 'self' 'unsafe-inline' https://cdn.jsdelivr.net; "
    "style-src 'self' 'unsafe-inline' https://cdn.jsdelivr.net; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)


def set_security_headers(headers: MutableHeaders, path: str) -> None:
    """Add what the answer to `path` does not say itself. An answer is kept by no cache unless it says so."""
    for name, value in _ALWAYS.items():
        headers.setdefault(name, value)
    headers.setdefault("Cache-Control", "no-store")
    headers.setdefault("Content-Security-Policy", _DOCS if path in ("/docs", "/redoc") else _NOTHING)
