"""Colours of a device to sRGB: by ICC profiles, and by the gamma that a PNG states."""

from __future__ import annotations

import io
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from PIL.ImageCms import ImageCmsTransform

# Colours per channel of the grid on which a profile is compared with sRGB.
_GRID = 17
_LEVELS = np.arange(256, dtype=np.uint8)
# A relative difference that libpng, too, takes for none.
_SAME_GAMMA = 0.05

Pixels = NDArray[np.uint8]


def to_srgb(colours: Pixels, profile: bytes) -> Pixels:
    """Convert RGB [H, W, 3] by the profile's own rendering intent.

    A profile that changes no colour by more than 1 of 255 levels is taken for sRGB: `colours` are returned
    unchanged. Raises ValueError for a profile that cannot be read or is not for RGB.
    """
    return colours if _is_srgb(profile) else _apply(_transform(profile, "RGB"), colours)


def grey_to_srgb(grey: Pixels, profile: bytes) -> Pixels:
    """Convert grey values [H, W] by a profile for grey, or one for RGB, as writers give grey pictures too.

    Returns [H, W], or [H, W, 3] if the profile gives grey a colour; `grey` unchanged as `to_srgb` does.
    Raises ValueError.
    """
    try:
        curve = _apply(_transform(profile, "L"), _LEVELS[np.newaxis])[0]
    except ValueError:
        ramp = np.repeat(_LEVELS[np.newaxis, :, np.newaxis], 3, axis=2)
        curve = _apply(_transform(profile, "RGB"), ramp)[0]
    if np.abs(curve.astype(np.int16) - _LEVELS[:, np.newaxis]).max() <= 1:
        return grey
    coloured = int(np.ptp(curve.astype(np.int16), axis=1).max()) > 1
    shown: Pixels = curve[grey] if coloured else curve[:, 1][grey]
    return shown


def cmyk_to_srgb(inks: Pixels, profile: bytes) -> Pixels:
    """Convert CMYK [H, W, 4], 255 meaning all ink. Raises ValueError."""
    return _apply(_transform(profile, "CMYK"), inks, "CMYK")


def lab_to_srgb(lab: Pixels) -> Pixels:
    """Convert CIE L*a*b* under D50 [H, W, 3]: L* x 2.55, a* + 128, b* + 128."""
    # Pillow reads a* and b* of raw values as TIFF has them, signed.
    return _apply(_transform(b"", "LAB"), lab ^ np.array([0, 128, 128], np.uint8), "LAB")


def gamma_curve(gamma: float) -> Pixels | None:
    """The sRGB level of each of 256 sample values of a PNG whose gAMA is `gamma` (PNG 11.3.2.2: sample =
    light ** gamma), None if it is that of sRGB or cannot be one.
    """
    if not 0.01 < gamma < 100.0 or abs(gamma * 2.2 - 1.0) <= _SAME_GAMMA:
        return None
    light = (_LEVELS / 255.0) ** (1.0 / gamma)
    # IEC 61966-2-1.
    shown = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1.0 / 2.4) - 0.055)
    curve: Pixels = np.floor(np.clip(shown, 0.0, 1.0) * 255.0 + 0.5).astype(np.uint8)
    return curve


@lru_cache(maxsize=8)
def _is_srgb(profile: bytes) -> bool:
    steps = np.linspace(0, 255, _GRID).astype(np.uint8)
    grid = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), axis=-1).reshape(_GRID, -1, 3)
    return int(np.abs(_apply(_transform(profile, "RGB"), grid).astype(np.int16) - grid).max()) <= 1


@lru_cache(maxsize=8)
def _transform(profile: bytes, mode: str) -> ImageCmsTransform:
    """From `mode` of PIL to RGB by the profile; LAB needs none."""
    from PIL import ImageCms

    try:
        opened = (
            ImageCms.ImageCmsProfile(io.BytesIO(profile))
            if profile
            else ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB"))
        )
        intent = ImageCms.Intent(ImageCms.getDefaultIntent(opened))
        # Little CMS's tables for grey are coarse in the dark; 256 values need none.
        flags = ImageCms.Flags.NOOPTIMIZE if mode == "L" else ImageCms.Flags.NONE
        return ImageCms.buildTransform(
            opened, ImageCms.createProfile("sRGB"), mode, "RGB", intent, flags=flags
        )
    except Exception as error:  # Pillow's own error, OSError, or ValueError for an unknown intent
        raise ValueError("the ICC profile cannot be used") from error


def _apply(transform: ImageCmsTransform, values: NDArray[Any], mode: str | None = None) -> Pixels:
    from PIL import Image, ImageCms

    pixels = np.ascontiguousarray(values)
    size = pixels.shape[1], pixels.shape[0]
    source = Image.frombytes(mode, size, pixels.tobytes()) if mode else Image.fromarray(pixels)
    picture = ImageCms.applyTransform(source, transform)
    assert picture is not None  # None is for transforms in place
    return np.asarray(picture)
