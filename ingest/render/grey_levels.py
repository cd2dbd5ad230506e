"""Values to 256 grey levels, as fast as their type allows.

Where the transformation is a line, it and the modality transformation are one multiplication; else every
stored value of at most 16 bits is transformed once, in a table, and the picture is one table lookup.
"""

from __future__ import annotations

from collections.abc import Callable
from math import isfinite
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medsiglip.ingest.render.attributes import PixelAttributes
from medsiglip.ingest.render.modality_values import Stored, Values, modality_values

# Pixels that are worked on at a time, so that intermediate results stay in the cache.
_BLOCK = 1 << 17


def linear_levels(
    stored: Stored, attributes: PixelAttributes, black: float, white: float, *, inverted: bool
) -> NDArray[np.uint8]:
    """Map values after the modality transformation linearly, `black` to 0 and `white` to 255, exchanged if
    `inverted`.
    """
    if _is_small_integer(stored) and attributes.modality_lut is None:
        slope, intercept = attributes.rescale_slope, attributes.rescale_intercept
        ends = [(end - intercept) / slope for end in ((white, black) if inverted else (black, white))]
        if stored.dtype == np.uint8 and ends == [0.0, 255.0]:
            return np.ascontiguousarray(stored)
        if isfinite(ends[0]) and isfinite(ends[1]) and ends[0] != ends[1]:
            return ramp_levels(stored, *ends)
    return mapped_levels(
        stored,
        attributes,
        lambda values: np.clip((values - black) / (white - black), 0.0, 1.0),
        inverted=inverted,
    )


def mapped_levels(
    stored: Stored, attributes: PixelAttributes, shown: Callable[[Values], Values], *, inverted: bool
) -> NDArray[np.uint8]:
    """Map values after the modality transformation by `shown` (values to 0..1), exchanged if `inverted`."""

    def levels(values: Stored) -> Values:
        visible = shown(modality_values(values, attributes))
        return 1.0 - visible if inverted else visible

    return _tabulated(stored, levels)


def ramp_levels(stored: Stored, black: float, white: float) -> NDArray[np.uint8]:
    """Map integers of at most 16 bits [H, W]: `black` becomes 0, `white` (which may be less) 255, values
    between lie on a line and are rounded half up.

    Values are clipped and counted from the nearer end as integers, then scaled in float32, so the result is
    that of exact arithmetic except where a level lies within 1e-4 of a half.
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
    scaled = np.empty(clipped.shape, np.float32)
    out = np.empty(stored.shape, np.uint8)
    for row in range(0, len(stored), rows):
        block = stored[row : row + rows]
        values, levels = clipped[: len(block)], scaled[: len(block)]
        np.clip(block, low, high, out=values)
        counted = values.view(unsigned)
        np.subtract(counted, unsigned.type(low % (1 << (8 * unsigned.itemsize))), out=counted)
        np.copyto(levels, counted)
        np.multiply(levels, factor, out=levels)
        np.add(levels, start, out=levels)
        if outside:
            np.clip(levels, np.float32(0.0), np.float32(255.5), out=levels)
        np.copyto(out[row : row + rows], levels, casting="unsafe")
    return out


def _tabulated(stored: Stored, levels: Callable[[Stored], Values]) -> NDArray[np.uint8]:
    """Apply `levels` (stored values to 0..1) and round half up to uint8, through a table of all stored values
    where that is less work.
    """
    if _is_small_integer(stored):
        low, high = int(stored.min()), int(stored.max())
        if high - low < stored.size:
            bits = 8 * stored.dtype.itemsize
            inputs = np.arange(low, high + 1)
            table = np.zeros(2**bits, dtype=np.uint8)
            table[inputs % 2**bits] = _to_uint8(levels(inputs))
            return _take(table, stored.view(f"u{stored.dtype.itemsize}"))
    return _to_uint8(levels(stored))


def _is_small_integer(stored: Stored) -> bool:
    """Whether the values are integers of at most 16 bits in the byte order of the machine."""
    return stored.dtype.kind in "iu" and stored.dtype.itemsize <= 2 and stored.dtype.isnative


def _take(table: NDArray[np.uint8], index: NDArray[Any]) -> NDArray[np.uint8]:
    # numpy widens the index to 64 bits: a few rows at a time keep that within the cache.
    out = np.empty(index.shape, dtype=np.uint8)
    rows = max(_BLOCK // max(index.shape[1], 1), 1)
    for start in range(0, len(index), rows):
        np.take(table, index[start : start + rows], out=out[start : start + rows], mode="clip")
    return out


def _to_uint8(levels: Values) -> NDArray[np.uint8]:
    return np.floor(np.nan_to_num(levels, nan=0.0) * 255.0 + 0.5).astype(np.uint8)
