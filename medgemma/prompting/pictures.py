"""Pictures for a generator: squares of at most 896 pixels, and data URIs of them.

MedGemma's input is 896 x 896, and its processor scales any picture to that square. So a picture is first
padded with black to a square around its centre, which keeps its proportions as in training; then it is
reduced if it is larger, and never enlarged: the processor does that without loss, and fewer bytes are sent.
"""

from __future__ import annotations

import base64
import io
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

SIZE = 896
PictureFormat = Literal["png", "jpeg"]


def square(pixels: NDArray[np.uint8], size: int = SIZE) -> NDArray[np.uint8]:
    """Centre uint8 [height, width, 3] on a black square of side min(size, max(height, width)).

    An odd pixel goes to the bottom or right. Reduced by PIL's bilinear filter, which averages over what it
    drops, as the checkpoint's own processor does. Raises ValueError for another shape or dtype.
    """
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or 0 in pixels.shape:
        raise ValueError(f"a picture is uint8 [height, width, 3], not {pixels.dtype} {list(pixels.shape)}")
    height, width = pixels.shape[:2]
    side = max(height, width)
    padded = np.zeros((side, side, 3), np.uint8)
    top, left = (side - height) // 2, (side - width) // 2
    padded[top : top + height, left : left + width] = pixels
    if side <= size:
        return padded
    return np.asarray(Image.fromarray(padded).resize((size, size), Image.Resampling.BILINEAR))


def data_uri(pixels: NDArray[np.uint8], format_: PictureFormat) -> str:
    """Encode uint8 [height, width, 3] as a data URI: PNG, without loss, or JPEG of quality 95."""
    written = io.BytesIO()
    if format_ == "png":
        Image.fromarray(pixels).save(written, "PNG", compress_level=1)
    else:
        Image.fromarray(pixels).save(written, "JPEG", quality=95, subsampling=0)
    return f"data:image/{format_};base64,{base64.b64encode(written.getvalue()).decode('ascii')}"
