"""A picture as its file stores it, and how it becomes display values."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medsiglip.colour_profile import cmyk_to_srgb, gamma_curve, grey_to_srgb, lab_to_srgb, to_srgb
from medsiglip.grey_range import (
    FULL_RANGE,
    all_values,
    counted,
    is_narrow,
    limits_of,
    through_table,
)

Pixels = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class PictureFacts:
    """What the header of a picture says: `bits` of a sample, `samples` of a pixel."""

    rows: int
    columns: int
    samples: int
    bits: int
    is_grey: bool
    is_lossy: bool


@dataclass(frozen=True, slots=True)
class Picture:
    """Display values uint8 [H, W] or [H, W, 3]; `warnings` are `icc-profile-invalid`, `values-not-finite`."""

    values: Pixels
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class DecodedPicture:
    """Samples [H, W] of grey, [H, W, 3] of RGB or L*a*b*, [H, W, 4] of CMYK: integers of `bits`, or floats.

    `space` is `grey`, `rgb`, `lab` or `cmyk` (255 meaning all ink). `profile` is an ICC profile, `gamma` that
    of a PNG without one. `orientation` is that of EXIF (TIFF 6.0, Orientation): 1 to 8.
    """

    samples: NDArray[Any]
    space: str
    bits: int
    profile: bytes | None = None
    gamma: float | None = None
    orientation: int = 1
    white_is_zero: bool = False

    def display(self) -> Picture:
        """Display values: sRGB, upright.

        Grey of at most 8 bits and colours take the stated range. Grey of more bits and of fractions is
        stretched from its least to its greatest value, because files of 12 bits in 16 are more common than
        files that use all 16; dead pixels do not count, see `medsiglip.grey_range`. What is not a number is
        black.
        """
        warnings: tuple[str, ...] = ()
        if self.samples.dtype.kind == "f" and not np.isfinite(self.samples).all():
            warnings = ("values-not-finite",)
        values = self._eight_bits()
        try:
            values = self._in_srgb(values, self.profile)
        except ValueError:
            warnings = (*warnings, "icc-profile-invalid")
            values = self._in_srgb(values, None)
        return Picture(np.ascontiguousarray(_upright(values, self.orientation)), warnings)

    def _eight_bits(self) -> Pixels:
        stored = self.samples
        if self.space == "grey" and (self.bits > 8 or stored.dtype.kind == "f"):
            return _stretched(_inverted(stored) if self.white_is_zero else stored)
        if stored.dtype == np.uint8 and self.bits == 8:
            values = stored
        else:
            values = _in_stated_range(stored, self.bits)
        return ~values if self.white_is_zero else values

    def _in_srgb(self, values: Pixels, profile: bytes | None) -> Pixels:
        if self.space == "lab":
            return lab_to_srgb(values)
        if self.space == "cmyk":
            return _plain_cmyk(values) if profile is None else cmyk_to_srgb(values, profile)
        if profile is not None:
            convert: Callable[[Pixels, bytes], Pixels] = grey_to_srgb if self.space == "grey" else to_srgb
            return convert(values, profile)
        curve = None if self.gamma is None else gamma_curve(self.gamma)
        return values if curve is None else curve[values]


def _inverted(stored: NDArray[Any]) -> NDArray[Any]:
    return -stored if stored.dtype.kind == "f" else ~stored


def _stretched(stored: NDArray[Any]) -> Pixels:
    values, counts = counted(stored)
    low, high = limits_of(values.astype(np.float64), counts, FULL_RANGE)

    def stretch(values: NDArray[np.float64]) -> Pixels:
        levels = (values - low) / (high - low or 1.0)
        return np.rint(np.clip(np.nan_to_num(levels, nan=0.0), 0.0, 1.0) * 255.0).astype(np.uint8)

    return _of_each(stored, stretch)


def _of_each(stored: NDArray[Any], shown: Callable[[NDArray[np.float64]], Pixels]) -> Pixels:
    """What `shown` makes of each value; of integers of at most 16 bits through a table of all of them."""
    if not is_narrow(stored):
        return shown(stored.astype(np.float64))
    return through_table(stored, shown(all_values(stored.dtype).astype(np.float64)))


def _in_stated_range(stored: NDArray[Any], bits: int) -> Pixels:
    """Integers by the range of their bits, fractions from 0 to 1."""
    if stored.dtype.kind == "b":
        return stored.astype(np.uint8) * np.uint8(255)
    least, most = 0.0, 1.0
    if stored.dtype.kind == "u":
        most = 2.0**bits - 1.0
    elif stored.dtype.kind == "i":
        least, most = -(2.0 ** (bits - 1)), 2.0 ** (bits - 1) - 1.0

    def scale(values: NDArray[np.float64]) -> Pixels:
        levels = (values - least) / (most - least)
        return np.floor(np.clip(np.nan_to_num(levels, nan=0.0), 0.0, 1.0) * 255.0 + 0.5).astype(np.uint8)

    return _of_each(stored, scale)


def _plain_cmyk(inks: Pixels) -> Pixels:
    from PIL import Image

    size = inks.shape[1], inks.shape[0]
    return np.asarray(Image.frombytes("CMYK", size, np.ascontiguousarray(inks).tobytes()).convert("RGB"))


def _upright(values: Pixels, orientation: int) -> Pixels:
    """Turned and flipped as TIFF 6.0 says of Orientation; unknown numbers change nothing."""
    if orientation in (5, 6, 7, 8):
        values = np.swapaxes(values, 0, 1)
    if orientation in (2, 3, 6, 7):
        values = values[:, ::-1]
    if orientation in (3, 4, 7, 8):
        values = values[::-1]
    return values
