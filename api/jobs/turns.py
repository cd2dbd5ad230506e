"""Whose turn it is in a worker: that of an ingest of many files, or that of small jobs which wait behind it.

A large ingest stops between two commits when its turn is over, lets small jobs run for as long as a turn, and
goes on. So a small job waits no longer than a turn and a commit, and a stream of small jobs leaves the large
one half of the time. Nothing of the large ingest is read again, as it would be if it were handed back.
"""

from __future__ import annotations

import time
from collections.abc import Callable

TURN_SECONDS = 20.0
LOOK_SECONDS = 2.0


class Turns:
    """The turns of one large job, by `clock` in seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._over_at = clock() + TURN_SECONDS

    def let_others(self, run_next: Callable[[], bool]) -> None:
        """If the turn of the large job is over, call `run_next` until it returns False, for no small job
        waits, or until the turn of the small ones is over, too.
        """
        begun = self._clock()
        if begun < self._over_at:
            return
        has_run = False
        while self._clock() - begun < TURN_SECONDS and run_next():
            has_run = True
        self._over_at = self._clock() + (TURN_SECONDS if has_run else LOOK_SECONDS)
