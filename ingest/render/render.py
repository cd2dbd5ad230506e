"""Stored values -> display values: pure functions over arrays and `PixelAttributes`.

The chain is PS3.3 C.7.6.3 and C.11: modality transformation, VOI transformation, polarity last; for colour,
palette, then ICC profile. Overlays (PS3.3 C.9.2) are not drawn. Where the VOI transformation is a line, it
and the modality transformation are one multiplication; else every stored value of at most 16 bits is
transformed once, in a table, and the picture is one table lookup.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from math import isfinite

import numpy as np
from numpy.typing import NDArray

from medsiglip.ingest.render.attributes import PixelAttributes, Window
from medsiglip.ingest.render.grey_levels import draw_levels, draw_ramp, is_small_integer
from medsiglip.ingest.render.histogram import FULL_RANGE, PERCENTILES, ValueHistogram
from medsiglip.ingest.render.lookup_table import LookupTable
from medsiglip.ingest.render.modality_values import Stored, Values, extremes, modality_values
from medsiglip.ingest.render.windowing import (
    FUNCTIONS,
    linear_ramp,
    spans_stored_values,
    usable_window,
    window_levels,
)

# MedGemma Technical Report (arXiv 2507.05201): width and level in HU for red, green and blue.
CT_WINDOWS = (Window(-100.0, 2250.0), Window(40.0, 350.0), Window(40.0, 80.0))
_THINNED = 8
_SERIES_RENDERINGS = frozenset({"mr-percentile", "series-percentile"})

WARNINGS = {
    "window-outside-data": "the stored window shows nothing of the data; percentiles were used instead",
    "window-invalid": "the stored window has no positive width; percentiles were used instead",
    "window-not-first": "the first stored window shows nothing of the data; a later one was used",
    "voi-function-unknown": "the VOI LUT function is unknown; LINEAR was used",
    "lut-depth-wrong": "the VOI LUT does not use its stated depth; its own maximum was taken as white",
    "rescale-invalid": "the rescale slope leaves nothing of the values; they were drawn without it",
    "palette-invalid": "the palette cannot be read; its indices were drawn as grey values",
    "icc-profile-invalid": "the ICC profile cannot be used; colours were left as they are",
    "values-not-finite": "some values are not finite numbers; they were left out of the range",
    "for-processing": "the values are raw ones for processing, not for presentation",
    "single-slice": "percentiles were taken from one slice alone; those of a whole series may differ",
    "slide-thinned": "of the patches with tissue an even sample was drawn; a lower magnification needs fewer",
    "slide-coarse": "the slide has no level as fine as the magnification asks for; its finest was used",
    "slide-spacing-unknown": "the slide tells no pixel spacing; patches show it at its own resolution",
    "slide-no-tissue": "no patch of the slide seems to hold tissue; one was drawn all the same",
    "blank": "all pixels have one value",
}


@dataclass(frozen=True, slots=True)
class Display:
    """Display values uint8 [H, W] or [H, W, 3], the rendering that made them, and codes of `WARNINGS`."""

    values: NDArray[np.uint8]
    rendering: str
    params: Mapping[str, object] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


def choose_rendering(attributes: PixelAttributes) -> str:
    """Name the rendering that suits an image.

    * `colour`: RGB, by its ICC profile to sRGB where it has one.
    * `palette`: PALETTE COLOR; `supplemental-palette`: `voi`, with the colours of PS3.3 C.7.6.19 on top.
    * `ct-rgb-3window`: CT in Hounsfield units, three windows as red, green and blue.
    * `mr-percentile`: MR, whose values have no unit: percentiles of the series are black and white.
    * `series-percentile`: PET, likewise. Most of its voxels are air and the upper percentile lies in the
      hottest half per cent, so that one uptake is one grey level throughout a series, as with SUV, but
      without dose and weight, which headers often lack or get wrong. White is hot; nothing is coloured.
    * `voi`: all others, by VOI LUT, else by the first window that shows anything (where none does, by
      `percentile` of the image). Where the data set holds neither, `full-range`: of images of at most 8
      bits the stated range, for they come drawn; of deeper ones (DX, CR, MG, XA, NM) the range of the
      image's own values, all its frames together. Readers expect the anatomy to use the grey scale, and few
      detectors use the bits they state. Dead pixels do not count, see `ValueHistogram.limits`.
    """
    photometric = attributes.photometric_interpretation
    if photometric == "PALETTE COLOR" and attributes.palette is not None:
        return "palette"
    if not photometric.startswith("MONOCHROME") and photometric != "PALETTE COLOR":
        return "colour"
    if attributes.supplemental and attributes.palette is not None:
        return "supplemental-palette"
    if attributes.hounsfield and not attributes.secondary_capture and attributes.bits_stored > 8:
        return "ct-rgb-3window"
    if attributes.modality == "MR" and not attributes.secondary_capture:
        return "mr-percentile"
    if attributes.modality == "PT" and not attributes.secondary_capture:
        return "series-percentile"
    return "voi"


def limits_percentiles(attributes: PixelAttributes) -> tuple[float, float] | None:
    """The percentiles of all frames drawn together that an image's rendering depends on, or None if
    on none.
    """
    rendering = choose_rendering(attributes)
    if rendering in _SERIES_RENDERINGS:
        return PERCENTILES
    if (
        rendering == "voi"
        and not attributes.windows
        and attributes.voi_lut is None
        and attributes.bits_stored > 8
    ):
        return FULL_RANGE
    return None


def render(
    stored: Stored,
    attributes: PixelAttributes,
    *,
    rendering: str | None = None,
    limits: tuple[float, float] | None = None,
) -> Display:
    """Draw one frame.

    `stored` is [H, W] of any integer or float type, or [H, W, 3] RGB (decoding converts from YBR).
    `limits` are the values after the modality transformation that become black and white, from
    `ValueHistogram.limits` with `limits_percentiles` over a series; without them the frame's own are taken.
    The result may share the memory of `stored`. Raises ValueError if the array has another shape.
    """
    rendering = rendering or choose_rendering(attributes)
    with np.errstate(all="ignore"):  # values that overflow or are no numbers end as black or white
        display = _render(stored, attributes, rendering, limits)
    warnings = (*attributes.warnings, *display.warnings)
    if stored.dtype.kind == "f" and not np.isfinite(stored).all():
        warnings = (*warnings, "values-not-finite")
    return replace(display, warnings=warnings) if warnings else display


def _render(
    stored: Stored, attributes: PixelAttributes, rendering: str, limits: tuple[float, float] | None
) -> Display:
    if stored.ndim == 3 and stored.shape[2] in (3, 4):
        return _in_srgb(_colour(stored[..., :3], attributes.bits_stored), attributes, "colour")
    if stored.ndim != 2 or not stored.size:
        raise ValueError(f"a frame must be [H, W] or [H, W, 3], not {stored.shape}")
    palette = attributes.palette
    if rendering == "palette" and palette is not None:
        drawn = _in_srgb(palette[np.newaxis], attributes, "palette")
        index = np.clip(stored.astype(np.int64) - attributes.palette_first, 0, len(palette) - 1)
        return replace(drawn, values=drawn.values[0][index])
    if rendering == "supplemental-palette" and palette is not None:
        return _supplemental(stored, attributes, palette, limits)
    if rendering == "ct-rgb-3window":
        return _ct_rgb(stored, attributes)
    if rendering in _SERIES_RENDERINGS:
        return _limited(stored, attributes, rendering, limits)
    return _voi(stored, attributes, limits)


def _colour(stored: Stored, bits_stored: int) -> NDArray[np.uint8]:
    if stored.dtype == np.uint8:
        return np.ascontiguousarray(stored)
    white = float(2**bits_stored - 1)
    levels = np.clip(stored.astype(np.float64) / white, 0.0, 1.0)
    return np.floor(np.nan_to_num(levels) * 255.0 + 0.5).astype(np.uint8)


def _in_srgb(colours: NDArray[np.uint8], attributes: PixelAttributes, rendering: str) -> Display:
    if attributes.icc_profile is None:
        return Display(colours, rendering)
    from medsiglip.ingest.render.icc import to_srgb

    try:
        return Display(to_srgb(colours, attributes.icc_profile), rendering, {"icc": True})
    except ValueError:
        return Display(colours, rendering, warnings=("icc-profile-invalid",))


def _supplemental(
    stored: Stored,
    attributes: PixelAttributes,
    palette: NDArray[np.uint8],
    limits: tuple[float, float] | None,
) -> Display:
    # PS3.3 C.7.6.19: values below the first mapped one are grey, all others have colours.
    coloured = stored >= attributes.palette_first
    display = _voi(stored, attributes, limits)
    values = np.stack([display.values] * 3, axis=2)
    index = stored[coloured].astype(np.int64) - attributes.palette_first
    values[coloured] = palette[np.clip(index, 0, len(palette) - 1)]
    params = {**display.params, "grey": display.rendering}
    return Display(values, "supplemental-palette", params, display.warnings)


def _ct_rgb(stored: Stored, attributes: PixelAttributes) -> Display:
    # Hounsfield units have a meaning of their own, so MONOCHROME1 does not turn this rendering around.
    out = np.empty((*stored.shape, 3), dtype=np.uint8)
    for channel, window in enumerate(CT_WINDOWS):
        half = window.width / 2
        out[..., channel] = _draw_ramp(
            stored, attributes, window.center - half, window.center + half, inverted=False
        )
    params = {"windows": [[window.width, window.center] for window in CT_WINDOWS]}
    return Display(out, "ct-rgb-3window", params)


def _limited(
    stored: Stored,
    attributes: PixelAttributes,
    rendering: str,
    limits: tuple[float, float] | None,
    percentiles: tuple[float, float] = PERCENTILES,
    warnings: tuple[str, ...] = (),
) -> Display:
    if limits is None:
        histogram = ValueHistogram()
        histogram.add(stored, attributes)
        limits = histogram.limits(percentiles)
    low, high = limits
    # Uptake has a meaning of its own, as Hounsfield units have: white is hot whatever the polarity.
    inverted = _is_inverted(attributes) and rendering != "series-percentile"
    values = _draw_ramp(stored, attributes, low, high if high > low else low + 1.0, inverted=inverted)
    return Display(values, rendering, {"low": low, "high": high, "inverted": inverted}, warnings)


def _voi(stored: Stored, attributes: PixelAttributes, limits: tuple[float, float] | None) -> Display:
    inverted = _is_inverted(attributes)
    if attributes.voi_lut is not None:
        shown, params, warnings = _voi_lut(attributes.voi_lut)
        values = _draw(stored, attributes, shown, inverted=inverted)
        return Display(values, "voi", {**params, "inverted": inverted}, warnings)
    if attributes.windows:
        return _windowed(stored, attributes, inverted=inverted)
    range_ = _nominal_range(stored, attributes) or limits
    return _limited(stored, attributes, "full-range", range_, FULL_RANGE)


def _windowed(stored: Stored, attributes: PixelAttributes, *, inverted: bool) -> Display:
    warnings: tuple[str, ...] = ()
    function = attributes.voi_lut_function
    if function not in FUNCTIONS:
        function, warnings = "LINEAR", ("voi-function-unknown",)
    window: Window | None = attributes.windows[0]
    if not spans_stored_values(attributes.windows[0], attributes, signed=stored.dtype.kind == "i"):
        window, faults = _usable_window(stored, attributes, function)
        warnings = (*warnings, *faults)
    if window is None:
        return _limited(stored, attributes, "percentile", None, PERCENTILES, warnings)
    ramp = linear_ramp(window, function)
    if ramp is not None:
        values = _draw_ramp(stored, attributes, *ramp, inverted=inverted)
    else:
        values = _draw(stored, attributes, lambda v: window_levels(v, window, function), inverted=inverted)
    params = {"center": window.center, "width": window.width, "function": function, "inverted": inverted}
    if len(attributes.windows) > 1:
        params["windows"] = [[w.center, w.width] for w in attributes.windows if isfinite(w.width)]
    return Display(values, "voi", params, warnings)


def _usable_window(
    stored: Stored, attributes: PixelAttributes, function: str
) -> tuple[Window | None, tuple[str, ...]]:
    """`usable_window` for the values of one frame. A window that shows something of a part of them shows no
    less of all, which spares looking at every pixel.
    """
    low, high = extremes(stored[::_THINNED, ::_THINNED], attributes)
    if low < high and attributes.padding is None:
        window, faults = usable_window(attributes.windows[:1], function, low, high)
        if window is not None:
            return window, faults
    return usable_window(attributes.windows, function, *extremes(stored, attributes))


def _voi_lut(table: LookupTable) -> tuple[Callable[[Values], Values], dict[str, object], tuple[str, ...]]:
    white, top = float(2**table.bits - 1), float(table.values.max())
    warnings: tuple[str, ...] = ()
    if top > white or top < white / 8:
        white, warnings = top or 1.0, ("lut-depth-wrong",)
    return lambda values: table.look_up(values) / white, {"lut": len(table.values)}, warnings


def _draw_ramp(
    stored: Stored, attributes: PixelAttributes, black: float, white: float, *, inverted: bool
) -> NDArray[np.uint8]:
    """Draw values after the modality transformation from `black` to `white`, exchanged if `inverted`."""
    if is_small_integer(stored) and attributes.modality_lut is None:
        slope, intercept = attributes.rescale_slope, attributes.rescale_intercept
        ends = [(end - intercept) / slope for end in ((white, black) if inverted else (black, white))]
        if stored.dtype == np.uint8 and ends == [0.0, 255.0]:
            return np.ascontiguousarray(stored)
        if isfinite(ends[0]) and isfinite(ends[1]) and ends[0] != ends[1]:
            return draw_ramp(stored, *ends)
    return _draw(
        stored,
        attributes,
        lambda values: np.clip((values - black) / (white - black), 0.0, 1.0),
        inverted=inverted,
    )


def _draw(
    stored: Stored, attributes: PixelAttributes, shown: Callable[[Values], Values], *, inverted: bool
) -> NDArray[np.uint8]:
    def levels(values: Stored) -> Values:
        visible = shown(modality_values(values, attributes))
        return 1.0 - visible if inverted else visible

    return draw_levels(stored, levels)


def _nominal_range(stored: Stored, attributes: PixelAttributes) -> tuple[float, float] | None:
    plain = (
        attributes.rescale_slope == 1.0
        and attributes.rescale_intercept == 0.0
        and not attributes.modality_lut
    )
    if attributes.bits_stored <= 8 and stored.dtype == np.uint8 and plain:
        return 0.0, float(2**attributes.bits_stored - 1)
    return None


def _is_inverted(attributes: PixelAttributes) -> bool:
    # PS3.3 C.8.11.3.1.2: INVERSE belongs to MONOCHROME1, so either asks for the same one inversion.
    return (
        attributes.photometric_interpretation == "MONOCHROME1"
        or attributes.presentation_lut_shape == "INVERSE"
    )
