"""Colours of a device to sRGB, by the ICC profile of the image (PS3.3 C.11.15)."""

from __future__ import annotations

import io
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from PIL.ImageCms import ImageCmsTransform

# Colours per channel of the grid on which a profile is compared with sRGB.
_GRID = 17


def to_srgb(colours: NDArray[np.uint8], profile: bytes) -> NDArray[np.uint8]:
    """Convert RGB [H, W, 3] by the profile's own rendering intent.

    A profile that changes no colour by more than 1 of 255 levels is taken for sRGB: `colours` are returned
    unchanged. Raises ValueError for a profile that cannot be read or is not for RGB.
    """
    transform = _transform(profile)
    return colours if transform is None else _apply(transform, colours)


@lru_cache(maxsize=8)
def _transform(profile: bytes) -> ImageCmsTransform | None:
    from PIL import ImageCms

    try:
        opened = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        intent = ImageCms.Intent(ImageCms.getDefaultIntent(opened))
        transform = ImageCms.buildTransform(opened, ImageCms.createProfile("sRGB"), "RGB", "RGB", intent)
    except Exception as error:  # Pillow's own error, OSError, or ValueError for an unknown intent
        raise ValueError("the ICC profile cannot be used") from error
    steps = np.linspace(0, 255, _GRID).astype(np.uint8)
    grid = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), axis=-1).reshape(_GRID, -1, 3)
    moved = np.abs(_apply(transform, grid).astype(np.int16) - grid).max()
    return transform if moved > 1 else None


def _apply(transform: ImageCmsTransform, colours: NDArray[np.uint8]) -> NDArray[np.uint8]:
    from PIL import Image, ImageCms

    picture = ImageCms.applyTransform(Image.fromarray(np.ascontiguousarray(colours)), transform)
    assert picture is not None  # None is for transforms in place
    return np.asarray(picture)
