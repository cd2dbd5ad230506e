"""The tiles of one slide file, read one at a time by offset: the pixel data and the functional groups of the
frames are never in memory as a whole.
"""

from __future__ import annotations

import io
import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from medsiglip.ingest.dicom.transfer_syntaxes import TRANSFER_SYNTAXES
from medsiglip.ingest.errors import DecodeError, decode_error
from medsiglip.ingest.files.source import open_source
from medsiglip.ingest.header.fast_header import UNDEFINED, deflated_start
from medsiglip.ingest.pixels.decode import frames, open_dataset
from medsiglip.ingest.pixels.frame_offsets import (
    Coding,
    FrameOffsets,
    encapsulated_offsets,
    frame_count,
    native_frame_bytes,
    native_offsets,
)
from medsiglip.ingest.pixels.pixel_hash import PixelDigest, PixelHash

if TYPE_CHECKING:
    from pydicom import Dataset

PER_FRAME_GROUPS, PIXEL_DATA = 0x52009230, 0x7FE00010
_BLOCK = 1 << 20
_MAX_GROUP_BYTES = 1 << 28
# A larger tile would exceed the bound on memory.
MAX_TILE_BYTES = 1 << 28


@dataclass(frozen=True, slots=True)
class TilePositions:
    """The functional groups of the frames (PS3.3 C.8.12.6.1): for each frame the first row and column of its
    tile in the total pixel matrix, counted from 0, and, where given, its Z offset in mm and its optical path.
    """

    row: NDArray[np.int64]
    column: NDArray[np.int64]
    z_offset: NDArray[np.float64] | None
    optical_path: tuple[str, ...] | None


