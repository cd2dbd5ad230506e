"""Values -> 256 grey levels, as fast as their type allows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Pixels that are worked on at a time, so that what is made of them on the way stays in the cache.
_BLOCK = 1 << 17


def draw_ramp(stored: NDArray[Any], black: float, white: float) -> NDArray[np.uint8]:
    """Draw integers of at most 16 bits [H, W]: `black` becomes 0, `white` (which may be less) 255, values
    between lie on a line and are rounded half up.

    Values are clipped and counted from the nearer end as integers, then scaled in float32, so the result is
    that of exact arithmetic but where a level lies within 1e-4 of a half.
    """
    info = np.iinfo(stored.dtype)
    low = int(np.clip(np.floor(min(black, white)), info.min, info.max))
    high = int(np.clip(np.ceil(max(black, white)), info.min, info.max))
    scale = 255.0 / (white - black)
    ends = (low - black) * scale + 0.5, (high - black) * scale + 0.5
    factor, start = np.float32(scale), np.float32(ends[0])
    # Only where a level or more lies between neighbouring values can the clipped ends lie outside 0..255.
    outside = min(ends) < 0.0 or max(ends) > 255.9
    unsigned = np.dtype(f"u{stored.dtype.itemsize}")
    rows = min(max(_BLOCK // stored.shape[1], 1), len(stored))
    clipped = np.empty((rows, stored.shape[1]), stored.dtype)
    levels = np.empty(clipped.shape, np.float32)
    out = np.empty(stored.shape, np.uint8)
    for row in range(0, len(stored), rows):
        block = stored[row : row + rows]
        values, drawn = clipped[: len(block)], levels[: len(block)]
        np.clip(block, low, high, out=values)
        counted = values.view(unsigned)
        np.subtract(counted, unsigned.type(low % (1 << (8 * unsigned.itemsize))), out=counted)
        np.copyto(drawn, counted)
        np.multiply(drawn, factor, out=drawn)
        np.add(drawn, start, out=drawn)
        if outside:
            np.clip(drawn, np.float32(0.0), np.float32(255.5), out=drawn)
        np.copyto(out[row : row + rows], drawn, casting="unsafe")
    return out


def draw_levels(
    stored: NDArray[Any], levels: Callable[[NDArray[Any]], NDArray[np.float64]]
) -> NDArray[np.uint8]:
    """Apply `levels` (stored values -> 0..1) and round half up to uint8, through a table of all stored values
    where that is less work.
    """
    if is_small_integer(stored):
        low, high = int(stored.min()), int(stored.max())
        if high - low < stored.size:
            bits = 8 * stored.dtype.itemsize
            inputs = np.arange(low, high + 1)
            table = np.zeros(2**bits, dtype=np.uint8)
            table[inputs % 2**bits] = _to_uint8(levels(inputs))
            return _take(table, stored.view(f"u{stored.dtype.itemsize}"))
    return _to_uint8(levels(stored))


def is_small_integer(stored: NDArray[Any]) -> bool:
    """Whether the values are integers of at most 16 bits in the byte order of the machine."""
    return stored.dtype.kind in "iu" and stored.dtype.itemsize <= 2 and stored.dtype.isnative


def _take(table: NDArray[np.uint8], index: NDArray[Any]) -> NDArray[np.uint8]:
    # numpy widens the index to 64 bits: a few rows at a time keep that within the cache.
    out = np.empty(index.shape, dtype=np.uint8)
    rows = max(_BLOCK // max(index.shape[1], 1), 1)
    for start in range(0, len(index), rows):
        np.take(table, index[start : start + rows], out=out[start : start + rows], mode="clip")
    return out


def _to_uint8(levels: NDArray[np.float64]) -> NDArray[np.uint8]:
    return np.floor(np.nan_to_num(levels, nan=0.0) * 255.0 + 0.5).astype(np.uint8)
