"""Uploads: the files of a request, written to a folder of the home as they arrive.

`receive_form` takes multipart/form-data (RFC 7578), and `receive_related` multipart/related (RFC 2387), in
which DICOMweb sends instances. Only the piece of the body that is being written is in memory, no name that a
client gives is used as a path, and files that are not kept are removed when the request ends.
"""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

from fastapi import Request
from fastapi.concurrency import run_in_threadpool
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import parse_options_header

from medsiglip.api.archive.received import arriving
from medsiglip.api.errors import ServiceError, explain
from medsiglip.api.http.multipart import Parts, Received
from medsiglip.index.errors import CatalogError
from medsiglip.index.storage.deletion import UPLOADS

if TYPE_CHECKING:
    from medsiglip.api.settings import Settings

_PIECE = 256 << 10
# How much of a refused body is still read: a client that is cut off while it sends may never see the
# response.
_REST_BYTES = 8 << 20
_REST_SECONDS = 2.0
# The least rate of a body, over the time in which the server waits for it.
_SLOWEST_BYTES_PER_SECOND = 1024


@asynccontextmanager
async def receive_form(request: Request, *, others: tuple[str, ...] = ()) -> AsyncIterator[Received]:
    """The files of the field `file` and of the fields `others`, and the form fields of a request.

    Raises ServiceError: `upload-too-large`, `too-many-files`, `upload-too-slow`, `upload-incomplete`,
    `bad-multipart`, `wrong-content-type`, `disk-full`, `unknown-field`.
    """
    async with _received(request, "multipart/form-data", ("file", *others)) as received:
        yield received


@asynccontextmanager
async def receive_related(request: Request) -> AsyncIterator[Received]:
    """The parts of a multipart/related body as files; raises as `receive_form` does."""
    async with _received(request, "multipart/related", None) as received:
        yield received


@asynccontextmanager
async def _received(
    request: Request, media_type: str, names: tuple[str, ...] | None
) -> AsyncIterator[Received]:
    settings: Settings = request.app.state.server.settings
    metrics = request.app.state.metrics
    received = Received(settings.home / UPLOADS / uuid4().hex)
    try:
        try:
            await _take(request, received, media_type, names, settings)
        except (ServiceError, OSError) as error:
            explained = explain(error)
            metrics.count_upload("failed" if explained is None else explained.code)
            raise
        metrics.count_upload("taken", received.size)
        try:
            yield received
        except Exception as error:
            # Keep the files only if the catalogue failed, because the job may have been stored all the same.
            received.is_kept = received.is_kept and isinstance(error, CatalogError)
            # Error messages name a file as the client did.
            if f"{received.folder}/" in str(error):
                error.args = (str(error).replace(f"{received.folder}/", ""),)
            raise
    finally:
        if not received.is_kept:
            await run_in_threadpool(shutil.rmtree, received.folder, ignore_errors=True)
        # Files that are kept belong to a job by now.
        arriving(received.folder).unlink(missing_ok=True)


async def _take(
    request: Request, received: Received, media_type: str, names: tuple[str, ...] | None, settings: Settings
) -> None:
    boundary = _boundary(request, media_type)
    try:
        parts = Parts(received, boundary, names, settings)
    except FormParserError as error:
        raise ServiceError("bad-multipart", f"the body cannot be read: {error}.") from None
    announced = request.headers.get("content-length", "")
    pieces = _pieces(request, received, settings)
    try:
        size = int(announced) if announced.isdecimal() else 0
        _check_size(size, settings)
        await run_in_threadpool(_make_folder, received.folder, size, settings)
        async for piece in pieces:
            received.size += len(piece)
            _check_size(received.size, settings)
            _check_room(received.folder, len(piece), settings)
            await run_in_threadpool(parts.write, piece)
        await run_in_threadpool(parts.finish)
    except ServiceError:
        if not received.has_ended:
            await _read_rest(request)
        raise
    finally:
        await pieces.aclose()
        await run_in_threadpool(parts.close)


def _boundary(request: Request, media_type: str) -> bytes:
    content_type, options = parse_options_header(request.headers.get("content-type"))
    boundary = options.get(b"boundary")
    if content_type.decode("latin-1").lower() != media_type or not boundary:
        raise ServiceError(
            "wrong-content-type",
            f"the body must be {media_type} with a boundary: see the header Content-Type.",
        )
    kind = options.get(b"type", b"application/dicom")
    if media_type == "multipart/related" and kind.lower() != b"application/dicom":
        raise ServiceError(
            "wrong-content-type", 'only type="application/dicom" is taken: send whole DICOM instances.'
        )
    return boundary


async def _pieces(request: Request, received: Received, settings: Settings) -> AsyncGenerator[bytes]:
    """The body in pieces of at least 256 KiB, except the last, as long as it comes fast enough."""
    pace, piece = _Pace(settings), bytearray()
    while not received.has_ended:
        try:
            with pace:
                message = await asyncio.wait_for(request.receive(), settings.upload_pause_seconds)
        except TimeoutError:
            raise _too_slow() from None
        received.has_ended = not message.get("more_body", False)
        if message["type"] == "http.disconnect":
            raise ServiceError("upload-incomplete", "the body ended too early: send it again.")
        chunk = message.get("body", b"")
        piece += chunk
        pace.check(len(chunk))
        if len(piece) >= _PIECE:
            yield bytes(piece)
            piece.clear()
    if piece:
        yield bytes(piece)


class _Pace:
    """Measures how fast a body comes, window by window.

    Only the time in which the server waits for the client counts. A fast start does not make up for a slow
    rest.
    """

    def __init__(self, settings: Settings) -> None:
        self._window = settings.upload_pause_seconds
        self._end = time.monotonic() + settings.upload_seconds
        self._begun = self._waited = 0.0
        self._bytes = 0

    def __enter__(self) -> None:
        self._begun = time.monotonic()

    def __exit__(self, *_: object) -> None:
        self._waited += time.monotonic() - self._begun

    def check(self, count: int) -> None:
        """Count `count` more bytes; raises ServiceError `upload-too-slow`."""
        self._bytes += count
        if time.monotonic() > self._end:
            raise _too_slow()
        if self._waited < self._window:
            return
        if self._bytes < self._waited * _SLOWEST_BYTES_PER_SECOND:
            raise _too_slow()
        self._waited, self._bytes = 0.0, 0


async def _read_rest(request: Request) -> None:
    """Read the rest of a refused body, if little of it is left."""
    left = _REST_BYTES
    try:
        async with asyncio.timeout(_REST_SECONDS):
            while left > 0:
                message = await request.receive()
                left -= len(message.get("body", b""))
                if message["type"] != "http.request" or not message.get("more_body", False):
                    return
    except TimeoutError:
        return


def _check_size(size: int, settings: Settings) -> None:
    if size > settings.max_upload_bytes:
        raise ServiceError(
            "upload-too-large",
            f"an upload may hold {settings.max_upload_bytes} bytes: send fewer files at once, or have the "
            "service's administrator raise max_upload_bytes.",
        )


def _make_folder(folder: Path, size: int, settings: Settings) -> None:
    folder.parent.mkdir(0o700, parents=True, exist_ok=True)
    arriving(folder).touch(0o600)
    folder.mkdir(0o700)
    _check_room(folder, size, settings)


def _check_room(folder: Path, size: int, settings: Settings) -> None:
    if shutil.disk_usage(folder).free < size + settings.min_free_bytes:
        raise ServiceError("disk-full", "the service's disk has no room for this upload: try again later.")


def _too_slow() -> ServiceError:
    return ServiceError("upload-too-slow", "the body comes too slowly: send it again over a faster line.")
