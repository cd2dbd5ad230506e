"""The table of renderings: how the stored values of an image become display values.

To add one, write a function and enter it in `RENDERINGS` before `voi`: the first that suits an image is
taken. Frames [H, W, 3] are always rendered by `colour`. When a rendering changes what it shows, raise its
version. Overlays (PS3.3 C.9.2) are not rendered.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from medsiglip.grey_range import FULL_RANGE, PERCENTILES
from medsiglip.ingest.render.attributes import PixelAttributes
from medsiglip.ingest.render.colour_renderings import colour, palette, supplemental_palette
from medsiglip.ingest.render.display import Display
from medsiglip.ingest.render.grey_renderings import Limits, ct_rgb, mr_percentile, series_percentile, voi
from medsiglip.ingest.render.modality_values import Stored
from medsiglip.ingest.render.photometric import is_colour, is_palette

Percentiles = tuple[float, float]
RenderFunction = Callable[[Stored, PixelAttributes, Limits | None], Display]


@dataclass(frozen=True, slots=True)
class Rendering:
    """One row of the table.

    `name` is stored with each image. `suits` chooses it by the attributes; `function` makes display values of
    a frame and its limits. `shared_percentiles` are those of all frames rendered together that become black
    and white, None where each frame is rendered by itself.
    """

    name: str
    version: int
    suits: Callable[[PixelAttributes], bool]
    function: RenderFunction
    shared_percentiles: Callable[[PixelAttributes], Percentiles | None] = lambda attributes: None


def _is_modality(modality: str) -> Callable[[PixelAttributes], bool]:
    return lambda attributes: attributes.modality == modality and not attributes.secondary_capture


def _is_supplemental(attributes: PixelAttributes) -> bool:
    return attributes.supplemental and attributes.palette is not None


def _is_hounsfield(attributes: PixelAttributes) -> bool:
    return attributes.hounsfield and not attributes.secondary_capture and attributes.bits_stored > 8


def _full_range_of_deep_values(attributes: PixelAttributes) -> Percentiles | None:
    has_voi = bool(attributes.windows) or attributes.voi_lut is not None
    return FULL_RANGE if not has_voi and attributes.bits_stored > 8 else None


RENDERINGS = (
    Rendering("palette", 2, is_palette, palette),
    Rendering("colour", 2, is_colour, colour),
    Rendering("supplemental-palette", 2, _is_supplemental, supplemental_palette),
    Rendering("ct-rgb-3window", 2, _is_hounsfield, ct_rgb),
    Rendering("mr-percentile", 2, _is_modality("MR"), mr_percentile, lambda attributes: PERCENTILES),
    Rendering("series-percentile", 2, _is_modality("PT"), series_percentile, lambda attributes: PERCENTILES),
    Rendering("voi", 2, lambda attributes: True, voi, _full_range_of_deep_values),
)
_BY_NAME = {rendering.name: rendering for rendering in RENDERINGS}
# Names that images get though no row chooses them: what `voi` does without a usable window, pictures that
# come as display values, and patches of a slide (`slide-10x`, `slide-native`).
_OTHER_VERSIONS = {"percentile": 2, "full-range": 2, "picture": 2, "slide": 1}


def version_of(name: str) -> int:
    """The current version of a rendering, by the name stored with an image. Raises KeyError if unknown."""
    if name in _BY_NAME:
        return _BY_NAME[name].version
    return _OTHER_VERSIONS["slide" if name.startswith("slide-") else name]


def choose_rendering(attributes: PixelAttributes) -> str:
    """Name the rendering that suits an image."""
    return _suitable(attributes).name


def _suitable(attributes: PixelAttributes) -> Rendering:
    return next(rendering for rendering in RENDERINGS if rendering.suits(attributes))


def limits_percentiles(attributes: PixelAttributes) -> Percentiles | None:
    """The percentiles of all frames rendered together that an image's rendering depends on, or None if on
    none.
    """
    return _suitable(attributes).shared_percentiles(attributes)


def render(
    stored: Stored,
    attributes: PixelAttributes,
    *,
    rendering: str | None = None,
    limits: Limits | None = None,
) -> Display:
    """Render one frame, by `rendering` or the one that suits it.

    `stored` is [H, W] of any integer or float type, or [H, W, 3] RGB (decoding converts from YBR).
    `limits` are the values after the modality transformation that become black and white, from
    `ValueHistogram.limits` with `limits_percentiles` over a series; without them the frame's own are taken.
    The result may share the memory of `stored`. Raises ValueError if the array has another shape.
    """
    if stored.ndim == 3 and stored.shape[2] in (3, 4):
        function: RenderFunction = colour
    elif stored.ndim != 2 or not stored.size:
        raise ValueError(f"a frame must be [H, W] or [H, W, 3], not {stored.shape}")
    else:
        function = (_BY_NAME[rendering] if rendering else _suitable(attributes)).function
    with np.errstate(all="ignore"):  # values that overflow or are no numbers end as black or white
        display = function(stored, attributes, limits)
    warnings = (*attributes.warnings, *display.warnings)
    if stored.dtype.kind == "f" and not np.isfinite(stored).all():
        warnings = (*warnings, "values-not-finite")
    return replace(display, warnings=warnings) if warnings else display
