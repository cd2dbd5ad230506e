"""Uploads: the files of a request, written to a folder of the home as they arrive.

`receive_form` takes multipart/form-data (RFC 7578), and `receive_related` multipart/related (RFC 2387), in
which DICOMweb sends instances. Only the piece of the body that is being written is in memory, no name that a
client gives is used as a path, and files that are not kept are removed when the request ends.
"""

from __future__ import annotations

import shutil
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

from fastapi import Request
from fastapi.concurrency import run_in_threadpool
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import parse_options_header

from medsiglip.api.archive.received import arriving, mark_arriving
from medsiglip.api.errors import ServiceError, explain
from medsiglip.api.http.messages.body_limit import UPLOAD
from medsiglip.api.http.messages.body_rules import (
    Pace,
    TooSlowError,
    announced_size,
    check_room,
    read_rest,
)
from medsiglip.api.http.multipart import Parts, Received
from medsiglip.index.errors import CatalogError
from medsiglip.index.storage.deletion import UPLOADS

if TYPE_CHECKING:
    from medsiglip.api.settings import Settings

_PIECE = 256 << 10


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
    request.scope["state"][UPLOAD] = True
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
    pieces = _pieces(request, received, settings)
    try:
        size = announced_size(request.headers.get("content-length", ""))
        _check_size(size, settings)
        await run_in_threadpool(_make_folder, received.folder, size, settings)
        async for piece in pieces:
            received.size += len(piece)
            _check_size(received.size, settings)
            check_room(received.folder, len(piece), settings)
            await run_in_threadpool(parts.write, piece)
        await run_in_threadpool(parts.finish)
    except ServiceError:
        if not received.has_ended:
            await read_rest(request.receive)
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
    pace, piece = Pace(settings), bytearray()
    while not received.has_ended:
        try:
            message = await pace.receive(request.receive)
        except TooSlowError:
            raise _too_slow() from None
        received.has_ended = not message.get("more_body", False)
        if message["type"] == "http.disconnect":
            raise ServiceError("upload-incomplete", "the body ended too early: send it again.")
        piece += message.get("body", b"")
        if len(piece) >= _PIECE:
            yield bytes(piece)
            piece.clear()
    if piece:
        yield bytes(piece)


def _check_size(size: int, settings: Settings) -> None:
    if size > settings.max_upload_bytes:
        raise ServiceError(
            "upload-too-large",
            f"an upload may hold {settings.max_upload_bytes} bytes: send fewer files at once, or have the "
            "service's administrator raise max_upload_bytes.",
        )


def _make_folder(folder: Path, size: int, settings: Settings) -> None:
    folder.parent.mkdir(0o700, parents=True, exist_ok=True)
    mark_arriving(folder, settings.upload_seconds)
    folder.mkdir(0o700)
    check_room(folder, size, settings)


def _too_slow() -> ServiceError:
    return ServiceError("upload-too-slow", "the body comes too slowly: send it again over a faster line.")
