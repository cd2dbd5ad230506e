"""The modality transformation: stored values to values with a unit, such as Hounsfield units."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from medsiglip.ingest.render.attributes import PixelAttributes

Values = NDArray[np.float64]
Stored = NDArray[Any]


def modality_values(stored: Stored, attributes: PixelAttributes) -> Values:
    """Apply the modality LUT or rescale (PS3.3 C.11.1) to stored values of any shape; float64."""
    if attributes.modality_lut is not None:
        return attributes.modality_lut.look_up(stored)
    values = stored.astype(np.float64)
    if attributes.rescale_slope != 1.0:
        values *= attributes.rescale_slope
    if attributes.rescale_intercept != 0.0:
        values += attributes.rescale_intercept
    return values


def unpadded(stored: Stored, attributes: PixelAttributes) -> Stored:
    """Stored values without padding (PS3.3 C.7.5.1.1.2), flat if padding is stated; all if none is left."""
    if attributes.padding is None:
        return stored
    low, high = attributes.padding
    kept: Stored = stored[(stored < low) | (stored > high)]
    return kept if kept.size else stored


def extremes(stored: Stored, attributes: PixelAttributes) -> tuple[float, float]:
    """The least and the greatest finite value after the modality transformation, padding left out.

    Both are 0 if none is finite.
    """
    kept = unpadded(stored, attributes)
    if kept.dtype.kind == "f":
        kept = kept[np.isfinite(kept)]
        if not kept.size:
            return 0.0, 0.0
    if attributes.modality_lut is None:
        kept = np.array([kept.min(), kept.max()])
    values = modality_values(kept, attributes)
    return float(values.min()), float(values.max())
