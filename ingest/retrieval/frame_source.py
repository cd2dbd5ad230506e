"""The frames of one file, as they are stored and as native ones, without reading more than is asked for."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from medsiglip.ingest.dicom.transfer_syntaxes import (
    BIG_ENDIAN,
    EXPLICIT,
    RLE,
    TRANSFER_SYNTAXES,
    handed_on_as,
)
from medsiglip.ingest.errors import DecodeError, decode_error
from medsiglip.ingest.files.source import source_status
from medsiglip.ingest.header.burned_in import NO, burned_in
from medsiglip.ingest.header.elements import read_elements
from medsiglip.ingest.header.header import usable_uid
from medsiglip.ingest.pixels.decode import codestreams, frames, open_dataset, pixel_hash
from medsiglip.ingest.pixels.image_pixel import PIXEL_KEYWORDS, ImagePixel, image_pixel
from medsiglip.ingest.privacy.deidentify import SecretKey
from medsiglip.ingest.retrieval.instance_facts import InstanceFile
from medsiglip.ingest.retrieval.silent_codestream import silent
from medsiglip.ingest.retrieval.silent_runs import silent_runs
from medsiglip.ingest.slides.tiles import TileFile, open_tiles

if TYPE_CHECKING:
    from pydicom import Dataset

    from medsiglip.ingest.dicom.element_value import Elements

# A larger file is read frame by frame.
_WHOLE = 16 << 20


class FrameSource(Protocol):
    """The frames of an opened file. Methods raise `DecodeError` as `medsiglip.ingest.pixels.decode.frames`
    does.
    """

    @property
    def header(self) -> Dataset:
        """Its data set, in which the pixels may be missing."""
        ...

    def stored(self, frame: int) -> bytes:
        """The bytes of a frame, counted from 0, of encapsulated pixel data."""
        ...

    def decoded(self, frame: int) -> NDArray[Any]:
        """Stored values [H, W], or RGB [H, W, 3]."""
        ...


class _WholeFile:
    def __init__(self, path: str) -> None:
        self.header = open_dataset(path)

    def stored(self, frame: int) -> bytes:
        return next(codestreams(self.header, [frame]))

    def decoded(self, frame: int) -> NDArray[Any]:
        return next(frames(self.header, [frame]))


class _FrameByFrame:
    def __init__(self, tiles: TileFile) -> None:
        self._tiles = tiles
        self.header = tiles.header

    def stored(self, frame: int) -> bytes:
        return self._tiles.stored(frame)

    def decoded(self, frame: int) -> NDArray[Any]:
        return self._tiles.tile(frame)


@contextmanager
def frame_source(path: str) -> Iterator[FrameSource]:
    """Open the frames of a file. Raises `DecodeError`."""
    try:
        size = source_status(path)[0]
    except OSError:
        raise decode_error("source-gone") from None
    if size <= _WHOLE:
        yield _WholeFile(path)
        return
    tiles = open_tiles(path)
    try:
        # Of frames that share a byte, and of values that are swapped by the word, only the whole can be read.
        bits = int(tiles.header.get("BitsAllocated") or 0)
        plain = bits % 8 == 0 and str(tiles.header.file_meta.get("TransferSyntaxUID", "")) != BIG_ENDIAN
        yield _FrameByFrame(tiles) if plain else _WholeFile(path)
    finally:
        tiles.close()


def syntax_of(header: Dataset) -> str:
    """The transfer syntax that frames are handed on in where the client takes it: that of codestreams, else
    Explicit VR Little Endian. Raises `DecodeError` `no-decoder`.
    """
    syntax = TRANSFER_SYNTAXES.get(str(header.file_meta.get("TransferSyntaxUID", "")))
    if syntax is None:
        raise decode_error("no-decoder")
    return handed_on_as(syntax.uid)


def is_encapsulated(header: Dataset) -> bool:
    """Whether frames are handed on as codestreams. Raises `DecodeError` `no-decoder`."""
    return syntax_of(header) != EXPLICIT


def frame_bytes(source: FrameSource, image: ImagePixel, frame: int, *, decode: bool) -> bytes:
    """A frame as it is handed on: encapsulated ones without the texts in their codestreams; native and
    decoded ones pixel by pixel in little endian, with unused bits cleared and colours as RGB.
    """
    if not decode and is_encapsulated(source.header):
        stored = source.stored(frame)
        if syntax_of(source.header) == RLE:
            return silent_runs(stored, (image.samples * image.bits_allocated + 7) // 8)
        return silent(stored)
    return np.ascontiguousarray(source.decoded(frame), image.dtype).tobytes()


def stored_pixels(header: Dataset) -> ImagePixel:
    """How the pixels are stored, also where they were not read with the header. Raises `DecodeError`
    `inconsistent-pixels`.
    """
    if any(keyword in header for keyword in PIXEL_KEYWORDS):
        return image_pixel(header)
    header.PixelData = b""
    try:
        return image_pixel(header)
    finally:
        del header.PixelData


def checked_elements(file: InstanceFile, key: SecretKey) -> Elements:
    """The elements of a file that is still the one that the home recorded.

    Its size and time say so, else the hash of its pixels. Raises `DecodeError`: `source-gone`,
    `source-changed`, and those of reading it.
    """
    try:
        size, mtime_ns = source_status(file.path)
    except OSError:
        raise decode_error("source-gone") from None
    try:
        elements = read_elements(file.path).values
    except DecodeError:
        raise
    except OSError:
        raise decode_error("unreadable-file") from None
    except Exception:  # whatever pydicom raises for a damaged header
        raise decode_error("unreadable-header") from None
    uid = usable_uid(elements, "SOPInstanceUID")
    if uid and key.uid(uid) != file.sop_instance_uid:
        raise decode_error("source-changed")
    if (size, key.moment(mtime_ns)) != (file.size, file.mtime_ns) and not _has_pixels(file):
        raise decode_error("source-changed")
    return elements


def _has_pixels(file: InstanceFile) -> bool:
    return file.pixel_hash in pixel_hash(open_dataset(file.path), older=True)


def has_embedded_overlay(header: Dataset) -> bool:
    """Whether an overlay, which may hold texts, lies in bits of the stored values (PS3.5 8.1.2, retired)."""
    tags = (0x00000102 | group << 16 for group in range(0x6000, 0x6020, 2))
    return any(tag in header and header[tag].value not in (None, "", 0) for tag in tags)


def may_show(elements: Elements) -> bool:
    """Whether nothing in the header indicates that the pixels name or show a person."""
    return burned_in(elements) == NO


def file_size(path: str) -> int:
    """Bytes of a file, 0 if it is gone: how long a worker may take over it."""
    try:
        return os.stat(path).st_size
    except OSError:
        return 0
