"""The file of an index with bounds, which is mapped: ids, axes, a sample of queries, codes and vectors.

At its end is a description with the sizes and checksums (CRC-32) of all parts. Those of what proves answers
are compared when a file is opened, codes included: a wrong code would prove what is not so. Those of the
vectors, of which a search reads a few, are for `is_whole`, since reading all of them would take too long.
"""

from __future__ import annotations

import json
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from medsiglip.index.search.kinds.coded_rows import CodedRows
from medsiglip.index.search.kinds.projection import Projection
from medsiglip.index.search.kinds.row_blocks import HEAD, RowBlocks
from medsiglip.index.vectors import Vectors

_FORMAT = "bounded 3"
# Length and checksum of the description before it.
_END = struct.Struct("<II")
# Parts begin at multiples of this, vectors at those of a page.
_ALIGNED, _PAGE = 64, 4096
_CHUNK = 1 << 24

Bytes = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class _Part:
    """An array in the file: its first byte, counted from the first of the index, and its checksum."""

    at: int
    shape: tuple[int, ...]
    dtype: str
    checksum: int

    @property
    def nbytes(self) -> int:
        return int(np.prod(self.shape, dtype=np.int64)) * np.dtype(self.dtype).itemsize

    def of(self, memory: Bytes) -> NDArray[Any]:
        return np.asarray(memory[self.at : self.at + self.nbytes]).view(self.dtype).reshape(self.shape)


class _Writer:
    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._at = 0

    def part(self, array: NDArray[Any], dtype: str, aligned: int = _ALIGNED, before: int = 0) -> _Part:
        """Write an array behind at least so many zero bytes, at a multiple of `aligned`."""
        gap = before + -(self._at + before) % aligned
        self._stream.write(bytes(gap))
        data = np.ascontiguousarray(array, dtype).reshape(-1).view(np.uint8)
        begin, checksum = self._at + gap, 0
        for start in range(0, len(data), _CHUNK):
            some = data[start : start + _CHUNK]
            checksum = zlib.crc32(some.data, checksum)
            self._stream.write(some.data)
        self._at = begin + len(data)
        return _Part(begin, array.shape, dtype, checksum)

    def end(self, description: dict[str, Any]) -> None:
        written = json.dumps(description | {"bytes": self._at}).encode()
        self._stream.write(written + _END.pack(len(written), zlib.crc32(written)))


def write_bounded(stream: BinaryIO, held: CodedRows, query_sample: Vectors) -> None:
    """Write rows with their codes, and the sample of queries that these suit."""
    writer, projection = _Writer(stream), held.projection
    axes = np.empty((held.rows.width, 0)) if projection is None else projection.axes
    small: list[tuple[NDArray[Any], str]] = [(held.ids, "<i8"), (axes, "<f8"), (query_sample, "<f4")]
    parts = [writer.part(*one) for one in small]
    # FAISS's header has room before each block of codes.
    codes = [writer.part(block, "<f2", before=HEAD) for _, block in held.codes.blocks()]
    rows = [writer.part(block, "<f4", _PAGE) for _, block in held.rows.blocks()]
    writer.end(
        {
            "format": _FORMAT,
            "dimension": held.rows.width,
            "error": held.error,
            "longest": held.longest,
            "parts": [_listed(one) for one in parts],
            "codes": [_listed(one) for one in codes],
            "rows": [_listed(one) for one in rows],
        }
    )


def read_coded_rows(stream: BinaryIO, dimension: int, start: int) -> tuple[CodedRows, Vectors] | None:
    """The rows in a file from byte `start` on and the sample of queries, both mapped; None where the file is
    damaged or of another dimension or kind. May raise `medsiglip.index.search.query_sample.DAMAGED`,
    `KeyError` or `TypeError` for damage.
    """
    found = _description(stream)
    if found is None or found["dimension"] != dimension or found["start"] != start:
        return None
    ids, axes, sample = (_part(one) for one in found["parts"])
    codes, rows = ([_part(one) for one in found[name]] for name in ("codes", "rows"))
    count = sum(one.shape[0] for one in rows)
    width = axes.shape[1] + 1 if axes.shape[1] else 0
    if ids.shape != (count,) or axes.shape[0] != dimension or sample.shape[1:] != (dimension,):
        return None
    if any(one.shape[1:] != (dimension,) for one in rows) or any(one.shape[1:] != (width,) for one in codes):
        return None
    if sum(one.shape[0] for one in codes) != (count if width else 0):
        return None
    # A private copy of the pages that FAISS's headers are written to; the others stay those of the file.
    first = rows[0].at if rows else int(found["bytes"])
    memory = np.memmap(stream, np.uint8, "c", start, (first,)) if first else np.empty(0, np.uint8)
    if any(
        zlib.crc32(memory[one.at : one.at + one.nbytes].data) != one.checksum
        for one in (ids, axes, sample, *codes)
    ):
        return None
    held = CodedRows(dimension)
    held.places.ids = ids.of(memory)
    held.error, held.longest = float(found["error"]), float(found["longest"])
    if width:
        held.projection = Projection(axes.of(memory))
        held.codes = RowBlocks.of(width, [one.of(memory) for one in codes])
    if rows:
        vectors = np.memmap(stream, np.uint8, "r", start, (int(found["bytes"]),))
        held.rows = RowBlocks.of(dimension, [one.of(vectors) for one in rows])
    return held, sample.of(memory)


def is_whole(path: Path) -> bool:
    """Whether every part of a file, the vectors included, has its checksum; reads all of it."""
    with open(path, "rb") as stream:
        found = _description(stream)
        if found is None:
            return False
        listed = [*found["parts"], *found["codes"], *found["rows"]]
        return all(_checksum(stream, found["start"], _part(one)) == one[-1] for one in listed)


def _checksum(stream: BinaryIO, start: int, part: _Part) -> int:
    stream.seek(start + part.at)
    checksum, left = 0, part.nbytes
    while left:
        some = stream.read(min(_CHUNK, left))
        if not some:
            return -1
        checksum, left = zlib.crc32(some, checksum), left - len(some)
    return checksum


def _description(stream: BinaryIO) -> dict[str, Any] | None:
    """What is at the end of a file, and where the index starts; None where it is damaged."""
    length = stream.seek(0, 2)
    if length < _END.size:
        return None
    stream.seek(length - _END.size)
    size, checksum = _END.unpack(stream.read(_END.size))
    if size > length - _END.size:
        return None
    stream.seek(length - _END.size - size)
    written = stream.read(size)
    if zlib.crc32(written) != checksum:
        return None
    found = json.loads(written)
    if not isinstance(found, dict) or found.get("format") != _FORMAT:
        return None
    start = length - _END.size - size - int(found["bytes"])
    return found | {"start": start} if start >= 0 else None


def _listed(part: _Part) -> list[Any]:
    return [part.at, part.shape, part.dtype, part.checksum]


def _part(listed: list[Any]) -> _Part:
    at, shape, dtype, checksum = listed
    return _Part(int(at), tuple(map(int, shape)), str(dtype), int(checksum))