@dataclass(slots=True)
class TileFile:
    """One file of a slide. `header` is without pixels and per-frame functional groups; `positions` is None
    if these hold no positions. Methods raise `DecodeError` as `medsiglip.ingest.pixels.decode.frames` does.
    """

    path: str
    header: Dataset
    offsets: FrameOffsets
    positions: TilePositions | None
    _bytes: bytes | None = None
    _file: BinaryIO | None = None
    _template: Dataset | None = None

    def pixel_hash(self, *, older: bool = False) -> PixelHash:
        """What `medsiglip.ingest.pixels.decode.pixel_hash` gives, computed block by block."""
        digest = PixelDigest(older=older)
        file = self._opened()
        file.seek(self.offsets.start)
        left = self.offsets.end - self.offsets.start
        while left:
            block = file.read(min(left, _BLOCK))
            if not block:
                raise decode_error("truncated")
            digest.update(block)
            left -= len(block)
        return digest.pixel_hash()

    def tile(self, frame: int) -> NDArray[Any]:
        """The stored values of one tile: [H, W], or [H, W, 3] RGB."""
        from pydicom.encaps import encapsulate

        raw = self.stored(frame)
        tile = self._template = self._template or _template(self.header)
        tile.PixelData = encapsulate([raw], has_bot=False) if _is_encapsulated(self.header) else raw
        return next(frames(tile, [0]))

    def stored(self, frame: int) -> bytes:
        """The bytes of one tile as they are stored."""
        return self.offsets.read(self._opened(), frame)

    def close(self) -> None:
        """Close the file; the next read opens it again."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _opened(self) -> BinaryIO:
        if self._file is None:
            self._file = io.BytesIO(self._bytes) if self._bytes is not None else open_source(self.path)
        return self._file


def open_tiles(path: str) -> TileFile:
    """Read the header of a slide file and find its frames.

    Raises `DecodeError`: those of `open_dataset`, `inconsistent-pixels` where frames and header disagree, and
    `picture-too-large` where one tile takes more than `MAX_TILE_BYTES`.
    """
    try:
        with open_source(path) as file:
            tiles = _open(path, file)
    except DecodeError:
        raise
    except PermissionError:
        raise decode_error("permission-denied") from None
    except OSError:
        raise decode_error("unreadable-file") from None
    except MemoryError:
        raise decode_error("picture-too-large") from None
    except Exception:  # whatever pydicom raises for a damaged header
        raise decode_error("unreadable-header") from None
    if native_frame_bytes(tiles.header) > MAX_TILE_BYTES:
        raise decode_error("picture-too-large")
    return tiles


def _open(path: str, file: BinaryIO) -> TileFile:
    from pydicom.filereader import read_partial
    from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

    deflated = deflated_start(file) is not None
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    if deflated:
        return _open_deflated(path)
    header = read_partial(file, stop_when=lambda tag, vr, length: tag >= PER_FRAME_GROUPS, force=True)
    implicit, little = header.original_encoding
    coding = Coding(bool(implicit), "<" if little is not False else ">")
    if not header.file_meta.get("TransferSyntaxUID"):
        explicit = ExplicitVRLittleEndian if little else ExplicitVRBigEndian
        header.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian if implicit else explicit
    groups = b""
    tag, length = coding.next(file)
    while tag != PIXEL_DATA:
        if length == UNDEFINED:
            groups += _until_pixels(file)
        elif tag == PER_FRAME_GROUPS and length <= _MAX_GROUP_BYTES:
            groups = file.read(length)
        else:
            file.seek(length, os.SEEK_CUR)
        tag, length = coding.next(file)
    if length == UNDEFINED:
        offsets = encapsulated_offsets(header, file, coding, size)
    else:
        offsets = native_offsets(header, file.tell(), length, size)
    return TileFile(path, header, offsets, _positions(groups, coding, frame_count(header)))


def _open_deflated(path: str) -> TileFile:
    """A deflated data set (PS3.5 A.5), which can only be inflated as a whole."""
    dataset = open_dataset(path)
    pixels = dataset.PixelData
    offsets = native_offsets(dataset, 0, len(pixels), len(pixels))
    buffer = io.BytesIO()
    groups = b""
    if "PerFrameFunctionalGroupsSequence" in dataset:
        from pydicom.filebase import DicomFileLike
        from pydicom.filewriter import write_dataset

        target = DicomFileLike(buffer)
        target.is_implicit_VR, target.is_little_endian = False, True
        for item in dataset.PerFrameFunctionalGroupsSequence:
            write_dataset(target, item)
        groups = buffer.getvalue()
        del dataset.PerFrameFunctionalGroupsSequence
    del dataset.PixelData
    positions = _positions(groups, Coding(False, "<"), frame_count(dataset))
    return TileFile(path, dataset, offsets, positions, _bytes=pixels)


def _until_pixels(file: BinaryIO) -> bytes:
    """The value of a sequence of undefined length, up to the delimiter before group 7FE0, which is then next.

    pydicom would make an object for every element of every frame, at 6 kB and over a millisecond a frame.
    """
    end = re.compile(rb"\xfe\xff\xdd\xe0\0{4}(?=\xe0\x7f[\x01-\x10]\0)")
    start, data = file.tell(), bytearray()
    while block := file.read(_BLOCK):
        searched = max(len(data) - 16, 0)
        data += block
        if found := end.search(data, searched):
            file.seek(start + found.end())
            return bytes(data[: found.start()])
        if len(data) > _MAX_GROUP_BYTES:
            raise decode_error("inconsistent-pixels")
    raise decode_error("truncated")


def _positions(groups: bytes, coding: Coding, count: int) -> TilePositions | None:
    rows = _numbers(groups, coding, 0x0048021F)
    columns = _numbers(groups, coding, 0x0048021E)
    if len(rows) != count or len(columns) != count:
        return None
    offsets = _texts(groups, coding, 0x0040074A, b"DS")
    paths = _texts(groups, coding, 0x00480106, b"SH")
    try:
        z_offset = np.array([float(text) for text in offsets]) if len(offsets) == count else None
    except ValueError:
        z_offset = None
    return TilePositions(rows - 1, columns - 1, z_offset, tuple(paths) if len(paths) == count else None)


def _start(coding: Coding, tag: int, vr: bytes) -> bytes:
    return coding.pack("HH", tag >> 16, tag & 0xFFFF) + (b"" if coding.implicit else vr)


def _numbers(groups: bytes, coding: Coding, tag: int) -> NDArray[np.int64]:
    """The values of an element of VR SL in all frames, in their order."""
    start = _start(coding, tag, b"SL") + coding.pack("I" if coding.implicit else "H", 4)
    values = b"".join(re.findall(re.escape(start) + b"(.{4})", groups, re.DOTALL))
    return np.frombuffer(values, coding.order + "i4").astype(np.int64)


def _texts(groups: bytes, coding: Coding, tag: int, vr: bytes) -> list[str]:
    start = re.escape(_start(coding, tag, vr))
    width = 4 if coding.implicit else 2
    texts = []
    for found in re.finditer(start + b"(.{%d})" % width, groups, re.DOTALL):
        length = int.from_bytes(found.group(1), "little" if coding.order == "<" else "big")
        texts.append(groups[found.end() : found.end() + length].decode("latin-1").strip(" \0"))
    return texts


def _is_encapsulated(header: Dataset) -> bool:
    syntax = TRANSFER_SYNTAXES.get(str(header.file_meta.TransferSyntaxUID))
    if syntax is None:
        raise decode_error("no-decoder")
    return syntax.encapsulated


def _template(header: Dataset) -> Dataset:
    """A data set of one frame with the attributes that decoding needs."""
    from pydicom import Dataset

    one = Dataset()
    one.update(header.group_dataset(0x0028))
    if "TotalPixelMatrixColumns" in header:  # the last tiles of a row may be stored cropped
        one.TotalPixelMatrixColumns = header.TotalPixelMatrixColumns
    one.file_meta = header.file_meta
    one.NumberOfFrames = 1
    one.set_original_encoding(*header.original_encoding)
    return one
