"""Display values: one image as a person would see it, and what there is to warn of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

WARNINGS = {
    "window-outside-data": "the stored window shows nothing of the data; percentiles were used instead",
    "window-invalid": "the stored window has no positive width; percentiles were used instead",
    "window-not-first": "the first stored window shows nothing of the data; a later one was used",
    "voi-function-unknown": "the VOI LUT function is unknown; LINEAR was used",
    "lut-depth-wrong": "the VOI LUT does not use its stated depth; its own maximum was taken as white",
    "rescale-invalid": "the rescale slope leaves nothing of the values; they were rendered without it",
    "rescale-type-unusual": "the rescale type is not HU as the standard spells it; the values were taken as "
    "Hounsfield units all the same",
    "palette-invalid": "the palette cannot be read; its indices were rendered as grey values",
    "icc-profile-invalid": "the ICC profile cannot be used; colours were left as they are",
    "values-not-finite": "some values are not finite numbers; they were left out of the range",
    "for-processing": "the values are raw ones for processing, not for presentation",
    "single-slice": "percentiles were taken from one slice alone; those of a whole series may differ",
    "slide-thinned": "of the patches with tissue an even sample was rendered; a lower magnification needs "
    "fewer",
    "slide-coarse": "the slide has no level as fine as the magnification asks for; its finest was used",
    "slide-spacing-unknown": "the slide gives no pixel spacing; patches show it at its own resolution",
    "slide-no-tissue": "no patch of the slide seems to hold tissue; one was rendered all the same",
    "slide-tiles-empty": "tiles of the slide hold no bytes; they were taken for background",
    "blank": "all pixels have one value",
}


@dataclass(frozen=True, slots=True)
class Display:
    """Display values uint8 [H, W] or [H, W, 3], the rendering that made them with the parameters it used, and
    codes of `WARNINGS`.
    """

    values: NDArray[np.uint8]
    rendering: str
    params: Mapping[str, object] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
