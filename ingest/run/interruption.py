"""Ctrl-C, SIGTERM or another thread's word while a run is on: it stops, never in the middle of a commit."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_SHOW_CURSOR = b"\x1b[?25h\n"


class Interruption:
    """The first signal raises KeyboardInterrupt, the second ends the process with exit code 130. `stop` has
    it raised at the next `check` only.
    """

    def __init__(self) -> None:
        self.requested = False
        self._holders = 0

    @contextmanager
    def held(self) -> Iterator[None]:
        """What is in hand is finished first; KeyboardInterrupt comes at its end."""
        self._holders += 1
        try:
            yield
        finally:
            self._holders -= 1
        self.check()

    def check(self) -> None:
        """Raise what a library may have swallowed: it arises in whatever code runs then."""
        if self.requested and not self._holders:
            raise KeyboardInterrupt

    def stop(self) -> None:
        """End the run at its next `check`; safe from any thread and in a signal handler."""
        self.requested = True

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self.requested:
            if sys.stderr.isatty():  # a progress display may have hidden it
                os.write(2, _SHOW_CURSOR)
            os._exit(130)
        self.requested = True
        self.check()


_current: ContextVar[Interruption | None] = ContextVar("interruption", default=None)


@contextmanager
def stoppable(interruption: Interruption) -> Iterator[Interruption]:
    """Have runs of this thread end by `interruption.stop()`; signals are left to whoever takes them."""
    token = _current.set(interruption)
    try:
        yield interruption
    finally:
        _current.reset(token)


@contextmanager
def interruptible() -> Iterator[Interruption]:
    """Take SIGINT and SIGTERM for as long as this lasts; inside another one or `stoppable`, share it.

    Outside the main thread no signal arrives, and whoever ignores SIGINT goes on ignoring it.
    """
    shared = _current.get()
    if shared is not None:
        yield shared
        return
    interruption = Interruption()
    if threading.current_thread() is not threading.main_thread():
        yield interruption
        return
    before = {number: signal.getsignal(number) for number in _SIGNALS}
    taken = [number for number in _SIGNALS if before[number] is not signal.SIG_IGN]
    try:
        for number in taken:
            signal.signal(number, interruption._on_signal)
        with stoppable(interruption):
            yield interruption
    finally:
        for number in taken:
            signal.signal(number, before[number])
