"""Rows of float32 in blocks, so that adding or removing some copies only the blocks that they are in."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from medsiglip.index.vectors import Vectors

ROWS = 65_536
"""Rows of a full block."""


class RowBlocks:
    """Rows float32 [n, d] by place, 0 to n - 1. A removal moves the rows after it up, in their order."""

    def __init__(self, dimension: int) -> None:
        self.dimension = dimension
        self._full: list[Vectors] = []
        # The block that grows: its capacity doubles up to ROWS.
        self._last: Vectors = np.empty((0, dimension), np.float32)
        self._used = 0

    @classmethod
    def of(cls, rows: Vectors) -> RowBlocks:
        """Blocks that are views of rows [n, d], which may be mapped from a file."""
        blocks = cls(rows.shape[1])
        blocks._full = [rows[start : start + ROWS] for start in range(0, len(rows), ROWS)]
        return blocks

    def __len__(self) -> int:
        return sum(map(len, self._full)) + self._used

    def blocks(self) -> Iterator[tuple[int, Vectors]]:
        """Each block with the place of its first row; valid until the next change."""
        start = 0
        for block in (*self._full, self._last[: self._used]):
            if len(block):
                yield start, block
            start += len(block)

    def append(self, rows: Vectors) -> None:
        """Add rows [m, d] at the end."""
        done = 0
        while done < len(rows):
            part = rows[done : done + ROWS - self._used]
            needed = self._used + len(part)
            if needed > len(self._last):
                grown = np.empty((min(ROWS, max(needed, 2 * len(self._last))), self.dimension), np.float32)
                grown[: self._used] = self._last[: self._used]
                self._last = grown
            self._last[self._used : needed] = part
            self._used, done = needed, done + len(part)
            if self._used == ROWS:
                self._full.append(self._last)
                self._last, self._used = np.empty((0, self.dimension), np.float32), 0

    def keep(self, mask: NDArray[np.bool_]) -> None:
        """Remove the rows where `mask`, bool [n], is false."""
        kept = []
        for start, block in self.blocks():
            chosen = mask[start : start + len(block)]
            kept.append(block if chosen.all() else block[chosen])
        kept = [block for block in kept if len(block)]
        self._last, self._used = np.empty((0, self.dimension), np.float32), 0
        self._full = kept
        if len(kept) > 2 * (len(self) // ROWS + 2):
            # One block at a time, so that the rows are not in memory twice.
            self._full = []
            kept.reverse()
            while kept:
                self.append(kept.pop())

    def take(self, places: NDArray[np.int64]) -> Vectors:
        """The rows at these places, float32 [m, d]."""
        rows = np.empty((len(places), self.dimension), np.float32)
        for start, block in self.blocks():
            inside = np.flatnonzero((places >= start) & (places < start + len(block)))
            if len(inside):
                rows[inside] = block[places[inside] - start]
        return rows
