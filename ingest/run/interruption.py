"""Stopping a run by Ctrl-C, SIGTERM or another thread, never in the middle of a commit."""

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
    """The first signal raises KeyboardInterrupt, the second ends the process with exit code 130. After `stop`
    only the next `check` raises it.
    """

    def __init__(self) -> None:
        self.requested = False
        self._holders = 0

    @contextmanager
    def held(self) -> Iterator[None]:
        """Finish the block first; KeyboardInterrupt is raised at its end."""
        self._holders += 1
        try:
            yield
        finally:
            self._holders -= 1
        self.check()

    def check(self) -> None:
        """Raise KeyboardInterrupt if it was requested: a library may have swallowed the first one."""
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
    """Let `interruption.stop()` end the runs of this thread; signals are not handled."""
    token = _current.set(interruption)
    try:
        yield interruption
    finally:
        _current.reset(token)


@contextmanager
def interruptible() -> Iterator[Interruption]:
    """Handle SIGINT and SIGTERM within the block; inside another one or `stoppable`, share its interruption.

    Outside the main thread no signal arrives. A signal that the process ignores stays ignored.
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
