"""The VOI transformation (PS3.3 C.11.2): windows, their functions, and which of them can be used."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from medsiglip.ingest.render.attributes import PixelAttributes, Window
from medsiglip.ingest.render.modality_values import Values

FUNCTIONS = frozenset({"LINEAR", "LINEAR_EXACT", "SIGMOID"})
# A window with fewer grey levels than this between the least and the greatest value shows nothing.
MIN_SHOWN_LEVELS = 4.0
# Larger Bits Stored are often overstated, and a window over the whole range then shows nothing.
_RELIABLE_BITS = 12


def window_levels(values: Values, window: Window, function: str = "LINEAR") -> Values:
    """Map values to 0..1 by a window: PS3.3 C.11.2.1.2.1, C.11.2.1.3.1 (SIGMOID), C.11.2.1.3.2
    (LINEAR_EXACT).

    A LINEAR window narrower than 1, which the standard forbids, is taken as LINEAR_EXACT.
    """
    ramp = linear_ramp(window, function)
    if ramp is not None:
        black, white = ramp
        return np.clip((values - black) / (white - black), 0.0, 1.0)
    if function == "SIGMOID":
        exponent = np.clip(-4.0 * (values - window.center) / window.width, -700.0, 700.0)
        return np.asarray(1.0 / (1.0 + np.exp(exponent)))
    return (values > window.center - 0.5).astype(np.float64)


def linear_ramp(window: Window, function: str) -> tuple[float, float] | None:
    """The values that become black and white if all between lie on a line; None for a SIGMOID and for a
    LINEAR window of width 1, which is a step.
    """
    center, width = window.center, window.width
    if function == "SIGMOID":
        return None
    if function == "LINEAR_EXACT" or width < 1.0:
        return _apart(center - width / 2.0, center + width / 2.0)
    if width == 1.0:
        return None
    return _apart(center - 0.5 - (width - 1.0) / 2.0, center - 0.5 + (width - 1.0) / 2.0)


def _apart(black: float, white: float) -> tuple[float, float]:
    """Keep the two apart if the width vanishes beside the center, for the division."""
    return black, white if white > black else float(np.nextafter(black, np.inf))


def spans_stored_values(window: Window, attributes: PixelAttributes, *, signed: bool) -> bool:
    """Whether a window covers all values that the stored bits allow, within 1 %, and is at most twice as
    wide. Such a window is intended: an almost blank frame of a cine stays almost blank.
    """
    bits = attributes.bits_stored
    if bits > _RELIABLE_BITS or attributes.modality_lut is not None:
        return False
    least = -(1 << (bits - 1)) if signed else 0
    slope, intercept = attributes.rescale_slope, attributes.rescale_intercept
    low, high = sorted(value * slope + intercept for value in (least, least + (1 << bits) - 1))
    reach = window.width / 2 + (high - low) / 100
    covers = window.center - reach <= low and window.center + reach >= high
    return covers and window.width <= 2 * (high - low + abs(slope))


def usable_window(
    windows: Sequence[Window], function: str, low: float, high: float
) -> tuple[Window | None, tuple[str, ...]]:
    """The first of several alternative windows (PS3.3 C.11.2.1.2) that shows something of the values from
    `low` to `high`, and codes of `medsiglip.ingest.render.display.WARNINGS`; None with the first one's fault
    if none does.
    """
    faults = [_fault(window, function, low, high) for window in windows]
    for window, fault in zip(windows, faults, strict=True):
        if fault is None:
            return window, () if window is windows[0] else ("window-not-first",)
    return None, tuple(fault for fault in faults[:1] if fault)


def _fault(window: Window, function: str, low: float, high: float) -> str | None:
    if not window.width > 0.0:
        return "window-invalid"
    ends = window_levels(np.array([low, high]), window, function)
    if high > low and (ends[1] - ends[0]) * 255.0 < MIN_SHOWN_LEVELS:
        return "window-outside-data"
    return None
