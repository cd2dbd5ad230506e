"""The positions of frames in a file, found without reading them (PS3.5 8, A.4)."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

import numpy as np
from numpy.typing import NDArray

from medsiglip.ingest.errors import decode_error
from medsiglip.ingest.header.fast_header import LONG_VRS
from medsiglip.ingest.pixels.fragments import CODESTREAM_STARTS

if TYPE_CHECKING:
    from pydicom import Dataset

_ITEM, _SEQUENCE_END = 0xFFFEE000, 0xFFFEE0DD


@dataclass(frozen=True, slots=True)
class Coding:
    """How elements are written: implicit or explicit VR, and the byte order as `struct` names it."""

    implicit: bool
    order: str

    def pack(self, form: str, *values: int) -> bytes:
        """Numbers as this coding writes them."""
        return struct.pack(self.order + form, *values)

    def next(self, file: BinaryIO) -> tuple[int, int]:
        """Tag and length of the element or item that begins here; leaves the file at its value.

        Raises `DecodeError` `truncated` at the end of the file.
        """
        group, element = self._unpack("HH", file.read(4))
        tag = (group << 16) | element
        following = file.read(4)
        if self.implicit or group == 0xFFFE:
            return tag, self._unpack("I", following)[0]
        if following[:2] in LONG_VRS:
            return tag, self._unpack("I", file.read(4))[0]
        return tag, self._unpack("H", following[2:])[0]

    def _unpack(self, form: str, data: bytes) -> tuple[int, ...]:
        try:
            return struct.unpack(self.order + form, data)
        except struct.error:
            raise decode_error("truncated") from None


@dataclass(frozen=True, slots=True)
class FrameOffsets:
    """Fragments of the pixel data by `offset` and `length` in the file; frame i is made of the fragments
    `first[i]` to `first[i + 1]`. The value of the element reaches from `start` to `end`.
    """

    start: int
    end: int
    offset: NDArray[np.int64]
    length: NDArray[np.int64]
    first: NDArray[np.int64]

    def held(self) -> NDArray[np.bool_]:
        """For each frame, whether it has any bytes."""
        before = np.append(0, np.cumsum(self.length))[self.first]
        held: NDArray[np.bool_] = np.diff(before) > 0
        return held

    def read(self, file: BinaryIO, frame: int) -> bytes:
        """The bytes of one frame. Raises `DecodeError`: `inconsistent-pixels`, `truncated`."""
        if not 0 <= frame < len(self.first) - 1:
            raise decode_error("inconsistent-pixels")
        parts = []
        for i in range(int(self.first[frame]), int(self.first[frame + 1])):
            file.seek(int(self.offset[i]))
            parts.append(file.read(int(self.length[i])))
            if len(parts[-1]) != self.length[i]:
                raise decode_error("truncated")
        return parts[0] if len(parts) == 1 else b"".join(parts)


def native_offsets(header: Dataset, start: int, length: int, file_size: int) -> FrameOffsets:
    """Frames of uncompressed pixel data of `length` bytes at `start`.

    Raises `DecodeError`: `truncated` if the file ends before, `inconsistent-pixels` if the frames take more.
    """
    count, size = frame_count(header), native_frame_bytes(header)
    if start + length > file_size:
        raise decode_error("truncated")
    if not size or count * size > length:
        raise decode_error("inconsistent-pixels")
    first = np.arange(count + 1, dtype=np.int64)
    return FrameOffsets(start, start + length, start + first[:-1] * size, np.full(count, size), first)


def native_frame_bytes(header: Dataset) -> int:
    """Bytes of an uncompressed frame (PS3.5 8.2); YBR_FULL_422 stores two samples a pixel on average."""
    samples = int(header.get("SamplesPerPixel") or 1)
    if str(header.get("PhotometricInterpretation") or "") == "YBR_FULL_422":
        samples = 2
    rows, columns = int(header.get("Rows") or 0), int(header.get("Columns") or 0)
    return rows * columns * samples * int(header.get("BitsAllocated") or 0) // 8


def frame_count(header: Dataset) -> int:
    """Number of Frames (0028,0008), 1 if absent."""
    return max(int(header.get("NumberOfFrames") or 1), 1)


def encapsulated_offsets(header: Dataset, file: BinaryIO, coding: Coding, file_size: int) -> FrameOffsets:
    """Frames of encapsulated pixel data whose value begins here, by one pass over the item headers.

    The Basic Offset Table says which fragments begin a frame; without one, a fragment is a frame, or, if
    there are more fragments than frames, a frame begins where a codestream does. Raises `DecodeError`:
    `truncated`, `inconsistent-pixels`.
    """
    start, count = file.tell(), frame_count(header)
    tag, length = coding.next(file)
    if tag != _ITEM or length > file_size:
        raise decode_error("inconsistent-pixels")
    table = np.frombuffer(file.read(length // 4 * 4), "<u4").astype(np.int64)
    at = items = start + 8 + length
    offsets: list[int] = []
    lengths: list[int] = []
    begins: list[bool] = []
    while True:
        file.seek(at)
        try:
            tag, length = coding.next(file)
        except Exception:
            if len(offsets) < count:
                raise
            break  # no sequence delimiter, but every frame is there
        if tag != _ITEM:
            break
        at += 8
        if at + length > file_size:
            raise decode_error("truncated")
        offsets.append(at)
        lengths.append(length)
        begins.append(file.read(8).startswith(CODESTREAM_STARTS))
        at += length
    if tag not in (_ITEM, _SEQUENCE_END) and len(offsets) < count:
        raise decode_error("inconsistent-pixels")
    offset, size = np.array(offsets, np.int64), np.array(lengths, np.int64)
    first = _first_fragments(offset - 8 - items, table, np.array(begins, bool), count)
    return FrameOffsets(start, at, offset, size, first)


def _first_fragments(
    places: NDArray[np.int64], table: NDArray[np.int64], begins: NDArray[np.bool_], count: int
) -> NDArray[np.int64]:
    fragments = len(places)
    if fragments < count:
        raise decode_error("inconsistent-pixels")
    if fragments == count:
        return np.arange(count + 1, dtype=np.int64)
    if count == 1:
        return np.array([0, fragments], np.int64)
    first = np.flatnonzero(np.isin(places, table)) if len(table) == count else np.flatnonzero(begins)
    if len(first) < count or first[0] != 0:
        raise decode_error("inconsistent-pixels")
    return np.append(first, fragments).astype(np.int64)[: count + 1]
