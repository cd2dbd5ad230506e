"""Questions to PACS that are asked at once: a few, since each holds a thread while its PACS thinks."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from fastapi import Request

from medsiglip.api.errors import ServiceError

MOST_AT_ONCE = 8


class Turns:
    """How many questions may still be asked."""

    def __init__(self, most: int = MOST_AT_ONCE) -> None:
        self._free = threading.BoundedSemaphore(most)

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Take a turn; raises ServiceError `too-busy`."""
        if not self._free.acquire(blocking=False):
            raise ServiceError("too-busy", "too many questions to PACS at once: try again.", retry_after=5.0)
        try:
            yield
        finally:
            self._free.release()


def turns_of(request: Request) -> Turns:
    """The turns of this server."""
    turns: Turns = request.app.state.pacs_turns
    return turns
