"""From display values to model input: the published ways of making a square RGB picture of a given size.

A profile's name belongs to the identity of the vectors, so its arithmetic never changes under the same name.
Sources: the MedGemma Technical Report (arXiv 2507.05201) and its evaluation notebooks, the image processor
that ships with the checkpoint, and Google's public serving container. Normalising to [-1, 1] is the same for
all of them and left to the encoder.
"""

from __future__ import annotations

from collections.abc import Callable
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from medsiglip.errors import ModelError

_Pixels = npt.NDArray[np.uint8] | npt.NDArray[np.uint16]
_Indices = npt.NDArray[np.intp]
# Rows that are drawn at a time: what is made of them on the way stays in the cache.
_ROWS = 112


def to_model_input(image: _Pixels, size: int, profile: str = "medsiglip-eval") -> npt.NDArray[np.uint8]:
    """Draw `image` as model input: a new C-contiguous uint8 array `[size, size, 3]`.

    `image` is uint8 or uint16, `[H, W]` or `[H, W, 3]`, or `[H, W, 4]` whose alpha is dropped; the full range
    of the dtype is black to white. Raises `ModelError`: `unknown-profile`, `bad-image`.
    """
    draw = PROFILES.get(profile)
    if draw is None:
        raise ModelError(
            "unknown-profile", f"There is no profile {profile!r}; choose one of {', '.join(PROFILES)}."
        )
    if image.dtype not in (np.uint8, np.uint16):
        raise ModelError("bad-image", f"Image values must be uint8 or uint16, not {image.dtype}.")
    if image.ndim not in (2, 3) or (image.ndim == 3 and image.shape[2] not in (3, 4)) or 0 in image.shape:
        raise ModelError(
            "bad-image", f"An image must have shape [H, W], [H, W, 3] or [H, W, 4], not {list(image.shape)}."
        )
    drawn = draw(image[:, :, :3] if image.ndim == 3 else image, size)
    if drawn.ndim == 3:
        return np.array(drawn, order="C")
    grey = np.empty((*drawn.shape, 3), np.uint8)
    for channel in range(3):
        grey[..., channel] = drawn
    return grey


def _medsiglip_eval(image: _Pixels, size: int) -> npt.NDArray[np.uint8]:
    """Centre zero padding to a square, bilinear without antialiasing, truncated to whole values.

    The resize is TensorFlow's `tf.image.resize`: half-pixel centres, positions in float32, first along x,
    then along y, as `a + (b - a) * t`. That form keeps flat areas exact; others can lower them by one.
    """
    height, width = image.shape[:2]
    if height == width == size:
        return _to_8_bit(image)
    side = max(height, width)
    columns = _taps(side, size, (side - width) // 2)
    top, bottom, y = _taps(side, size, (side - height) // 2)
    drawn = np.empty((size, size, *image.shape[2:]), np.uint8)
    # Rows that are read twice, because the picture grows, are interpolated along x once.
    along_x = None if height > 2 * size else _along_x(image, *columns)
    for start in range(0, size, _ROWS):
        part = slice(start, start + _ROWS)
        rows = np.concatenate([top[part], bottom[part]])
        if along_x is None:
            pairs = _along_x(_take_or_zero(image, rows, axis=0), *columns)
        else:
            pairs = _take_or_zero(along_x, rows, axis=0)
        half = len(rows) // 2
        drawn[part] = _interpolate(pairs[:half], pairs[half:], y[part], axis=0)
    return drawn


def _along_x(
    image: _Pixels, left: _Indices, right: _Indices, fraction: npt.NDArray[np.float32]
) -> npt.NDArray[np.float32]:
    return _interpolate(
        _as_float(_take_or_zero(image, left, axis=1)),
        _as_float(_take_or_zero(image, right, axis=1)),
        fraction,
        axis=1,
    )


def _taps(side: int, size: int, offset: int) -> tuple[_Indices, _Indices, npt.NDArray[np.float32]]:
    """The two neighbours of each output sample and its place between them, `side` samples drawn as `size`.

    Indices count from sample `offset`, where the picture begins inside its padding.
    """
    scale = np.float32(side) / np.float32(size)
    centre = (np.arange(size, dtype=np.float32) + np.float32(0.5)) * scale - np.float32(0.5)
    floor = np.floor(centre)
    low = np.maximum(floor, 0).astype(np.intp) - offset
    high = np.minimum(np.ceil(centre), side - 1).astype(np.intp) - offset
    return low, high, centre - floor


def _take_or_zero(values: npt.NDArray[Any], indices: _Indices, axis: int) -> npt.NDArray[Any]:
    taken = values.take(indices, axis, mode="clip")
    outside = np.flatnonzero((indices < 0) | (indices >= values.shape[axis]))
    if outside.size:
        taken[outside if axis == 0 else (slice(None), outside)] = 0
    return taken


def _as_float(values: _Pixels) -> npt.NDArray[np.float32]:
    converted = values.astype(np.float32)
    if values.dtype == np.uint16:
        converted /= 257
    return converted


def _interpolate(
    low: npt.NDArray[np.float32], high: npt.NDArray[np.float32], fraction: npt.NDArray[np.float32], axis: int
) -> npt.NDArray[np.float32]:
    """`low + (high - low) * fraction`, in the memory of `low` and `high`."""
    shape = [1] * low.ndim
    shape[axis] = -1
    high -= low
    high *= fraction.reshape(shape)
    low += high
    return low


def _hf_processor(image: _Pixels, size: int) -> npt.NDArray[np.uint8]:
    """The checkpoint's own image processor: aspect ratio squashed, PIL's antialiased bilinear filter."""
    return _pil_resize(_to_8_bit(image), size, Image.Resampling.BILINEAR)


def _google_serving(image: _Pixels, size: int) -> npt.NDArray[np.uint8]:
    """Google's container: centre zero padding to a square, then PIL's antialiased bicubic filter."""
    height, width = image.shape[:2]
    side = max(height, width)
    top, left = (side - height) // 2, (side - width) // 2
    padded = np.zeros((side, side, *image.shape[2:]), np.uint8)
    padded[top : top + height, left : left + width] = _to_8_bit(image)
    return _pil_resize(padded, size, Image.Resampling.BICUBIC)


def _to_8_bit(image: _Pixels) -> npt.NDArray[np.uint8]:
    return image.astype(np.uint8, copy=False) if image.dtype == np.uint8 else (image // 257).astype(np.uint8)


def _pil_resize(image: npt.NDArray[np.uint8], size: int, filter_: Image.Resampling) -> npt.NDArray[np.uint8]:
    return np.asarray(Image.fromarray(np.ascontiguousarray(image)).resize((size, size), filter_))


PROFILES: MappingProxyType[str, Callable[[_Pixels, int], npt.NDArray[np.uint8]]] = MappingProxyType(
    {
        "medsiglip-eval": _medsiglip_eval,
        "hf-processor": _hf_processor,
        "google-serving": _google_serving,
    }
)
DEFAULT_PROFILE = "medsiglip-eval"
