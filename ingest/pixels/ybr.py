"""Luminance and chrominance to red, green and blue (PS3.3 C.7.6.3.1.2)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def rgb_from_ybr(frame: NDArray[Any], bits_stored: int, *, partial: bool = False) -> NDArray[Any]:
    """Convert [H, W, 3] unsigned values of `bits_stored` bits, of which half of full scale means no colour;
    `partial` means that black is 16 and white 235 of 255.
    """
    top = float(2 ** min(bits_stored, 8 * frame.dtype.itemsize) - 1)
    half = (top + 1) / 2
    luma, blue, red = (frame[..., k].astype(np.float32) for k in range(3))
    blue -= half
    red -= half
    if partial:
        luma -= 16 * (top + 1) / 256
        luma *= 255 / 219
        blue *= 255 / 224
        red *= 255 / 224
    rgb = np.empty((*frame.shape[:2], 3), frame.dtype)
    _put(rgb[..., 0], luma + 1.402 * red, top)
    _put(rgb[..., 1], luma - 0.344136 * blue - 0.714136 * red, top)
    _put(rgb[..., 2], luma + 1.772 * blue, top)
    return rgb


def _put(channel: NDArray[Any], values: NDArray[np.float32], top: float) -> None:
    values += 0.5  # rounds; the values are clipped next
    np.clip(values, 0, top, out=values)
    channel[...] = values
