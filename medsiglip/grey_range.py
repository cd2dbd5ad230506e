"""Which values become black and white where nothing says so: percentiles, and extremes without outliers."""

from __future__ import annotations

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
    if stored.dtype.kind in "iu" and stored.dtype.itemsize <= 2:
        start = int(stored.min())
        counts = np.bincount(stored.ravel().astype(np.int64) - start)
        present = np.flatnonzero(counts)
        return present + start, counts[present].astype(np.int64)
    levels, counts = np.unique(stored, return_counts=True)
    return levels, counts.astype(np.int64)


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
