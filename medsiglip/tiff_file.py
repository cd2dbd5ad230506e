"""The first page of a TIFF or BigTIFF, by tifffile; facsimiles and video-like colours are left to Pillow."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BytesIO
from math import prod
from os import PathLike
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from medsiglip.decoded_picture import DecodedPicture, PictureFacts

# PhotometricInterpretation and Compression: TIFF 6.0, and the registry of its private values.
_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _PALETTE, _MASK, _SEPARATED, _YCBCR, _CIELAB, _ICCLAB = (
    *range(7),
    8,
    9,
)
_GREY = frozenset({_WHITE_IS_ZERO, _BLACK_IS_ZERO, _MASK})
_SAMPLES = {_RGB: 3, _PALETTE: 1, _SEPARATED: 4, _CIELAB: 3, _ICCLAB: 3} | dict.fromkeys(_GREY, 1)
_FACSIMILE, _OLD_JPEG = frozenset({2, 3, 4, 32771}), 6
_JPEG = frozenset({7, 33007, 34892})
# JPEG, JPEG 2000, JPEG XR and XL, WebP, LERC: lossy always or maybe.
_LOSSY = frozenset({6, 7, 33003, 33005, 33007, 34712, 34887, 34892, 34934, 50001, 50002, 52546})
_ICC_PROFILE, _ORIENTATION, _INK_SET = 34675, 274, 332
_ASSOCIATED_ALPHA = 1
_CHUNKY, _CMYK_INKS = 1, 1
_MAX_SAMPLES = 8
MAX_BYTES = 1 << 31


def tiff_facts(source: str | PathLike[str] | BinaryIO) -> PictureFacts:
    """What the first page of a TIFF says. Raises OSError and ValueError, and whatever tifffile raises."""
    with _first_page(source) as page:
        _check(page)
        grey = int(page.photometric) in _GREY
        return PictureFacts(
            page.imagelength,
            page.imagewidth,
            page.samplesperpixel,
            max(_bits(page)),
            grey,
            page.compression in _LOSSY,
        )


def read_tiff(
    source: str | PathLike[str] | BinaryIO, check_size: Callable[[int, int], None]
) -> DecodedPicture | None:
    """The first page of a TIFF, None if Pillow is to read it: facsimiles, JPEG of before 1995, and YCbCr.

    `check_size` is given rows and columns before any pixel is read, and raises if they are too many. Raises
    OSError and ValueError, and whatever tifffile raises, for a picture that cannot be used.
    """
    with _first_page(source) as page:
        check_size(page.imagelength, page.imagewidth)
        _check(page)
        if _is_left_to_pillow(page):
            return None
        _check_segments(page)
        space = _space(page)
        samples = _samples(page, _SAMPLES[int(page.photometric)])
        if page.photometric == _PALETTE:
            samples = _colours(samples, page.colormap)
        elif page.photometric in (_CIELAB, _ICCLAB):
            samples = _lab(samples, signed=page.photometric == _CIELAB)
        bits = 8 if page.photometric in (_PALETTE, _CIELAB, _ICCLAB) else max(_bits(page))
        return DecodedPicture(
            samples,
            space,
            bits,
            profile=_bytes(page, _ICC_PROFILE),
            orientation=_integer(page, _ORIENTATION, 1),
            white_is_zero=page.photometric == _WHITE_IS_ZERO,
        )


def _is_left_to_pillow(page: Any) -> bool:
    return int(page.compression) in {*_FACSIMILE, _OLD_JPEG} or int(page.photometric) == _YCBCR


@contextmanager
def _first_page(source: str | PathLike[str] | BinaryIO) -> Iterator[Any]:
    """The first page, without the records of tifffile's log, which may quote the file."""
    import tifffile

    logger = logging.getLogger("tifffile")
    level = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        with tifffile.TiffFile(source) as file:
            yield file.pages[0]
    finally:
        logger.setLevel(level)


def _space(page: Any) -> str:
    photometric = int(page.photometric)
    samples = _SAMPLES.get(photometric)
    # A grey page of more samples than an opacity holds channels, of which none is the picture.
    most = (2 if samples == 1 else _MAX_SAMPLES) if samples else 0
    if samples is None or not samples <= page.samplesperpixel <= most:
        raise ValueError("no known colours")
    if photometric in _GREY:
        return "grey"
    if photometric == _SEPARATED:
        if _integer(page, _INK_SET, _CMYK_INKS) != _CMYK_INKS:
            raise ValueError("inks other than CMYK")
        return "cmyk"
    return "lab" if photometric in (_CIELAB, _ICCLAB) else "rgb"


def _check(page: Any) -> None:
    """Refuse what is too large, and files that end before their pixels: tifffile fills in what is missing."""
    if page.compression != _OLD_JPEG:  # which has no strips
        _check_strips(page)
    if _is_left_to_pillow(page):
        return
    _space(page)
    if page.dtype is None or page.dtype.kind not in "buif":
        raise ValueError("values of an unknown kind")
    if page.nbytes > MAX_BYTES:
        raise MemoryError
    uncompressed = page.imagelength * page.imagewidth * page.samplesperpixel * min(_bits(page)) // 8
    if page.compression == 1 and sum(page.databytecounts) < uncompressed:
        raise ValueError("the file ends before its pixels")


