"""Thumbnails: their size, their colours, and how near they are to the picture."""

from __future__ import annotations

import io

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from medsiglip.ingest.render.thumbnail import SIDE, thumbnail


def smooth(height: int, width: int, channels: int = 0) -> NDArray[np.uint8]:
    """A picture of slow waves, which a reduction changes little."""
    rows, columns = np.mgrid[0:height, 0:width] / max(height, width)
    wave = 127 + 120 * np.sin(9 * rows) * np.cos(7 * columns)
    if not channels:
        return np.asarray(wave, np.uint8)
    return np.stack([np.roll(wave, 40 * n, 1) for n in range(channels)], axis=2).astype(np.uint8)


@pytest.mark.parametrize(
    ("height", "width", "size"),
    [
        (512, 512, (192, 192)),
        (2500, 3000, (192, 160)),
        (900, 300, (64, 192)),
        (40, 90, (90, 40)),
        (1, 5000, (192, 1)),
    ],
)
@pytest.mark.parametrize("channels", [0, 3])
def test_size_and_colours(height: int, width: int, size: tuple[int, int], channels: int) -> None:
    values = smooth(height, width, channels)
    with Image.open(io.BytesIO(thumbnail(values))) as shown:
        assert (shown.format, shown.mode) == ("JPEG", "RGB" if channels else "L")
        assert shown.size == size
        assert max(shown.size) <= SIDE
        near = Image.fromarray(values).resize(shown.size, Image.Resampling.LANCZOS)
        difference = np.abs(np.asarray(shown, float) - np.asarray(near, float))
    assert difference.mean() < 4


def test_values_that_are_a_part_of_a_larger_array_and_the_same_bytes_each_time() -> None:
    values = smooth(600, 600)
    part = values[::2, 100:500]
    assert thumbnail(part) == thumbnail(part.copy()) == thumbnail(part)
