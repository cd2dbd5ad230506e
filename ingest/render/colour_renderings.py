"""The renderings in colour: RGB, palettes, and grey values of which some have colours (PS3.3 C.7.6.3)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from medsiglip.ingest.render.attributes import PixelAttributes
from medsiglip.ingest.render.display import Display
from medsiglip.ingest.render.grey_renderings import Limits, voi
from medsiglip.ingest.render.modality_values import Stored
from medsiglip.ingest.render.photometric import eight_bits, in_srgb


def colour(stored: Stored, attributes: PixelAttributes, limits: Limits | None) -> Display:
    """RGB [H, W, 3], by its ICC profile to sRGB where it has one; grey values [H, W] as `voi`."""
    if stored.ndim == 2:
        return voi(stored, attributes, limits)
    return in_srgb(eight_bits(stored[..., :3], attributes.bits_stored), attributes, "colour")


def palette(stored: Stored, attributes: PixelAttributes, limits: Limits | None) -> Display:
    """PALETTE COLOR: the colour of each stored value, by the ICC profile to sRGB."""
    colours = attributes.palette
    if colours is None:
        return voi(stored, attributes, limits)
    display = in_srgb(colours[np.newaxis], attributes, "palette")
    index = np.clip(stored.astype(np.int64) - attributes.palette_first, 0, len(colours) - 1)
    return replace(display, values=display.values[0][index])


def supplemental_palette(stored: Stored, attributes: PixelAttributes, limits: Limits | None) -> Display:
    """`voi` for values below the first mapped one, colours for all others (PS3.3 C.7.6.19)."""
    display = voi(stored, attributes, limits)
    colours = attributes.palette
    if colours is None:
        return display
    coloured = stored >= attributes.palette_first
    values = np.stack([display.values] * 3, axis=2)
    index = stored[coloured].astype(np.int64) - attributes.palette_first
    values[coloured] = colours[np.clip(index, 0, len(colours) - 1)]
    params = {**display.params, "grey": display.rendering}
    return Display(values, "supplemental-palette", params, display.warnings)
