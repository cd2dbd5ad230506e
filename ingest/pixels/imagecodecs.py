"""Compressed frames through imagecodecs, called directly: libjpeg-turbo, CharLS, OpenJPEG, OpenJPH, RLE.

Every decoder takes the bytes of one frame and returns [H, W] stored values or [H, W, 3] RGB. It raises
`DecodeError` if the frame contradicts the header, before allocating memory; NotImplementedError if another
decoder should be tried; and any other error if it cannot decode.
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr
from io import StringIO
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medsiglip.ingest.errors import decode_error
from medsiglip.ingest.pixels.codestream import CodestreamHeader, jpeg_2000_header, jpeg_header
from medsiglip.ingest.pixels.image_pixel import ImagePixel
from medsiglip.ingest.pixels.native import arranged, native_frame, own_bits
from medsiglip.ingest.pixels.ybr import rgb_from_ybr

# OpenJPEG holds 4 bytes for every sample beside the picture: 2 GiB in all.
MAX_SAMPLES = 1 << 28
MAX_TILES = 65_535  # T.800 A.4.2


def decode_jpeg(codestream: bytes, image: ImagePixel) -> NDArray[Any]:
    """JPEG of every process of up to 16 bits (T.81), by libjpeg-turbo.

    The colour space of a lossy codestream is given by its markers and, without any, by Photometric
    Interpretation; that of a lossless one by Photometric Interpretation.
    """
    import imagecodecs

    header = _header(jpeg_header, codestream, image)
    if image.samples_per_pixel == 1:
        return _own_values(imagecodecs.jpeg8_decode(codestream), header, image)
    # Lossy JPEG of three components is YBR by default (ISO/IEC 10918-5), unless RGB is stated.
    assumed = image.is_ybr if header.reversible else image.photometric_interpretation != "RGB"
    converted = assumed if header.is_ybr is None else header.is_ybr
    if header.reversible:
        stored = imagecodecs.jpeg8_decode(codestream, colorspace="RGB", outcolorspace="RGB")
        return arranged(stored, image, planar=False) if converted else stored
    colours = "YCBCR" if converted else "RGB"
    return np.asarray(imagecodecs.jpeg8_decode(codestream, colorspace=colours, outcolorspace="RGB"))


def decode_jpeg_ls(codestream: bytes, image: ImagePixel) -> NDArray[Any]:
    """JPEG-LS (T.87), by CharLS."""
    import imagecodecs

    header = _header(jpeg_header, codestream, image)
    return _own_values(imagecodecs.jpegls_decode(codestream), header, image)


def decode_jpeg_2000(codestream: bytes, image: ImagePixel) -> NDArray[Any]:
    """JPEG 2000 and HTJ2K (T.800, T.814), by OpenJPEG."""
    import imagecodecs

    header = _header(jpeg_2000_header, codestream, image)
    return _own_values(imagecodecs.jpeg2k_decode(codestream), header, image)


def decode_reversible_htj2k(codestream: bytes, image: ImagePixel) -> NDArray[Any]:
    """HTJ2K (T.814) of the reversible wavelet, by OpenJPH; irreversible ones are refused."""
    import imagecodecs

    header = _header(jpeg_2000_header, codestream, image)
    if not header.reversible:
        raise NotImplementedError("values outside the range would wrap around")
    with _unraised():
        stored = imagecodecs.htj2k_decode(codestream)
    return _own_values(stored, header, image)


def decode_run_lengths(codestream: bytes, image: ImagePixel) -> NDArray[Any]:
    """RLE (PS3.5 Annex G): a segment for each byte of a sample, most significant first, sample by sample.

    What a segment holds beyond its part of the frame is dropped: its even length (G.3.1) may be reached by a
    run instead of a byte of 0 behind the runs.
    """
    allocated = image.bits_allocated
    size = (image.samples * allocated + 7) // 8
    # A run of 128 bytes takes two (PS3.5 G.3.1).
    if size > 64 * len(codestream):
        raise decode_error("inconsistent-pixels")
    width = max(allocated // 8, 1)
    if int.from_bytes(codestream[:4], "little") != width * image.samples_per_pixel:
        raise decode_error("inconsistent-pixels")
    values = _run_lengths(codestream, width, size)
    if allocated == 1:
        return native_frame(bytes(values), image, 0)
    return arranged(own_bits(np.frombuffer(values, image.dtype), image), image, planar=True)


def _run_lengths(codestream: bytes, width: int, size: int) -> bytes | bytearray:
    """The `size` bytes of a frame: planes of samples of `width` bytes, least significant first."""
    import imagecodecs

    try:
        values = imagecodecs.dicomrle_decode(codestream, f"<u{width}", out=size)
    except imagecodecs.DicomrleError:  # of a segment that holds too much or too little
        return _run_lengths_by_segment(codestream, width, size)
    if len(values) != size:
        raise decode_error("inconsistent-pixels")
    return values


def _run_lengths_by_segment(codestream: bytes, width: int, size: int) -> bytes:
    count, *offsets = struct.unpack_from("<16L", codestream)
    if count > len(offsets):
        raise decode_error("inconsistent-pixels")
    starts, length = [*offsets[:count], len(codestream)], size // count
    planes = np.empty((count // width, length, width), np.uint8)
    for segment, (start, stop) in enumerate(pairwise(starts)):
        runs = _unpacked(codestream[start:stop], length)
        planes[segment // width, :, width - 1 - segment % width] = np.frombuffer(runs, np.uint8)
    return planes.tobytes()


def _unpacked(segment: bytes, length: int) -> bytearray:
    """The first `length` bytes of a segment (PS3.5 G.3.2)."""
    found, at = bytearray(), 0
    while len(found) < length and at + 1 < len(segment):
        run = segment[at]
        if run < 128:
            found += segment[at + 1 : at + 2 + run]
            at += 2 + run
        elif run == 128:
            at += 1
        else:
            found += segment[at + 1 : at + 2] * (257 - run)
            at += 2
    if len(found) < length:
        raise decode_error("inconsistent-pixels")
    return found[:length]


def _header(
    read: Callable[[bytes], CodestreamHeader], codestream: bytes, image: ImagePixel
) -> CodestreamHeader:
    """The header of a frame that agrees with the data set. For one that does not, no other decoder is tried:
    gdcm ends the process over damaged JPEG headers, OpenJPH over damaged JPEG 2000 ones.
    """
    try:
        header = read(codestream)
    except (ValueError, LookupError, struct.error):
        raise decode_error("undecodable-pixels") from None
    size, stated = (header.rows, header.columns), (image.rows, image.columns)
    cropped = image.tiled and 0 < size[0] <= stated[0] and 0 < size[1] <= stated[1]
    if size != stated and not cropped:
        raise decode_error("inconsistent-pixels")
    if header.samples_per_pixel != image.samples_per_pixel or header.precision > image.bits_allocated:
        raise decode_error("inconsistent-pixels")
    if header.tiles > MAX_TILES:
        raise decode_error("undecodable-pixels")
    if image.samples > MAX_SAMPLES:
        raise decode_error("picture-too-large")
    if not header.is_complete(codestream):
        raise decode_error("truncated")
    return header


def _own_values(array: NDArray[Any], header: CodestreamHeader, image: ImagePixel) -> NDArray[Any]:
    """Decoded values with the sign and the bits of the data set.

    JPEG and JPEG-LS have no sign, and JPEG 2000 may have the wrong one. Lossy values may exceed Bits Stored,
    lossless ones may hold overlay bits above it.
    """
    if image.samples_per_pixel == 3:
        converted = image.is_ybr if header.is_ybr is None else header.is_ybr
        return rgb_from_ybr(array, min(header.precision, image.bits_stored)) if converted else array
    bits = min(header.precision, image.bits_stored)
    if header.signed == image.signed and header.precision == bits:
        return array.astype(image.dtype, copy=False)
    if header.precision > image.high_bit >= image.bits_stored:
        return own_bits(array.astype(image.dtype, copy=False), image)
    if not image.signed and not header.signed and not header.reversible:
        clipped: NDArray[Any] = np.minimum(array, (1 << bits) - 1)
        return clipped.astype(image.dtype, copy=False)
    cells = array.astype(image.dtype, copy=False)
    rest = np.array(8 * cells.dtype.itemsize - bits, cells.dtype)
    own: NDArray[Any] = cells << rest >> rest if rest else cells
    return own


@contextmanager
def _unraised() -> Iterator[None]:
    """Raise for an error that a compiled module cannot raise and would print."""
    caught: list[BaseException | None] = []
    hook = sys.unraisablehook
    sys.unraisablehook = lambda unraisable: caught.append(unraisable.exc_value)
    try:
        with redirect_stderr(StringIO()):
            yield
    finally:
        sys.unraisablehook = hook
    if caught:
        raise decode_error("undecodable-pixels") from caught[0]
