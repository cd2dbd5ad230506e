"""`/docs`: the OpenAPI description as Swagger UI's page, with script and style from this server."""

from __future__ import annotations

import base64
import hashlib
import re
from functools import cache
from importlib.resources import files

from fastapi import APIRouter, HTTPException, Response
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import FileResponse

router = APIRouter(include_in_schema=False)
_SCRIPT, _STYLE, _ICON = "swagger-ui-bundle.js", "swagger-ui.css", "favicon.png"
_TYPES = {_SCRIPT: "text/javascript", _STYLE: "text/css", _ICON: "image/png"}


@cache
def _page() -> tuple[str, str]:
    """The page, and what it may load: this server's files and the one script that stands in it."""
    html = get_swagger_ui_html(
        openapi_url="openapi.json",
        title="medsiglip: HTTP",
        swagger_js_url=f"docs/{_SCRIPT}",
        swagger_css_url=f"docs/{_STYLE}",
        swagger_favicon_url=f"docs/{_ICON}",
        swagger_ui_parameters={"tryItOutEnabled": True},
    )
    text = bytes(html.body).decode("utf-8")
    scripts = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    hashes = [base64.b64encode(hashlib.sha256(one.encode()).digest()).decode() for one in scripts]
    allowed = " ".join(f"'sha256-{one}'" for one in hashes)
    policy = (
        "default-src 'none'; connect-src 'self'; img-src 'self' data: blob:; "
        f"script-src 'self' {allowed}; style-src 'self' 'unsafe-inline'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    )
    return text, policy


@router.get("/docs")
def docs() -> Response:
    """Every route, to read and to try."""
    page, policy = _page()
    return Response(page, media_type="text/html", headers={"Content-Security-Policy": policy})


@router.get("/docs/{name}")
def docs_file(name: str) -> Response:
    """A file of the page. The package's application is not used, only Swagger UI's files, which FastAPI
    would load from another server.
    """
    if name not in _TYPES:
        raise HTTPException(404)
    path = str(files("fastapi_offline") / "static" / name)
    return FileResponse(path, media_type=_TYPES[name], headers={"Cache-Control": "public, max-age=86400"})
