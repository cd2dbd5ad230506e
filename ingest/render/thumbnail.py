"""Thumbnails: small pictures of images for lists and grids, made while the display values are at hand."""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray

SIDE = 192
"""Pixels of the longer side of a thumbnail; a smaller picture stays as it is."""
CONTENT_TYPE = "image/jpeg"
# Of Pillow's scale: a CT slice takes about 5 kB, and neither edges nor noise show blocks.
_QUALITY = 78
# Whole pixels are averaged down to less than twice the size before they are interpolated, which takes a
# third of the time (Pillow, Image.thumbnail).
_REDUCING_GAP = 1.0


def thumbnail(values: NDArray[np.uint8]) -> bytes:
    """Display values uint8 [H, W] or [H, W, 3] as a JPEG, grey or in colour, with the same aspect."""
    from PIL import Image

    picture = Image.fromarray(np.ascontiguousarray(values))
    picture.thumbnail((SIDE, SIDE), Image.Resampling.BILINEAR, reducing_gap=_REDUCING_GAP)
    written = io.BytesIO()
    picture.save(written, "JPEG", quality=_QUALITY)
    return written.getvalue()
