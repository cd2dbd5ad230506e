"""Which values become black and white where nothing says so: percentiles, and extremes without outliers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Nothing is published for MR; these percentiles of the series are a choice of this project.
PERCENTILES = (0.5, 99.5)
FULL_RANGE = (0.0, 100.0)
# The full range leaves out an extreme whose distance from the middle of the pixels (these percentiles) is
# more than so many times the width of the middle: dead pixels of a detector, not anatomy and not markers.
_MIDDLE = (0.1, 99.9)
_OUTLIER_SPANS = 3.0
_BLOCK = 1 << 16

Values = NDArray[np.float64]
Counts = NDArray[np.int64]


def limits_of(
    values: Values, counts: Counts, percentiles: tuple[float, float] = PERCENTILES
) -> tuple[float, float]:
    """Percentiles of `values` [n] of which each occurs `counts` [n] times, interpolated as numpy does; the
    extremes where both coincide.

    `FULL_RANGE` means the extremes without outliers. NaN and infinities do not count; 0, 0 if nothing counts.
    """
    finite = np.isfinite(values)
    values, counts = values[finite], counts[finite]
    if not values.size:
        return 0.0, 0.0
    order = np.argsort(values, kind="stable")
    values, last = values[order], np.cumsum(counts[order])
    low, high = (_percentile(values, last, p) for p in percentiles)
    if percentiles == FULL_RANGE:
        low, high = _without_outliers(low, high, *(_percentile(values, last, p) for p in _MIDDLE))
    return (low, high) if high > low else (float(values[0]), float(values[-1]))


def counted(stored: NDArray[Any]) -> tuple[NDArray[Any], Counts]:
    """The distinct values of an array of any shape, and how often each occurs."""
    if is_narrow(stored):
        levels = all_values(stored.dtype)
        least = -int(levels[0])
        counts = np.zeros(len(levels), np.int64)
        for block in blocks(stored):
            counts += np.bincount(block.astype(np.int64) + least, minlength=len(levels))
        present = np.flatnonzero(counts)
        return levels[present].astype(np.int64), counts[present]
    levels, counts = np.unique(stored, return_counts=True)
    return levels, counts.astype(np.int64)


def is_narrow(stored: NDArray[Any]) -> bool:
    """Whether the values are integers of at most 16 bits, of which a table can hold all."""
    return stored.dtype.kind in "iu" and stored.dtype.itemsize <= 2


def all_values(dtype: np.dtype[Any]) -> NDArray[np.int64]:
    """All values of an integer type, from the least on."""
    limits = np.iinfo(dtype)
    return np.arange(int(limits.min), int(limits.max) + 1)


def through_table(stored: NDArray[Any], table: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The entry of `table` for each value, where it has one for each of `all_values`.

    Both this and `counted` go block by block: numpy makes eight bytes of each value that is an index.
    """
    least = int(np.iinfo(stored.dtype).min)
    out = np.empty(stored.size, np.uint8)
    start = 0
    for block in blocks(stored):
        out[start : start + len(block)] = table[block.astype(np.intp) - least]
        start += len(block)
    return out.reshape(stored.shape)


def blocks(stored: NDArray[Any]) -> Iterator[NDArray[Any]]:
    """The values in order, in parts that fit in a cache."""
    flat = stored.reshape(-1)
    return (flat[i : i + _BLOCK] for i in range(0, len(flat), _BLOCK))


def _without_outliers(low: float, high: float, middle_low: float, middle_high: float) -> tuple[float, float]:
    reach = _OUTLIER_SPANS * (middle_high - middle_low)
    return (
        middle_low if middle_low - low > reach else low,
        middle_high if high - middle_high > reach else high,
    )


def _percentile(values: Values, last: Counts, percentile: float) -> float:
    rank = percentile / 100.0 * (int(last[-1]) - 1)
    below = int(np.floor(rank))
    first, second = (
        float(values[np.searchsorted(last, min(r, int(last[-1]) - 1), side="right")])
        for r in (below, below + 1)
    )
    return first + (second - first) * (rank - below)
