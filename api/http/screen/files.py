"""`/app/`: the page of the screen, whatever follows in the address, and the files that it loads.

None of it is secret or needs a key: the page asks for everything by the HTTP routes, in the name of who
signed in. It loads nothing from anywhere else, as its policy says.
"""

from __future__ import annotations

import gzip
import re
import threading
from collections import OrderedDict
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Header, Response
from fastapi import Path as PathParameter
from fastapi.responses import RedirectResponse

from medsiglip.api.errors import ServiceError
from medsiglip.api.http.messages.answers import accepts_gzip

BUILT = Path(__file__).parents[2] / "web" / "built"
POLICY = (
    "default-src 'none'; connect-src 'self'; img-src 'self' blob: data:; "
    "script-src 'self' 'wasm-unsafe-eval'; worker-src 'self' blob:; style-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
"""Content-Security-Policy of the page and of its files, for a worker has that of its script."""
_TYPES = {
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".json": "application/json",
    ".txt": "text/plain; charset=utf-8",
    ".wasm": "application/wasm",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".woff2": "font/woff2",
}
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}", re.ASCII)
# The builder names files by their content: such a name never stands for anything else (RFC 8246).
_HASHED = re.compile(r".*-[A-Z0-9]{8}\.[a-z0-9]+", re.ASCII)
_FOR_EVER = "public, max-age=31536000, immutable"
_ASK_AGAIN = "no-cache"
# Below this, gzip saves no packet.
_LEAST_BYTES = 1024
_MOST_HELD = 64
router = APIRouter(include_in_schema=False)


class CompressedFiles:
    """Files as gzip, of which the latest 64 are held in memory. Safe for several threads.

    Other answers to who has a cookie are not compressed, for they may hold secrets; these files hold none.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: OrderedDict[tuple[str, int, int], bytes] = OrderedDict()

    def of(self, file: Path, content: bytes) -> bytes:
        """The content of a file, compressed."""
        state = file.stat()
        key = str(file), state.st_mtime_ns, state.st_size
        with self._lock:
            found = self._held.get(key)
        if found is None:
            found = gzip.compress(content, compresslevel=9, mtime=0)
            with self._lock:
                self._held[key] = found
                if len(self._held) > _MOST_HELD:
                    self._held.popitem(last=False)
        return found


_compressed = CompressedFiles()


@router.get("/")
def root() -> Response:
    """The address of the service leads to the screen."""
    return RedirectResponse("app/", 302)


@router.get("/app")
def without_slash() -> Response:
    """The addresses in the page are relative to a path that ends with a slash."""
    return RedirectResponse("app/", 302)


@router.get("/app/built/{name:path}")
def built_file(
    name: Annotated[str, PathParameter(max_length=1024)],
    accept_encoding: Annotated[str, Header(max_length=1024)] = "",
    range_: Annotated[str | None, Header(alias="range")] = None,
) -> Response:
    """A file that was built; raises ServiceError `not-found`."""
    file = BUILT / name
    kind = _TYPES.get(file.suffix)
    if _NAME.fullmatch(name) is None or kind is None or not file.is_file():
        raise ServiceError("not-found", "the screen has no such file: load its page anew.")
    headers = {
        "Cache-Control": _FOR_EVER if _HASHED.fullmatch(name) else _ASK_AGAIN,
        "Content-Security-Policy": POLICY,
        "Vary": "Accept-Encoding",
    }
    content = file.read_bytes()
    if len(content) >= _LEAST_BYTES and range_ is None and accepts_gzip(accept_encoding):
        content = _compressed.of(file, content)
        headers["Content-Encoding"] = "gzip"
    return Response(content, media_type=kind, headers=headers)


@router.get("/app/{address:path}")
def page(address: str) -> Response:
    """The page, which shows what its address says; raises ServiceError `not-found` where it was not built.

    A proxy may put a path before ours, so the page names its files from where it is.
    """
    file = BUILT / "index.html"
    if not file.is_file():
        raise ServiceError(
            "not-found", "the screen was not built: run `npm ci && npm run build` in the folder api/web."
        )
    up = "../" * address.count("/")
    text = file.read_text(encoding="utf-8").replace("%BUILT%", f"{up}built/")
    return Response(
        text,
        media_type="text/html",
        headers={"Cache-Control": _ASK_AGAIN, "Content-Security-Policy": POLICY},
    )
