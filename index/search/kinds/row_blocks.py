"""Rows in blocks: adding or removing some copies only the blocks that they are in, and copies share them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medsiglip.index.search.kinds.row_file import RowFile

ROWS = 65_536
"""Rows of a full block."""
HEAD = 128
"""Bytes of memory before the rows of every block, which their owner may use."""
IN_MEMORY = 4 << 30
"""Bytes of full blocks of vectors in memory, beyond which further ones are put into a file and mapped."""

Rows = NDArray[Any]


class RowBlocks:
    """Rows [n, width] of one type by place, 0 to n - 1. A removal moves the rows after it up, in their order.

    One thread at a time may change rows and their copies; others may read them, and those of other copies.
    """

    def __init__(self, width: int, dtype: Any = np.float32) -> None:
        self.width = width
        self.dtype = np.dtype(dtype)
        self._full: list[Rows] = []
        # The block that grows: its capacity doubles up to ROWS. Copies share it until they differ.
        self._last = _Growing(self._room(0))
        self._used = 0
        self._file: RowFile | None = None

    @classmethod
    def of(cls, width: int, blocks: Sequence[Rows]) -> RowBlocks:
        """Blocks [m, width] of one type that are used as they are, such as some mapped from a file."""
        held = cls(width, blocks[0].dtype if blocks else np.float32)
        held._full = list(blocks)
        return held

    def copy(self) -> RowBlocks:
        """The same rows in the same memory; changes of one are never seen in the other."""
        other = RowBlocks(self.width, self.dtype)
        other._full, other._last, other._used = list(self._full), self._last, self._used
        other._file = self._file
        return other

    def __len__(self) -> int:
        return sum(map(len, self._full)) + self._used

    def blocks(self) -> Iterator[tuple[int, Rows]]:
        """Each block with the place of its first row."""
        start = 0
        for block in (*self._full, self._last.rows[: self._used]):
            if len(block):
                yield start, block
            start += len(block)

    def append(self, rows: Rows) -> None:
        """Add rows [m, width] at the end."""
        done = 0
        while done < len(rows):
            part = rows[done : done + ROWS - self._used]
            needed = self._used + len(part)
            if needed > len(self._last.rows) or self._last.filled != self._used:
                grown = self._room(min(ROWS, max(needed, 2 * self._used)))
                grown[: self._used] = self._last.rows[: self._used]
                self._last = _Growing(grown)
            self._last.rows[self._used : needed] = part
            self._last.filled = self._used = needed
            done += len(part)
            if self._used == ROWS:
                self._full.append(self._settled(self._last.rows))
                self._last, self._used = _Growing(self._room(0)), 0

    def keep(self, mask: NDArray[np.bool_]) -> None:
        """Remove the rows where `mask`, bool [n], is false."""
        kept = []
        for start, block in self.blocks():
            chosen = mask[start : start + len(block)]
            kept.append(block if chosen.all() else self._settled(self._chosen(block, chosen)))
        kept = [block for block in kept if len(block)]
        self._last, self._used = _Growing(self._room(0)), 0
        self._full = kept
        if len(kept) > 2 * (len(self) // ROWS + 2):
            # One block at a time, so that the rows are not in memory twice.
            self._full = []
            kept.reverse()
            while kept:
                self.append(kept.pop())

    def take(self, places: NDArray[np.int64]) -> Rows:
        """The rows at these places, [m, width]."""
        held = list(self.blocks())
        if len(held) == 1:
            return np.take(held[0][1], places, axis=0)
        rows = np.empty((len(places), self.width), self.dtype)
        of = np.searchsorted([start for start, _ in held], places, side="right") - 1
        for number in np.unique(of).tolist():
            start, block = held[number]
            inside = np.flatnonzero(of == number)
            rows[inside] = block[places[inside] - start]
        return rows

    def span(self, start: int, end: int) -> Rows:
        """The rows from one place up to another, which are not copied where they lie in one block."""
        found = [self._room(0)]
        for first, block in self.blocks():
            if first < end and start < first + len(block):
                found.append(block[max(start - first, 0) : end - first])
        return found[1] if len(found) == 2 else np.concatenate(found)

    def _chosen(self, block: Rows, mask: NDArray[np.bool_]) -> Rows:
        rows = self._room(int(np.count_nonzero(mask)))
        np.compress(mask, block, axis=0, out=rows)
        return rows

    def _settled(self, block: Rows) -> Rows:
        """A block that does not grow any more, in the file if it is of vectors and enough are in memory."""
        held = sum(one.nbytes for one in self._full if one.flags.writeable)
        if self.dtype == np.float32 and len(block) and held + block.nbytes > IN_MEMORY:
            # On a full disk it stays where it is.
            with suppress(OSError):
                self._file = self._file or RowFile()
                block = self._file.mapped(block)
        return block

    def _room(self, rows: int) -> Rows:
        memory = np.empty(HEAD + rows * self.width * self.dtype.itemsize, np.uint8)
        found: Rows = memory[HEAD:].view(self.dtype).reshape(rows, self.width)
        return found


class _Growing:
    """Rows of which the first `filled` are in use by some copy."""

    def __init__(self, rows: Rows) -> None:
        self.rows = rows
        self.filled = 0
