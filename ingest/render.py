"""Stored values -> display values: pure functions over arrays and `PixelAttributes`.

The chain is PS3.3 C.7.6.3 and C.11: modality transformation, VOI transformation, polarity last.
Every stored value of at most 16 bits is transformed once, in a table, and the picture is one table lookup.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ingest.attributes import LookupTable, PixelAttributes, Window

Values = NDArray[np.float64]
Stored = NDArray[Any]

# MedGemma Technical Report (arXiv 2507.05201): width and level in HU for red, green and blue.
CT_WINDOWS = (Window(-100.0, 2250.0), Window(40.0, 350.0), Window(40.0, 80.0))
# Nothing is published for MR; these percentiles of the series are this project's own choice.
PERCENTILES = (0.5, 99.5)
_SERIES_RENDERINGS = frozenset({"mr-percentile", "series-percentile"})
# A window that leaves fewer grey levels than this between the smallest and the largest value shows nothing.
MIN_SHOWN_LEVELS = 4.0

WARNINGS = {
    "window-outside-data": "the stored window shows nothing of the data; percentiles were used instead",
    "window-invalid": "the stored window has no positive width; percentiles were used instead",
    "voi-function-unknown": "the VOI LUT function is unknown; LINEAR was used",
    "lut-depth-wrong": "the VOI LUT does not use its stated depth; its own maximum was taken as white",
    "single-slice": "percentiles were taken from one slice alone; those of a whole series may differ",
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

    `colour`, `palette`, `ct-rgb-3window` (CT in Hounsfield units), `mr-percentile`, `series-percentile`
    (PET), else `voi`, which falls back to `full-range` where the dataset holds neither VOI LUT nor window.
    """
    photometric = attributes.photometric_interpretation
    if photometric == "PALETTE COLOR" and attributes.palette is not None:
        return "palette"
    if not photometric.startswith("MONOCHROME") and photometric != "PALETTE COLOR":
        return "colour"
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
        return 0.0, 100.0
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
    Raises ValueError if the array has another shape.
    """
    rendering = rendering or choose_rendering(attributes)
    if stored.ndim == 3 and stored.shape[2] in (3, 4):
        return Display(_colour(stored[..., :3], attributes.bits_stored), "colour")
    if stored.ndim != 2 or not stored.size:
        raise ValueError(f"a frame must be [H, W] or [H, W, 3], not {stored.shape}")
    if rendering == "palette" and attributes.palette is not None:
        index = np.clip(stored.astype(np.int64) - attributes.palette_first, 0, len(attributes.palette) - 1)
        return Display(attributes.palette[index], "palette")
    if rendering == "ct-rgb-3window":
        return _ct_rgb(stored, attributes)
    if rendering in _SERIES_RENDERINGS:
        return _limited(stored, attributes, rendering, limits, ())
    return _voi(stored, attributes, limits)


def modality_values(stored: Stored, attributes: PixelAttributes) -> Values:
    """Apply the modality LUT or rescale (PS3.3 C.11.1) to stored values of any shape; float64."""
    if attributes.modality_lut is not None:
        return _look_up(stored, attributes.modality_lut)
    values = stored.astype(np.float64)
    if attributes.rescale_slope != 1.0:
        values *= attributes.rescale_slope
    if attributes.rescale_intercept != 0.0:
        values += attributes.rescale_intercept
    return values


def window_levels(values: Values, window: Window, function: str = "LINEAR") -> Values:
    """Map values to 0..1 by a window: PS3.3 C.11.2.1.2.1, C.11.2.1.3.1 (SIGMOID), C.11.2.1.3.2
    (LINEAR_EXACT).

    A LINEAR window narrower than 1, which the standard forbids, is taken as LINEAR_EXACT.
    """
    center, width = window.center, window.width
    if function == "SIGMOID":
        exponent = np.clip(-4.0 * (values - center) / width, -700.0, 700.0)
        return np.asarray(1.0 / (1.0 + np.exp(exponent)))
    if function == "LINEAR_EXACT" or width < 1.0:
        return np.clip((values - center) / width + 0.5, 0.0, 1.0)
    if width == 1.0:
        return (values > center - 0.5).astype(np.float64)
    return np.clip((values - (center - 0.5)) / (width - 1.0) + 0.5, 0.0, 1.0)


class ValueHistogram:
    """Counts of values after the modality transformation, padding left out, over the slices of a series."""

    def __init__(self) -> None:
        self._values: list[Values] = []
        self._counts: list[NDArray[np.int64]] = []

    def add(self, stored: Stored, attributes: PixelAttributes) -> None:
        """Count one frame [H, W]."""
        levels, counts = _counted(stored)
        if attributes.padding is not None:
            low, high = attributes.padding
            kept = (levels < low) | (levels > high)
            if kept.any():
                levels, counts = levels[kept], counts[kept]
        self._values.append(modality_values(levels, attributes))
        self._counts.append(counts)

    def extend(self, other: ValueHistogram) -> None:
        """Count what `other` has counted as well."""
        self._values += other._values
        self._counts += other._counts

    def limits(self, percentiles: tuple[float, float] = PERCENTILES) -> tuple[float, float]:
        """Percentiles of all counted pixels, interpolated as numpy does; the extremes where both coincide."""
        values, counts = np.concatenate(self._values), np.concatenate(self._counts)
        finite = np.isfinite(values)
        values, counts = values[finite], counts[finite]
        if not values.size:
            return 0.0, 0.0
        order = np.argsort(values, kind="stable")
        values, last = values[order], np.cumsum(counts[order])
        low, high = (_percentile(values, last, p) for p in percentiles)
        return (low, high) if high > low else (float(values[0]), float(values[-1]))


def _percentile(values: Values, last: NDArray[np.int64], percentile: float) -> float:
    rank = percentile / 100.0 * (int(last[-1]) - 1)
    below = int(np.floor(rank))
    first, second = (
        float(values[np.searchsorted(last, min(r, int(last[-1]) - 1), side="right")])
        for r in (below, below + 1)
    )
    return first + (second - first) * (rank - below)


def _counted(stored: Stored) -> tuple[Stored, NDArray[np.int64]]:
    if stored.dtype.kind in "iu" and stored.dtype.itemsize <= 2:
        start = int(stored.min())
        counts = np.bincount(stored.ravel().astype(np.int64) - start)
        present = np.flatnonzero(counts)
        return present + start, counts[present].astype(np.int64)
    levels, counts = np.unique(stored, return_counts=True)
    return levels, counts.astype(np.int64)


def _look_up(values: Stored, table: LookupTable) -> Values:
    first = table.first
    # PS3.3 C.11.2.1.1: the first mapped value may have been read as unsigned where it is negative.
    if first > 32767 and values.size and float(np.min(values)) < 0:
        first -= 65536
    index = np.clip(np.rint(values.astype(np.float64)) - first, 0, len(table.values) - 1)
    looked_up: Values = np.take(table.values, index.astype(np.int64))
    return looked_up


def _colour(stored: Stored, bits_stored: int) -> NDArray[np.uint8]:
    if stored.dtype == np.uint8:
        return np.ascontiguousarray(stored)
    white = float(2**bits_stored - 1)
    return np.rint(np.clip(stored.astype(np.float64) / white, 0.0, 1.0) * 255.0).astype(np.uint8)


def _draw(stored: Stored, levels: Callable[[Stored], Values]) -> NDArray[np.uint8]:
    """Apply `levels` (stored values -> 0..1) and round to uint8, through a table where that is less work."""
    if stored.dtype.kind not in "iu" or stored.dtype.itemsize > 2:
        return _to_uint8(levels(stored))
    low, high = int(stored.min()), int(stored.max())
    if high - low >= stored.size:
        return _to_uint8(levels(stored))
    bits = 8 * stored.dtype.itemsize
    inputs = np.arange(low, high + 1)
    table = np.zeros(2**bits, dtype=np.uint8)
    table[inputs % 2**bits] = _to_uint8(levels(inputs))
    return _take(table, stored.view(f"u{stored.dtype.itemsize}"))


def _take(table: NDArray[np.uint8], index: Stored) -> NDArray[np.uint8]:
    # numpy widens the index to 64 bits: a few rows at a time keep that within the cache.
    out = np.empty(index.shape, dtype=np.uint8)
    for start in range(0, len(index), 64):
        np.take(table, index[start : start + 64], out=out[start : start + 64], mode="clip")
    return out


def _to_uint8(levels: Values) -> NDArray[np.uint8]:
    return np.rint(np.nan_to_num(levels, nan=0.0) * 255.0).astype(np.uint8)


def _ct_rgb(stored: Stored, attributes: PixelAttributes) -> Display:
    # Hounsfield units have a meaning of their own, so MONOCHROME1 does not turn this rendering around.
    out = np.empty((*stored.shape, 3), dtype=np.uint8)
    for channel, window in enumerate(CT_WINDOWS):

        def levels(values: Stored, window: Window = window) -> Values:
            return window_levels(modality_values(values, attributes), window, "LINEAR_EXACT")

        out[..., channel] = _draw(stored, levels)
    params = {"windows": [[window.width, window.center] for window in CT_WINDOWS]}
    return Display(out, "ct-rgb-3window", params)


def _limited(
    stored: Stored,
    attributes: PixelAttributes,
    rendering: str,
    limits: tuple[float, float] | None,
    warnings: tuple[str, ...],
) -> Display:
    if limits is None:
        histogram = ValueHistogram()
        histogram.add(stored, attributes)
        limits = histogram.limits()
    low, high = limits
    inverted = _is_inverted(attributes)

    def levels(values: Stored) -> Values:
        shown = np.clip((modality_values(values, attributes) - low) / (high - low or 1.0), 0.0, 1.0)
        return 1.0 - shown if inverted else shown

    params = {"low": low, "high": high, "inverted": inverted}
    return Display(_draw(stored, levels), rendering, params, warnings)


def _voi(stored: Stored, attributes: PixelAttributes, limits: tuple[float, float] | None) -> Display:
    low, high = _extremes(stored, attributes)
    warnings: tuple[str, ...] = ()
    params: dict[str, object]
    if attributes.voi_lut is not None:
        shown, params, warnings = _voi_lut(attributes.voi_lut)
    elif attributes.windows:
        window, function = attributes.windows[0], attributes.voi_lut_function
        if function not in {"LINEAR", "LINEAR_EXACT", "SIGMOID"}:
            function, warnings = "LINEAR", ("voi-function-unknown",)
        if window.width <= 0:
            return _limited(stored, attributes, "percentile", None, ("window-invalid",))
        ends = window_levels(np.array([low, high]), window, function)
        if high > low and (ends[1] - ends[0]) * 255.0 < MIN_SHOWN_LEVELS:
            return _limited(stored, attributes, "percentile", None, ("window-outside-data",))
        params = {"center": window.center, "width": window.width, "function": function}

        def shown(values: Values) -> Values:
            return window_levels(values, window, function)
    else:
        full = _nominal_range(stored, attributes) or limits or (low, high)
        return _limited(stored, attributes, "full-range", full, ())
    inverted = _is_inverted(attributes)

    def levels(values: Stored) -> Values:
        visible = shown(modality_values(values, attributes))
        return 1.0 - visible if inverted else visible

    return Display(_draw(stored, levels), "voi", {**params, "inverted": inverted}, warnings)


def _voi_lut(table: LookupTable) -> tuple[Callable[[Values], Values], dict[str, object], tuple[str, ...]]:
    white, top = float(2**table.bits - 1), float(table.values.max())
    warnings: tuple[str, ...] = ()
    if top > white or top < white / 8:
        white, warnings = top or 1.0, ("lut-depth-wrong",)

    def shown(values: Values) -> Values:
        return _look_up(values, table) / white

    return shown, {"lut": len(table.values)}, warnings


def _nominal_range(stored: Stored, attributes: PixelAttributes) -> tuple[float, float] | None:
    plain = (
        attributes.rescale_slope == 1.0
        and attributes.rescale_intercept == 0.0
        and not attributes.modality_lut
    )
    if attributes.bits_stored <= 8 and stored.dtype == np.uint8 and plain:
        return 0.0, float(2**attributes.bits_stored - 1)
    return None


def _extremes(stored: Stored, attributes: PixelAttributes) -> tuple[float, float]:
    kept = stored
    if attributes.padding is not None:
        low, high = attributes.padding
        unpadded = stored[(stored < low) | (stored > high)]
        kept = unpadded if unpadded.size else stored
    if attributes.modality_lut is not None:
        values = modality_values(kept, attributes)
    else:
        values = modality_values(np.array([kept.min(), kept.max()]), attributes)
    values = values[np.isfinite(values)]
    return (float(values.min()), float(values.max())) if values.size else (0.0, 0.0)


def _is_inverted(attributes: PixelAttributes) -> bool:
    # PS3.3 C.8.11.3.1.2: INVERSE belongs to MONOCHROME1, so either asks for the same one inversion.
    return (
        attributes.photometric_interpretation == "MONOCHROME1"
        or attributes.presentation_lut_shape == "INVERSE"
    )
