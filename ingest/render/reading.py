"""Pictures as people read them: CT grey by its own window, where the model takes three windows as colours."""

from __future__ import annotations

from dataclasses import replace

from medsiglip.ingest.render.attributes import PixelAttributes, Window
from medsiglip.ingest.render.display import Display
from medsiglip.ingest.render.grey_renderings import CT_WINDOWS, voi
from medsiglip.ingest.render.modality_values import Stored
from medsiglip.ingest.render.renderings import choose_rendering
from medsiglip.regions.vocabulary import regions_of_body_part

COMPOSITES = frozenset({"ct-rgb-3window"})
"""Renderings for the model whose colours mean nothing to a reader."""
_SOFT_TISSUE, _BRAIN = CT_WINDOWS[1:]


def is_composite(stored: Stored, attributes: PixelAttributes, rendering: str | None = None) -> bool:
    """Whether `render` would draw this frame as one of `COMPOSITES`."""
    return stored.ndim == 2 and (rendering or choose_rendering(attributes)) in COMPOSITES


def rendered_to_read(stored: Stored, attributes: PixelAttributes, body_part: str | None) -> Display:
    """CT in Hounsfield units [H, W] as grey values uint8 [H, W]: by the VOI LUT or the first window of the
    file that shows anything, else by a window for the part of the body (0018,0015).

    Hounsfield units have a meaning of their own, so MONOCHROME1 does not invert them.
    """
    windows = attributes.windows
    if attributes.voi_lut is None:
        windows = (*windows, window_for(body_part))
    upright = replace(
        attributes, windows=windows, photometric_interpretation="MONOCHROME2", presentation_lut_shape=""
    )
    return voi(stored, upright, None)


def window_for(body_part: str | None) -> Window:
    """The window, in HU, for a part of the body where a file states none: those of the MedGemma Technical
    Report (arXiv 2507.05201) for brain and soft tissue.
    """
    return _BRAIN if regions_of_body_part(body_part) == {"head"} else _SOFT_TISSUE
