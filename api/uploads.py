"""Files that come with a request, written to a folder of the home as they arrive.

multipart/form-data (RFC 7578) of `receive_form`, and multipart/related (RFC 2387) of `receive_related`, as
DICOMweb sends instances. Nothing of a body is held in memory but the piece that is being written, no name
that a client gives is a path here, and what was not kept is gone when the request ends.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

from fastapi import Request
from fastapi.concurrency import run_in_threadpool
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import parse_options_header
from starlette.requests import ClientDisconnect

from api._parts import Parts
from api.errors import ServiceError, explain

if TYPE_CHECKING:
    from api.settings import Settings

FOLDER = "received"
_PIECE = 256 << 10
# What is still read of a refused body: a client that is cut off while it sends may never see the answer.
_REST_BYTES = 8 << 20
_REST_SECONDS = 2.0
# After the first pause that is allowed, bytes must have come at this rate.
_SLOWEST_BYTES_PER_SECOND = 1024


@dataclass(slots=True)
class Received:
    """What came: `files` in order, below `folder`, `others` the files of fields other than `file` by field,
    and `fields` with all values of each form field.
    """

    folder: Path
    files: list[Path] = field(default_factory=list)
    others: dict[str, Path] = field(default_factory=dict)
    fields: dict[str, list[str]] = field(default_factory=dict)
    size: int = 0
    is_kept: bool = False

    def keep(self) -> None:
        """Leave the folder where it is, for a job that takes care of it: on the disk, before the job is."""
        for path in [*self.files, *self.others.values(), self.folder, self.folder.parent]:
            if path.exists():
                _sync(path)
        self.is_kept = True


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
    received = Received(settings.home / FOLDER / uuid4().hex)
    try:
        try:
            await _take(request, received, media_type, names, settings)
        except (ServiceError, OSError) as error:
            explained = explain(error)
            metrics.uploaded("failed" if explained is None else explained.code)
            raise
        metrics.uploaded("taken", received.size)
        try:
            yield received
        except Exception as error:
            # Sentences about a file name it as the client did, not where it lies here.
            if f"{received.folder}/" in str(error):
                error.args = (str(error).replace(f"{received.folder}/", ""),)
            raise
    finally:
        if not received.is_kept:
            await run_in_threadpool(shutil.rmtree, received.folder, ignore_errors=True)


async def _take(
    request: Request, received: Received, media_type: str, names: tuple[str, ...] | None, settings: Settings
) -> None:
    content_type, options = parse_options_header(request.headers.get("content-type"))
    boundary = options.get(b"boundary")
    if content_type.decode("latin-1").lower() != media_type or not boundary:
        raise ServiceError(
            "wrong-content-type",
            f"the body must be {media_type} with a boundary: see the header Content-Type.",
        )
    announced = request.headers.get("content-length", "")
    _check_size(int(announced) if announced.isdecimal() else 0, settings)
    await run_in_threadpool(received.folder.mkdir, 0o700, parents=True)
    _check_room(received.folder, int(announced) if announced.isdecimal() else 0, settings)
    try:
        parts = Parts(received, boundary, names, settings)
    except FormParserError as error:
        raise ServiceError("bad-multipart", f"the body cannot be read: {error}.") from None
    pieces = _pieces(request, settings)
    try:
        async for piece in pieces:
            received.size += len(piece)
            _check_size(received.size, settings)
            await run_in_threadpool(parts.write, piece)
        await run_in_threadpool(parts.finish)
    except ServiceError:
        await _read_rest(request)
        raise
    finally:
        await pieces.aclose()
        await run_in_threadpool(parts.close)


async def _pieces(request: Request, settings: Settings) -> AsyncGenerator[bytes]:
    """The body in larger pieces than it came in, as long as it comes fast enough."""
    stream = request.stream()
    begun, total, waiting = time.monotonic(), 0, bytearray()
    pause = settings.upload_pause_seconds
    while True:
        try:
            chunk = await asyncio.wait_for(anext(stream), pause)
        except StopAsyncIteration:
            break
        except TimeoutError:
            raise _too_slow() from None
        except ClientDisconnect:
            raise ServiceError("upload-incomplete", "the body ended too early: send it again.") from None
        total += len(chunk)
        waiting += chunk
        lasted = time.monotonic() - begun
        if lasted > pause and total < (lasted - pause) * _SLOWEST_BYTES_PER_SECOND:
            raise _too_slow()
        if len(waiting) >= _PIECE:
            yield bytes(waiting)
            waiting.clear()
    if waiting:
        yield bytes(waiting)


async def _read_rest(request: Request) -> None:
    """Let a client finish a refused body, if little of it is left."""
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
            "service's keeper raise max_upload_bytes.",
        )


def _check_room(folder: Path, size: int, settings: Settings) -> None:
    if size and shutil.disk_usage(folder).free < size + settings.min_free_bytes:
        raise ServiceError("disk-full", "the service's disk has no room for this upload: try again later.")


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _too_slow() -> ServiceError:
    return ServiceError("upload-too-slow", "the body comes too slowly: send it again over a faster line.")


def sweep_leftovers(home: Path, used: set[str], *, older_than: float = 86_400.0) -> None:
    """Delete what processes that were killed left of uploads: folders that nobody has touched for so many
    seconds and that no job or image names (`used` holds the names of folders that one does).
    """
    folder = home / FOLDER
    for left in folder.iterdir() if folder.is_dir() else ():
        if left.name not in used and time.time() - left.stat().st_mtime > older_than:
            shutil.rmtree(left, ignore_errors=True)
