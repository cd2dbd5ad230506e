"""The elements that say how high and how wide a pixel is."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite

# In order of precedence, row spacing or height first (PS3.3 10.7.1.3, C.8.6.2.1, C.8.8.2, C.7.6.3.1.7).
SPACINGS = (
    "PixelSpacing",
    "ImagerPixelSpacing",
    "NominalScannedPixelSpacing",
    "ImagePlanePixelSpacing",
    "PixelAspectRatio",
)


def aspect_of_pair(numbers: Sequence[float]) -> float | None:
    """First / second of two positive numbers, None if they are none."""
    if len(numbers) != 2 or not all(isfinite(number) and 0.0 < number < 1e6 for number in numbers):
        return None
    aspect = numbers[0] / numbers[1]
    return aspect if isfinite(aspect) and aspect > 0.0 else None
