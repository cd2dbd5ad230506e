"""Answers that are pages of HTML, which a browser shows without running or loading anything."""

from __future__ import annotations

from typing import Any

from fastapi import Response

# Styles and pictures lie in the page itself; `sandbox` gives it no origin, so that it reads nothing of ours.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; sandbox"

HTML: dict[int | str, dict[str, Any]] = {200: {"content": {"text/html": {"schema": {"type": "string"}}}}}
"""What the OpenAPI description says of such an answer."""


def page_answer(page: str) -> Response:
    """The answer that holds a page."""
    return Response(page, media_type="text/html", headers={"Content-Security-Policy": _POLICY})
