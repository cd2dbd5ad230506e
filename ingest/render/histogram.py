"""The values that become black and white without a window: percentiles over all slices of a series."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from medsiglip.grey_range import PERCENTILES, counted, limits_of
from medsiglip.ingest.render.attributes import PixelAttributes
from medsiglip.ingest.render.modality_values import Stored, Values, modality_values

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
        levels, counts = counted(stored)
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
        return limits_of(np.concatenate(self._values), np.concatenate(self._counts), percentiles)
