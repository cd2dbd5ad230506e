"""Frames of uncompressed pixel data (PS3.5 8.1), without a copy if possible."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from medsiglip.ingest.errors import decode_error
from medsiglip.ingest.pixels.image_pixel import ImagePixel
from medsiglip.ingest.pixels.ybr import rgb_from_ybr

# Writers may pad the element to a block; more than this means that the header is wrong.
_MAX_PADDING = 4096


def native_frame(
    values: bytes | memoryview, image: ImagePixel, index: int, *, big_endian: bool = False
) -> NDArray[Any]:
    """Frame `index` of `values`: stored values [H, W], perhaps read-only, or RGB [H, W, 3].

    Bits above High Bit and below Bits Stored, which may hold overlays (PS3.5 8.1.1), are cleared. Raises
    `DecodeError` `inconsistent-pixels` if the frame is not there.
    """
    count, subsampled = _stored_samples(values, image)
    allocated = image.bits_allocated
    if not 0 <= index < image.number_of_frames or (index + 1) * count * allocated > 8 * len(values):
        raise decode_error("inconsistent-pixels")
    if allocated % 8:
        frame = _unpack(values, index * count * allocated, count, allocated).astype(image.dtype, copy=False)
    else:
        dtype = image.dtype.newbyteorder(">" if big_endian else "<")
        frame = np.frombuffer(values, dtype, count, index * count * dtype.itemsize)
        frame = frame.astype(image.dtype, copy=False)
    frame = own_bits(frame, image)
    if subsampled:
        frame = _upsampled(frame.reshape(image.rows, image.columns // 2, 4), image)
    return arranged(frame, image, planar=image.planar_configuration == 1 and not subsampled)


def check_length(values: bytes | memoryview, image: ImagePixel) -> None:
    """Raise `DecodeError` `inconsistent-pixels` if `values` are much longer than the header says.

    Too few values are detected by the frame that lacks them.
    """
    frame_bits = _stored_samples(values, image)[0] * image.bits_allocated
    excess = len(values) - image.number_of_frames * frame_bits // 8
    if excess > max(_MAX_PADDING, frame_bits // 64):
        raise decode_error("inconsistent-pixels")


def byte_swapped(values: bytes) -> bytes:
    """Big endian words of two bytes as the bytes they hold, for values of 8 bits or fewer (PS3.5 8.1.1)."""
    return np.frombuffer(values, np.uint16, len(values) // 2).byteswap().tobytes()


def own_bits(frame: NDArray[Any], image: ImagePixel) -> NDArray[Any]:
    """Stored values without the bits around them, signed values extended (PS3.5 8.1.1)."""
    stored, width = image.bits_stored, 8 * frame.dtype.itemsize
    if frame.dtype.kind == "f" or stored == width:
        return frame
    if image.high_bit == stored - 1 and _within(frame, stored):
        return frame
    # Arithmetic shifts extend the sign.
    above, around = (np.array(n, frame.dtype) for n in (width - 1 - image.high_bit, width - stored))
    own: NDArray[Any] = frame << above >> around
    return own


def _within(frame: NDArray[Any], bits: int) -> bool:
    if frame.dtype.kind == "u":
        return int(frame.max()) < 1 << bits
    return int(frame.min()) >= -(1 << (bits - 1)) and int(frame.max()) < 1 << (bits - 1)


def arranged(frame: NDArray[Any], image: ImagePixel, *, planar: bool) -> NDArray[Any]:
    """Values in the order in which they are stored, `planar` plane by plane, as [H, W] or RGB [H, W, 3]."""
    if image.samples_per_pixel == 1:
        return frame.reshape(image.rows, image.columns)
    if planar:
        planes = frame.reshape(3, image.rows, image.columns)
        frame = np.empty((image.rows, image.columns, 3), planes.dtype)
        for k in range(3):  # five times as fast as a transposed copy
            frame[..., k] = planes[k]
    else:
        frame = frame.reshape(image.rows, image.columns, 3)
    if not image.is_ybr:
        return frame
    if frame.dtype.kind != "u":
        raise decode_error("inconsistent-pixels")
    return rgb_from_ybr(frame, image.bits_stored, partial="PARTIAL" in image.photometric_interpretation)


def _stored_samples(values: bytes | memoryview, image: ImagePixel) -> tuple[int, bool]:
    """Values stored for one frame, and whether chrominance has half the columns (PS3.3 C.7.6.3.1.2).

    Writers that state YBR_FULL_422 but store every sample are recognised by the length.
    """
    whole = image.number_of_frames * image.samples * image.bits_allocated // 8
    if not image.photometric_interpretation.endswith("_422") or len(values) >= whole:
        return image.samples, False
    if image.columns % 2:
        raise decode_error("inconsistent-pixels")
    return image.samples // 3 * 2, True


def _upsampled(quads: NDArray[Any], image: ImagePixel) -> NDArray[Any]:
    """[H, W / 2, 4] of Y, Y, Cb, Cr as [H, W, 3]; a pixel takes the chrominance sited with its pair."""
    frame = np.empty((image.rows, image.columns, 3), quads.dtype)
    for column in (0, 1):
        frame[:, column::2, 0] = quads[..., column]
        frame[:, column::2, 1:] = quads[..., 2:]
    return frame


def _unpack(values: bytes | memoryview, start: int, count: int, width: int) -> NDArray[Any]:
    """`count` values of `width` bits each from bit `start` on, the first in the lowest bits (PS3.5 8.1.1)."""
    first, last = start // 8, (start + count * width + 7) // 8
    packed = np.frombuffer(values, np.uint8, last - first, first)
    bits = np.unpackbits(packed, bitorder="little")[start % 8 : start % 8 + count * width]
    if width == 1:
        return bits
    padded = np.zeros((count, 16), np.uint8)
    padded[:, :width] = bits.reshape(count, width)
    return np.packbits(padded, bitorder="little").view("<u2")
