"""The renderings of grey values [H, W]: three CT windows, percentiles, and the stored VOI transformation.

The chain is PS3.3 C.7.6.3 and C.11: modality transformation, VOI transformation, polarity last. All take
stored values, their attributes, and the values after the modality transformation that become black and white,
or None where those of the frame itself are to be taken.
"""

from __future__ import annotations

from collections.abc import Callable
from math import isfinite

import numpy as np

from medsiglip.grey_range import FULL_RANGE, PERCENTILES
from medsiglip.ingest.render.attributes import PixelAttributes, Window
from medsiglip.ingest.render.display import Display
from medsiglip.ingest.render.grey_levels import linear_levels, mapped_levels
from medsiglip.ingest.render.histogram import ValueHistogram
from medsiglip.ingest.render.lookup_table import LookupTable
from medsiglip.ingest.render.modality_values import Stored, Values, extremes, modality_values
from medsiglip.ingest.render.photometric import is_inverted
from medsiglip.ingest.render.windowing import (
    FUNCTIONS,
    linear_ramp,
    spans_stored_values,
    usable_window,
    window_levels,
)

Limits = tuple[float, float]
# MedGemma Technical Report (arXiv 2507.05201): width and level in HU for red, green and blue.
CT_WINDOWS = (Window(-100.0, 2250.0), Window(40.0, 350.0), Window(40.0, 80.0))
_THINNED = 8


def ct_rgb(stored: Stored, attributes: PixelAttributes, limits: Limits | None) -> Display:
    """CT in Hounsfield units: `CT_WINDOWS` as red, green and blue.

    Hounsfield units have a meaning of their own, so MONOCHROME1 does not invert them.
    """
    out = np.empty((*stored.shape, 3), dtype=np.uint8)
    for channel, window in enumerate(CT_WINDOWS):
        half = window.width / 2
        out[..., channel] = linear_levels(
            stored, attributes, window.center - half, window.center + half, inverted=False
        )
    params = {"windows": [[window.width, window.center] for window in CT_WINDOWS]}
    return Display(out, "ct-rgb-3window", params)


def mr_percentile(stored: Stored, attributes: PixelAttributes, limits: Limits | None) -> Display:
    """MR, whose values have no unit: percentiles of the series are black and white."""
    return _between(stored, attributes, limits or _own(stored, attributes), "mr-percentile")


def series_percentile(stored: Stored, attributes: PixelAttributes, limits: Limits | None) -> Display:
    """PET: percentiles of the series, as for MR, but white is hot whatever the polarity.

    Most voxels of PET are air and the upper percentile lies in the hottest half per cent, so that one uptake
    is one grey level throughout a series, as with SUV, but without dose and weight, which headers often lack
    or get wrong. Uptake has a meaning of its own, as Hounsfield units have. Nothing is coloured.
    """
    limits = limits or _own(stored, attributes)
    return _between(stored, attributes, limits, "series-percentile", inverted=False)


def voi(stored: Stored, attributes: PixelAttributes, limits: Limits | None) -> Display:
    """By VOI LUT, else by the first window that shows anything, `percentile` of the image where none does.

    Without either it is `full-range`: of images of at most 8 bits the stated range, for they come ready for
    display; of deeper ones (DX, CR, MG, XA, NM) the range of the image's own values, all its frames together.
    Readers expect the anatomy to use the grey scale, and few detectors use the bits they state. Dead pixels
    do not count, see `ValueHistogram.limits`.
    """
    if attributes.voi_lut is not None:
        inverted = is_inverted(attributes)
        shown, params, warnings = _voi_lut(attributes.voi_lut)
        values = mapped_levels(stored, attributes, shown, inverted=inverted)
        return Display(values, "voi", {**params, "inverted": inverted}, warnings)
    if attributes.windows:
        return _windowed(stored, attributes)
    limits = _nominal_range(stored, attributes) or limits or _own(stored, attributes, FULL_RANGE)
    return _between(stored, attributes, limits, "full-range")


def _own(
    stored: Stored, attributes: PixelAttributes, percentiles: tuple[float, float] = PERCENTILES
) -> Limits:
    """The limits of one frame by itself."""
    histogram = ValueHistogram()
    histogram.add(stored, attributes)
    return histogram.limits(percentiles)


def _between(
    stored: Stored,
    attributes: PixelAttributes,
    limits: Limits,
    rendering: str,
    *,
    inverted: bool | None = None,
    warnings: tuple[str, ...] = (),
) -> Display:
    """Grey levels from the lower to the upper limit; `inverted` None means as the attributes say."""
    low, high = limits
    inverted = is_inverted(attributes) if inverted is None else inverted
    values = linear_levels(stored, attributes, low, high if high > low else low + 1.0, inverted=inverted)
    return Display(values, rendering, {"low": low, "high": high, "inverted": inverted}, warnings)


def _windowed(stored: Stored, attributes: PixelAttributes) -> Display:
    warnings: tuple[str, ...] = ()
    function = attributes.voi_lut_function
    if function not in FUNCTIONS:
        function, warnings = "LINEAR", ("voi-function-unknown",)
    window: Window | None = attributes.windows[0]
    if not spans_stored_values(attributes.windows[0], attributes, signed=stored.dtype.kind == "i"):
        window, faults = _usable_window(stored, attributes, function)
        warnings = (*warnings, *faults)
    if window is None:
        return _between(stored, attributes, _own(stored, attributes), "percentile", warnings=warnings)
    inverted, ramp = is_inverted(attributes), linear_ramp(window, function)
    if ramp is not None:
        values = linear_levels(stored, attributes, *ramp, inverted=inverted)
    else:
        values = mapped_levels(
            stored, attributes, lambda v: window_levels(v, window, function), inverted=inverted
        )
    params = {"center": window.center, "width": window.width, "function": function, "inverted": inverted}
    if len(attributes.windows) > 1:
        params["windows"] = [[w.center, w.width] for w in attributes.windows if isfinite(w.width)]
    return Display(values, "voi", params, warnings)


def _usable_window(
    stored: Stored, attributes: PixelAttributes, function: str
) -> tuple[Window | None, tuple[str, ...]]:
    """`usable_window` for the values of one frame. A window that shows something of a part of them shows no
    less of all, which saves looking at every pixel.
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


def _nominal_range(stored: Stored, attributes: PixelAttributes) -> Limits | None:
    """The range that Bits Stored states for integers of at most 8 bits, after the modality transformation."""
    bits = attributes.bits_stored
    if bits > 8 or stored.dtype.kind not in "iu":
        return None
    least = -(1 << (bits - 1)) if stored.dtype.kind == "i" else 0
    shown = modality_values(np.arange(least, least + (1 << bits)), attributes)
    return float(shown.min()), float(shown.max())
