"""From display values to model input: the published ways of making a square RGB picture of a given size.

A profile's name belongs to the identity of the vectors, so its arithmetic never changes under the same name.
Sources: the MedGemma Technical Report (arXiv 2507.05201) and its evaluation notebooks, the image processor
that ships with the checkpoint, and Google's public serving container. The encoder normalises to [-1, 1],
which is the same for all of them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from medsiglip.errors import ModelError

_Pixels = npt.NDArray[np.uint8] | npt.NDArray[np.uint16]
# Rows that are resized at a time, so that intermediate values stay in the cache.
_ROWS = 224


def to_model_input(image: _Pixels, size: int, profile: str = "medsiglip-eval") -> npt.NDArray[np.uint8]:
    """Resize `image` to model input: a new C-contiguous uint8 array `[size, size, 3]`.

    `image` is uint8 or uint16, `[H, W]` or `[H, W, 3]`, or `[H, W, 4]` whose alpha is dropped; the full range
    of the dtype is black to white. Raises `ModelError`: `unknown-profile`, `bad-image`.
    """
    resize = PROFILES.get(profile)
    if resize is None:
        raise ModelError(
            "unknown-profile", f"There is no profile {profile!r}; choose one of {', '.join(PROFILES)}."
        )
    if image.dtype not in (np.uint8, np.uint16):
        raise ModelError("bad-image", f"Image values must be uint8 or uint16, not {image.dtype}.")
    if image.ndim not in (2, 3) or (image.ndim == 3 and image.shape[2] not in (3, 4)) or 0 in image.shape:
        raise ModelError(
            "bad-image", f"An image must have shape [H, W], [H, W, 3] or [H, W, 4], not {list(image.shape)}."
        )
    resized = resize(image[:, :, :3] if image.ndim == 3 else image, size)
    if resized.ndim == 3:
        return np.array(resized, order="C")
    return _as_rgb(resized)


def _medsiglip_eval(image: _Pixels, size: int) -> npt.NDArray[np.uint8]:
    """Centre zero padding to a square, bilinear without antialiasing, truncated to whole values.

    The resize is TensorFlow's `tf.image.resize`: half-pixel centres, positions in float32, first along x,
    then along y, as `a + (b - a) * t`. That form keeps flat areas exact; others can lower them by one.
    """
    height, width = image.shape[:2]
    if height == width == size:
        return _to_8_bit(image)
    side = max(height, width)
    columns = _taps(side, size, width)
    rows = _taps(side, size, height)
    resized = np.empty((size, size, *image.shape[2:]), np.uint8)
    # Where the picture is enlarged, rows are used more than once and interpolated along x once.
    along_x = None if height > 2 * size else _along_x(image, columns)
    for start in range(0, size, _ROWS):
        near = rows.part(start, start + _ROWS)
        pairs = near.take(image if along_x is None else along_x, axis=0)
        if along_x is None:
            pairs = _along_x(pairs, columns)
        count = len(near.fraction)
        resized[start : start + _ROWS] = _interpolate(pairs[:count], pairs[count:], near.fraction, axis=0)
    return resized


@dataclass(frozen=True, slots=True)
class _Taps:
    """The two neighbours of each output sample along one axis, and its place between them.

    `index` [2, n] holds the samples before and after, `outside` which of them are in the padding (None:
    none).
    """

    index: npt.NDArray[np.intp]
    outside: npt.NDArray[np.bool_] | None
    fraction: npt.NDArray[np.float32]

    def part(self, start: int, stop: int) -> _Taps:
        """The taps of the output samples from `start` to `stop`."""
        outside = None if self.outside is None else self.outside[:, start:stop]
        return _Taps(self.index[:, start:stop], outside, self.fraction[start:stop])

    def take(self, values: npt.NDArray[Any], axis: int) -> npt.NDArray[Any]:
        """The samples before, then those after, along `axis`."""
        taken = values.take(self.index.ravel(), axis)
        if self.outside is not None:
            outside = self.outside.ravel()
            taken[outside if axis == 0 else (slice(None), outside)] = 0
        return taken


@lru_cache(maxsize=64)
def _taps(side: int, size: int, length: int) -> _Taps:
    """The taps that resize `side` samples, of which the picture is the `length` in the middle, to `size`."""
    scale = np.float32(side) / np.float32(size)
    centre = (np.arange(size, dtype=np.float32) + np.float32(0.5)) * scale - np.float32(0.5)
    floor = np.floor(centre)
    near = np.stack([np.maximum(floor, 0), np.minimum(np.ceil(centre), side - 1)])
    wanted = near.astype(np.intp) - (side - length) // 2
    index = wanted.clip(0, length - 1)
    return _Taps(index, index != wanted if length < side else None, centre - floor)


def _along_x(rows: _Pixels, columns: _Taps) -> npt.NDArray[np.float32]:
    """Rows `[n, W]` or `[n, W, 3]` interpolated along x.

    Picking columns takes longest: a row of the upper half and one of the lower share a word of twice the
    width, so that both are picked at once.
    """
    count, half, width = len(rows), -(-len(rows) // 2), len(columns.fraction)
    bits = 8 * rows.itemsize
    words = rows[count - half :].astype(f"u{2 * rows.itemsize}")
    words <<= bits
    words |= rows[:half]
    picked = columns.take(words, axis=1)
    resized = np.empty((count, width, *rows.shape[2:]), np.float32)
    for part, own in ((slice(half), picked & ((1 << bits) - 1)), (slice(count - half, None), picked >> bits)):
        low, high = (_as_float(side, bits) for side in (own[:, :width], own[:, width:]))
        resized[part] = _interpolate(low, high, columns.fraction, axis=1)
    return resized


def _as_float(values: npt.NDArray[Any], bits: int) -> npt.NDArray[np.float32]:
    converted = values.astype(np.float32)
    if bits == 16:
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


def _as_rgb(grey: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """`[size, size]` three times, as `[size, size, 3]`.

    Two pixels a, b are three words of two bytes, aa ab bb, which takes half as long as single bytes.
    """
    pairs = np.zeros(-(-grey.size // 2), "<u2")
    pairs.view(np.uint8)[: grey.size] = grey.ravel()
    words = np.empty((len(pairs), 3), "<u2")
    words[:, 0] = (pairs & 0xFF) * 0x101
    words[:, 1] = pairs
    words[:, 2] = (pairs >> 8) * 0x101
    return words.view(np.uint8).ravel()[: 3 * grey.size].reshape(*grey.shape, 3)


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
