"""Photometric Interpretation (PS3.3 C.7.6.3.1.2): whether small values are white (MONOCHROME1) or black, and
colours as sRGB.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from medsiglip.ingest.render.attributes import PixelAttributes
from medsiglip.ingest.render.display import Display
from medsiglip.ingest.render.modality_values import Stored


def is_inverted(attributes: PixelAttributes) -> bool:
    """Whether the least value is white.

    PS3.3 C.8.11.3.1.2: INVERSE belongs to MONOCHROME1, so either asks for the same one inversion.
    """
    return (
        attributes.photometric_interpretation == "MONOCHROME1"
        or attributes.presentation_lut_shape == "INVERSE"
    )


def is_colour(attributes: PixelAttributes) -> bool:
    """Whether stored values are colours: neither grey values nor indices of a palette."""
    photometric = attributes.photometric_interpretation
    return not photometric.startswith("MONOCHROME") and photometric != "PALETTE COLOR"


def is_palette(attributes: PixelAttributes) -> bool:
    """Whether stored values are indices of a palette that could be read."""
    return attributes.photometric_interpretation == "PALETTE COLOR" and attributes.palette is not None


def eight_bits(stored: Stored, bits_stored: int) -> NDArray[np.uint8]:
    """RGB values [H, W, 3] of any depth as uint8; may share the memory of `stored`."""
    if stored.dtype == np.uint8:
        return np.ascontiguousarray(stored)
    white = float(2**bits_stored - 1)
    levels = np.clip(stored.astype(np.float64) / white, 0.0, 1.0)
    return np.floor(np.nan_to_num(levels) * 255.0 + 0.5).astype(np.uint8)


def in_srgb(colours: NDArray[np.uint8], attributes: PixelAttributes, rendering: str) -> Display:
    """Colours uint8 [H, W, 3] as sRGB, by the ICC profile of the image if it has one."""
    if attributes.icc_profile is None:
        return Display(colours, rendering)
    from medsiglip.colour_profile import to_srgb

    try:
        return Display(to_srgb(colours, attributes.icc_profile), rendering, {"icc": True})
    except ValueError:
        return Display(colours, rendering, warnings=("icc-profile-invalid",))
