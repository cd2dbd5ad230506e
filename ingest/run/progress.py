"""The progress of a run, with its rate and the time left."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

REPORT_EVERY_S = 0.1


@dataclass(frozen=True, slots=True)
class Progress:
    """The progress of a run: files `done` of `total` (None while unknown), files per second, seconds left
    (None: unknown).

    Stages follow each other: `walk`, `scan`, `embed`. `images` counts the vectors committed so far.
    """

    stage: Literal["walk", "scan", "embed"]
    done: int
    total: int | None
    rate: float = 0.0
    seconds_left: float | None = None
    images: int = 0


OnProgress = Callable[[Progress], None]


class StageClock:
    """Counts the files of one stage and reports its rate and time left to `on_progress`."""

    def __init__(
        self, on_progress: OnProgress | None, stage: Literal["walk", "scan", "embed"], total: int | None
    ) -> None:
        self._on_progress = on_progress
        self._stage: Literal["walk", "scan", "embed"] = stage
        self._total = total
        self._begun = time.monotonic()
        self._reported = 0.0
        self.done = 0
        self.images = 0

    def advance(self, files: int, images: int = 0) -> None:
        """Count `files` more files and `images` more images."""
        self.done += files
        self.images += images
        now = time.monotonic()
        if self._on_progress is not None and (
            now - self._reported > REPORT_EVERY_S or self.done == self._total
        ):
            self._reported = now
            self.report()

    def report(self) -> None:
        """Report the progress of the stage."""
        if self._on_progress is None:
            return
        elapsed = time.monotonic() - self._begun
        rate = self.done / elapsed if elapsed > 0 else 0.0
        left = (self._total - self.done) / rate if self._total is not None and rate > 0 else None
        self._on_progress(Progress(self._stage, self.done, self._total, rate, left, self.images))
