"""Rules for every body that comes in, JSON or upload: its pace, the room on the disk, and what is done with
the rest of a refused one.
"""

from __future__ import annotations

import asyncio
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING

from starlette.types import Message, Receive

from medsiglip.api.errors import ServiceError

if TYPE_CHECKING:
    from medsiglip.api.settings import Settings

# How much of a refused body is still read: a client that is cut off while it sends may never see the
# response.
_REST_BYTES = 8 << 20
_REST_SECONDS = 2.0
# The least rate of a body, over the time in which the server waits for it.
_SLOWEST_BYTES_PER_SECOND = 1024


class TooSlowError(Exception):
    """A body that stands still for too long, or comes too slowly."""


class Pace:
    """Receives a body as long as it comes fast enough, measured window by window.

    Only the time in which the server waits for the client counts. A fast start does not make up for a slow
    rest.
    """

    def __init__(self, settings: Settings) -> None:
        self._window = settings.upload_pause_seconds
        self._end = time.monotonic() + settings.upload_seconds
        self._waited = 0.0
        self._bytes = 0

    async def receive(self, receive: Receive) -> Message:
        """The next message; raises `TooSlowError`."""
        begun = time.monotonic()
        try:
            message = await asyncio.wait_for(receive(), self._window)
        except TimeoutError:
            raise TooSlowError from None
        self._waited += time.monotonic() - begun
        self._check(len(message.get("body", b"")))
        return message

    def _check(self, count: int) -> None:
        self._bytes += count
        if time.monotonic() > self._end:
            raise TooSlowError
        if self._waited < self._window:
            return
        if self._bytes < self._waited * _SLOWEST_BYTES_PER_SECOND:
            raise TooSlowError
        self._waited, self._bytes = 0.0, 0


def announced_size(content_length: str) -> int:
    """The number of bytes that a header Content-Length announces, 0 if it announces none."""
    return int(content_length) if content_length.isdecimal() else 0


def check_room(folder: Path, size: int, settings: Settings) -> None:
    """Raise ServiceError `disk-full` where `size` more bytes would leave less than `min_free_bytes` free."""
    if shutil.disk_usage(folder).free < size + settings.min_free_bytes:
        raise ServiceError("disk-full", "the service's disk has no room for this request: try again later.")


async def read_rest(receive: Receive) -> None:
    """Read the rest of a refused body, if little of it is left."""
    left = _REST_BYTES
    try:
        async with asyncio.timeout(_REST_SECONDS):
            while left > 0:
                message = await receive()
                left -= len(message.get("body", b""))
                if message["type"] != "http.request" or not message.get("more_body", False):
                    return
    except TimeoutError:
        return
