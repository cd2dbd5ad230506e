"""Bodies that are no uploads: read when a route asks for one, as long as they come fast enough, in memory
that many slow senders together do not exceed.

Until such a body is whole, no more than `HELD_BYTES` of it are in memory; the rest is in a file without a
name, which the system removes however the process ends. Whole bodies share a fixed amount of memory, for
which the next one waits. Uploads (`medsiglip.api.http.uploads`) have limits of their own.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from tempfile import TemporaryFile
from typing import IO, TYPE_CHECKING

from fastapi import HTTPException
from fastapi.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from medsiglip.api.errors import ServiceError
from medsiglip.api.http.messages.body_rules import (
    Pace,
    TooSlowError,
    announced_size,
    check_room,
    read_rest,
)

if TYPE_CHECKING:
    from medsiglip.api.settings import Settings

HELD_BYTES = 64 << 10
"""How much of a body that is not whole yet is in memory; larger ones are rare."""
UPLOAD = "body_is_upload"
"""Set in a request's state by a route that receives the body itself, piece by piece."""
# Of the largest bodies so many are handled at once.
_LARGEST_AT_ONCE = 4


class BodyLimit:
    """Gives routes the whole body in one message, or refuses it."""

    def __init__(self, app: ASGIApp, settings: Callable[[], Settings], max_bytes: int) -> None:
        """`settings` gives those of the moment; `max_bytes` of a body does not change while a server runs."""
        self._app = app
        self._settings = settings
        self._memory = Memory(_LARGEST_AT_ONCE * max_bytes)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request; its body's memory is free for others when the response begins."""
        headers = Headers(scope=scope) if scope["type"] == "http" else Headers()
        if "content-length" not in headers and "transfer-encoding" not in headers:
            await self._app(scope, receive, send)
            return
        body = _Body(scope, receive, self._settings(), self._memory)

        async def answer(message: Message) -> None:
            body.release()
            await send(message)

        try:
            await self._app(scope, body.receive, answer)
        finally:
            body.release()


class Memory:
    """A number of bytes that are taken and given back; who finds too few of them waits, in order."""

    def __init__(self, size: int) -> None:
        self._free = size
        self._turn = asyncio.Lock()
        self._freed = asyncio.Event()

    async def take(self, size: int) -> None:
        """Take bytes, at most as many as there are in all."""
        async with self._turn:
            while self._free < size:
                self._freed.clear()
                await self._freed.wait()
            self._free -= size

    def give_back(self, size: int) -> None:
        """Give bytes back."""
        self._free += size
        self._freed.set()


class _Body:
    """The body of one request."""

    def __init__(self, scope: Scope, receive: Receive, settings: Settings, memory: Memory) -> None:
        self._state = scope.setdefault("state", {})
        self._announced = announced_size(Headers(scope=scope).get("content-length", ""))
        self._receive = receive
        self._settings = settings
        self._memory = memory
        self._taken = 0
        self._is_given = False

    async def receive(self) -> Message:
        """The whole body as one message, then what comes after it; of an upload every message as it comes.

        Raises HTTPException, caused by ServiceError `body-too-large`, `body-too-slow`, `body-incomplete`
        or `disk-full`: this is called from within FastAPI, which makes anything else a 400.
        """
        if self._is_given or self._state.get(UPLOAD):
            return await self._receive()
        self._is_given = True
        spool = Spool(self._settings)
        try:
            await self._fill(spool)
            if spool.size > HELD_BYTES:
                await self._memory.take(spool.size)
                self._taken = spool.size
            return {"type": "http.request", "body": await spool.content(), "more_body": False}
        except ServiceError as error:
            raise HTTPException(400) from error
        finally:
            spool.close()

    def release(self) -> None:
        """The route is done with the body."""
        self._memory.give_back(self._taken)
        self._taken = 0

    async def _fill(self, spool: Spool) -> None:
        pace, has_ended = Pace(self._settings), False
        try:
            self._check(self._announced)
            while not has_ended:
                message = await pace.receive(self._receive)
                if message["type"] == "http.disconnect":
                    has_ended = True
                    raise ServiceError("body-incomplete", "the body ended too early: send it again.")
                has_ended = not message.get("more_body", False)
                piece = message.get("body", b"")
                self._check(spool.size + len(piece))
                await spool.write(piece)
                del message, piece  # not held while the next one is waited for
        except TooSlowError:
            raise ServiceError(
                "body-too-slow", "the body comes too slowly: send it again over a faster line."
            ) from None
        except ServiceError:
            if not has_ended:
                await read_rest(self._receive)
            raise

    def _check(self, size: int) -> None:
        if size > self._settings.max_json_bytes:
            raise ServiceError(
                "body-too-large",
                f"the body is larger than {self._settings.max_json_bytes} bytes: send less at once.",
            )


class Spool:
    """Bytes in memory, and beyond `HELD_BYTES` in a file without a name in the home, or among the system's
    temporary files where the home cannot be written.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._held = bytearray()
        self._file: IO[bytes] | None = None
        self.size = 0

    async def write(self, piece: bytes) -> None:
        """Add bytes; raises ServiceError `disk-full`."""
        self.size += len(piece)
        if self._file is None and self.size <= HELD_BYTES:
            self._held += piece
            return
        try:
            await run_in_threadpool(self._write, piece)
        except OSError:
            raise ServiceError(
                "disk-full", "the service's disk cannot take the body: try again later."
            ) from None

    async def content(self) -> bytes:
        """All bytes."""
        return bytes(self._held) if self._file is None else await run_in_threadpool(self._read)

    def close(self) -> None:
        """Forget them."""
        self._held.clear()
        if self._file is not None:
            self._file.close()

    def _write(self, piece: bytes) -> None:
        home = self._settings.home
        check_room(home, len(piece), self._settings)
        if self._file is None:
            folder = home if os.access(home, os.W_OK) else None
            self._file = TemporaryFile(dir=folder, buffering=0)  # noqa: SIM115 (`close` ends it)
            self._file.write(self._held)
            self._held.clear()
        self._file.write(piece)

    def _read(self) -> bytes:
        assert self._file is not None
        self._file.seek(0)
        return self._file.read()
