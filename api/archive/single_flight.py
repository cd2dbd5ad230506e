"""`SingleFlight`: an expensive value that one thread computes for all, and that is kept for a while."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

Answer = TypeVar("Answer")
_SECONDS_AFTER_FAILURE = 15.0
_log = logging.getLogger("medsiglip.operations")


class SingleFlight(Generic[Answer]):
    """The result of `compute`, at most `seconds` old.

    Callers choose how long they wait; there is never more than one computation at a time, however long it
    hangs.
    """

    def __init__(
        self, compute: Callable[[], Answer], seconds: float, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._compute = compute
        self._seconds = seconds
        self._clock = clock
        self._changed = threading.Condition()
        self._answer: Answer | None = None
        self._until = float("-inf")
        self._is_running = False

    def get(self, wait_seconds: float) -> Answer | None:
        """The result; None where none comes in time or the computation fails, which is logged."""
        deadline = time.monotonic() + wait_seconds
        with self._changed:
            if self._clock() < self._until:
                return self._answer
            if not self._is_running:
                self._is_running = True
                threading.Thread(target=self._run, name="single-flight", daemon=True).start()
            while self._is_running and (left := deadline - time.monotonic()) > 0:
                self._changed.wait(left)
            return None if self._is_running and wait_seconds else self._answer

    def _run(self) -> None:
        answer: Answer | None = None
        seconds = self._seconds
        try:
            answer = self._compute()
        except Exception:
            seconds = min(seconds, _SECONDS_AFTER_FAILURE)
            _log.exception("a figure could not be had")
        with self._changed:
            self._answer, self._until = answer, self._clock() + seconds
            self._is_running = False
            self._changed.notify_all()
