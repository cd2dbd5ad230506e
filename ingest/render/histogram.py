"""The values that become black and white without a window: percentiles over all slices of a series."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from medsiglip.ingest.render.attributes import PixelAttributes
from medsiglip.ingest.render.modality_values import Stored, Values, modality_values

# Nothing is published for MR; these percentiles of the series are a choice of this project.
PERCENTILES = (0.5, 99.5)
FULL_RANGE = (0.0, 100.0)
# The full range leaves out an extreme whose distance from the middle of the pixels (these percentiles) is
# more than so many times the width of the middle: dead pixels of a detector, not anatomy and not markers.
_MIDDLE = (0.1, 99.9)
_OUTLIER_SPANS = 3.0
# Distinct values that are kept by slice before they are merged: 32 MB.
_MAX_LOOSE = 1 << 21


class ValueHistogram:
    """Counts of values after the modality transformation, padding left out, over the slices of a series."""

    def __init__(self) -> None:
        self._values: list[Values] = []
        self._counts: list[NDArray[np.int64]] = []
        self._loose = 0

    def add(self, stored: Stored, attributes: PixelAttributes) -> None:
        """Count one frame [H, W]."""
        levels, counts = _counted(stored)
        if attributes.padding is not None:
            low, high = attributes.padding
            kept = (levels < low) | (levels > high)
            if kept.any():
                levels, counts = levels[kept], counts[kept]
        self._values.append(modality_values(levels, attributes))
        self._counts.append(counts)
        self._loose += counts.size
        self._merge()

    def extend(self, other: ValueHistogram) -> None:
        """Add the counts of `other`."""
        self._values += other._values
        self._counts += other._counts
        self._loose += sum(counts.size for counts in other._counts)
        self._merge()

    def _merge(self) -> None:
        """Merge equal values of many slices, so that memory is bounded by the number of distinct values."""
        if self._loose <= _MAX_LOOSE:
            return
        values, place = np.unique(np.concatenate(self._values), return_inverse=True)
        counts = np.zeros(values.size, np.int64)
        np.add.at(counts, place, np.concatenate(self._counts))
        self._values, self._counts, self._loose = [values], [counts], 0

    def limits(self, percentiles: tuple[float, float] = PERCENTILES) -> tuple[float, float]:
        """Percentiles of all counted pixels, interpolated as numpy does; the extremes where both coincide.

        `FULL_RANGE` means the extremes without outliers. NaN and infinities do not count; 0, 0 if nothing
        counts.
        """
        if not self._values:
            return 0.0, 0.0
        values, counts = np.concatenate(self._values), np.concatenate(self._counts)
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


def _without_outliers(low: float, high: float, middle_low: float, middle_high: float) -> tuple[float, float]:
    reach = _OUTLIER_SPANS * (middle_high - middle_low)
    return (
        middle_low if middle_low - low > reach else low,
        middle_high if high - middle_high > reach else high,
    )


def _percentile(values: Values, last: NDArray[np.int64], percentile: float) -> float:
    rank = percentile / 100.0 * (int(last[-1]) - 1)
    below = int(np.floor(rank))
    first, second = (
        float(values[np.searchsorted(last, min(r, int(last[-1]) - 1), side="right")])
        for r in (below, below + 1)
    )
    return first + (second - first) * (rank - below)


def _counted(stored: Stored) -> tuple[Stored, NDArray[np.int64]]:
    if stored.dtype.kind in "iu" and stored.dtype.itemsize <= 2:
        start = int(stored.min())
        counts = np.bincount(stored.ravel().astype(np.int64) - start)
        present = np.flatnonzero(counts)
        return present + start, counts[present].astype(np.int64)
    levels, counts = np.unique(stored, return_counts=True)
    return levels, counts.astype(np.int64)