def _check_strips(page: Any) -> None:
    """Refuse strips and tiles that a file leaves out, that are empty or that lie beyond its end.

    They would be black, or made of other bytes.
    """
    count = prod(page.chunked)
    places = list(zip(page.dataoffsets, page.databytecounts, strict=False))[:count]
    size = page.parent.filehandle.size
    if len(places) < count or not all(0 < start < start + length <= size for start, length in places):
        raise ValueError("the file ends before its pixels")


def _check_segments(page: Any) -> None:
    """Refuse codestreams that say another size than their strip or tile: tifffile takes their values for rows
    of the picture, whatever their width, and decodes what is far larger first.
    """
    from tifffile import TIFF

    if page.compression not in TIFF.IMAGE_COMPRESSIONS:
        return
    segments = page.parent.filehandle.read_segments(
        page.dataoffsets, page.databytecounts, length=prod(page.chunked), flat=True
    )
    most = page.tilelength if page.is_tiled else page.rowsperstrip
    for data, index in segments:
        _, start, shape = page.decode(None, index)
        rows, columns = _size_of(data, page.compression)
        widths = {shape[2], page.imagewidth - start[3]} if page.is_tiled else {shape[2]}
        if rows and (columns not in widths or not rows <= most):
            raise ValueError("a codestream of another size than its strip or tile")


def _size_of(data: bytes, compression: int) -> tuple[int, int]:
    """Rows and columns of a codestream, 0, 0 if it does not say. Raises PIL's `DecompressionBombError`."""
    from PIL import Image, UnidentifiedImageError
    from tifffile import TIFF

    try:
        with Image.open(BytesIO(data), formats=("JPEG", "JPEG2000", "PNG", "WEBP")) as opened:
            return opened.height, opened.width
    except UnidentifiedImageError:  # of another kind, or one that Pillow does not know
        pass
    if compression in _JPEG:
        return 0, 0
    rows, columns = TIFF.DECOMPRESSORS[compression](data).shape[:2]
    return rows, columns


def _samples(page: Any, count: int) -> NDArray[Any]:
    """[H, W] or [H, W, `count`] of whatever planes and order; further samples are left out."""
    planes, _, height, width, chunky = page.shaped
    stored: NDArray[Any] = page.asarray(squeeze=False, maxworkers=1)[:, 0]
    is_planar = page.planarconfig != _CHUNKY and planes > 1
    stored = np.moveaxis(stored[..., 0], 0, -1) if is_planar else stored[0]
    stored = stored.reshape(height, width, max(planes, chunky))
    if count == 3 and page.extrasamples[:1] == (_ASSOCIATED_ALPHA,) and stored.dtype == np.uint8:
        return _unmultiplied(stored)
    return stored[..., 0] if count == 1 else stored[..., :count]


def _unmultiplied(stored: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """RGB without the opacity that it was multiplied by."""
    alpha = np.maximum(stored[..., 3:4].astype(np.uint32), 1)
    whole: NDArray[np.uint8] = np.minimum(255 * stored[..., :3].astype(np.uint32) // alpha, 255).astype(
        np.uint8
    )
    return whole


def _colours(index: NDArray[Any], colormap: NDArray[np.uint16] | None) -> NDArray[np.uint8]:
    """The colour of each index. A map of 16 bits keeps the upper 8; one of at most 255 throughout holds 8, a
    common mistake.
    """
    if colormap is None or index.dtype.kind not in "bu":
        raise ValueError("no colour map")
    entries = np.asarray(colormap).T
    eight = entries if int(entries.max()) <= 255 else entries >> 8
    return eight.astype(np.uint8)[np.minimum(index.astype(np.intp), len(eight) - 1)]


def _lab(stored: NDArray[Any], *, signed: bool) -> NDArray[np.uint8]:
    """L* x 2.55, a* + 128, b* + 128 of CIELAB, whose a* and b* are signed, or ICCLAB, 8 or 16 bits."""
    if stored.dtype not in (np.uint8, np.uint16):
        raise ValueError("L*a*b* of an unknown kind")
    if signed:
        half = 1 << (8 * stored.dtype.itemsize - 1)
        stored = np.concatenate([stored[..., :1], stored[..., 1:] ^ half], axis=2).astype(stored.dtype)
    return stored if stored.dtype == np.uint8 else (stored >> 8).astype(np.uint8)


def _bits(page: Any) -> tuple[int, ...]:
    bits = page.bitspersample
    return (bits,) if isinstance(bits, int) else tuple(bits)


def _integer(page: Any, tag: int, absent: int) -> int:
    value = page.tags[tag].value if tag in page.tags else absent
    return int(value) if isinstance(value, int) else absent


def _bytes(page: Any, tag: int) -> bytes | None:
    value = page.tags[tag].value if tag in page.tags else None
    return bytes(value) if isinstance(value, bytes | tuple) and value else None
