"""Rate and time left of a stage, told a few times a second."""

from __future__ import annotations

import time
from typing import Literal

from medsiglip.ingest.run.report import OnProgress, Progress

TELL_EVERY_S = 0.1


class StageClock:
    """Counts the files of one stage and tells `on_progress`."""

    def __init__(
        self, on_progress: OnProgress | None, stage: Literal["walk", "scan", "embed"], total: int | None
    ) -> None:
        self._on_progress = on_progress
        self._stage: Literal["walk", "scan", "embed"] = stage
        self._total = total
        self._begun = time.monotonic()
        self._told = 0.0
        self.done = 0
        self.images = 0

    def advance(self, files: int, images: int = 0) -> None:
        """Count `files` more files and `images` more images."""
        self.done += files
        self.images += images
        now = time.monotonic()
        if self._on_progress is not None and (now - self._told > TELL_EVERY_S or self.done == self._total):
            self._told = now
            self.tell()

    def tell(self) -> None:
        """Tell where the stage stands."""
        if self._on_progress is None:
            return
        elapsed = time.monotonic() - self._begun
        rate = self.done / elapsed if elapsed > 0 else 0.0
        left = (self._total - self.done) / rate if self._total is not None and rate > 0 else None
        self._on_progress(Progress(self._stage, self.done, self._total, rate, left, self.images))
