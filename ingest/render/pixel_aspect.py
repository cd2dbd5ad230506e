"""Pixels that are not square: their aspect as the data set says, and pictures drawn with square ones."""

from __future__ import annotations

from collections.abc import Iterable
from math import isfinite, sqrt
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from medsiglip.ingest.header.pixel_spacing import aspect_of_pair

if TYPE_CHECKING:
    from pydicom import Dataset

# Spacings are written with few digits; less than this is no visible difference.
_SQUARE_WITHIN = 0.01
# What a picture may grow to: four times its pixels, or this many; and its longer side to this or its own.
_GROWTH, _MIN_LIMIT, _MAX_SIDE = 4, 1 << 20, 1 << 15
_CENTIMETRES, _TWO_DIMENSIONAL = 3, 1


def aspect_of_regions(regions: Iterable[Dataset]) -> float | None:
    """Height / width of the pixels of Ultrasound Regions (PS3.3 C.8.5.5) that show a plane, None without any
    or if they differ.
    """
    found = [aspect for region in regions if (aspect := _aspect_of_region(region)) is not None]
    return found[0] if found and max(found) <= min(found) * (1.0 + _SQUARE_WITHIN) else None


def _aspect_of_region(region: Dataset) -> float | None:
    try:
        units = [int(region[f"PhysicalUnits{axis}Direction"].value) for axis in "XY"]
        deltas = [abs(float(region[f"PhysicalDelta{axis}"].value)) for axis in "YX"]
        plane = int(region["RegionSpatialFormat"].value) == _TWO_DIMENSIONAL
    except Exception:  # absent, or values of wrong types, of any kind
        return None
    return aspect_of_pair(deltas) if plane and units == [_CENTIMETRES] * 2 else None


def drawn_size(height: int, width: int, aspect: float) -> tuple[int, int]:
    """The height and width in square pixels of a picture of pixels `aspect` times as high as wide.

    The side of the longer pixels grows, so that no pixel is lost; where the picture would grow beyond
    bounds, both sides are reduced alike, to one pixel at least. Nearly square pixels change nothing.
    """
    if not isfinite(aspect) or aspect <= 0.0 or abs(aspect - 1.0) <= _SQUARE_WITHIN:
        return height, width
    high, wide = height * max(aspect, 1.0), width * max(1.0 / aspect, 1.0)
    limit = max(_GROWTH * height * width, _MIN_LIMIT)
    longest = max(height, width, _MAX_SIDE)
    scale = min(1.0, sqrt(limit / high / wide), longest / max(high, wide))
    return max(round(high * scale), 1), max(round(wide * scale), 1)


def with_square_pixels(values: NDArray[np.uint8], aspect: float) -> NDArray[np.uint8]:
    """Display values [H, W] or [H, W, 3] of pixels `aspect` times as high as wide, interpolated linearly."""
    from PIL import Image

    height, width = drawn_size(values.shape[0], values.shape[1], aspect)
    if (height, width) == values.shape[:2]:
        return values
    picture = Image.fromarray(np.ascontiguousarray(values))
    drawn: NDArray[Any] = np.asarray(picture.resize((width, height), Image.Resampling.BILINEAR))
    return drawn
