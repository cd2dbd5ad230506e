"""The frames of encapsulated pixel data in memory (PS3.5 A.4)."""

from __future__ import annotations

import struct
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from medsiglip.ingest.errors import decode_error

_ITEM, _SEQUENCE_END = 0xE000FFFE, 0xE0DDFFFE
# A codestream begins with SOI and a marker (T.81 B.1.1.3, T.87 C.1), with SOC and SIZ (T.800 A.4), or as JP2.
CODESTREAM_STARTS = (b"\xff\xd8\xff", b"\xff\x4f\xff\x51", b"\0\0\0\x0cjP  ")


@dataclass(frozen=True, slots=True)
class EncapsulatedFrames:
    """`value` of a pixel data element, parsed once: fragment i is `value[starts[i]:stops[i]]`, and frame k is
    made of the fragments `first[k]` to `first[k + 1]`.
    """

    value: bytes
    starts: Sequence[int]
    stops: Sequence[int]
    first: Sequence[int]

    def codestream(self, frame: int) -> bytes:
        """The bytes of one frame. Raises `DecodeError`: `truncated`, `inconsistent-pixels`."""
        if not 0 <= frame < len(self.first) - 1:
            raise decode_error("inconsistent-pixels")
        fragments = range(self.first[frame], self.first[frame + 1])
        if fragments and self.stops[fragments[-1]] > len(self.value):
            raise decode_error("truncated")
        return b"".join(self.value[self.starts[i] : self.stops[i]] for i in fragments)


def encapsulated_frames(value: bytes, count: int, offsets: Sequence[int] = ()) -> EncapsulatedFrames:
    """Find the `count` frames of the value of an encapsulated pixel data element.

    `offsets` is the Extended Offset Table (7FE0,0001), if there is one; else the Basic Offset Table is used.
    If that is empty or wrong, a fragment is a frame, or, if there are more fragments than frames, a frame
    begins where a codestream does. Raises `DecodeError` `inconsistent-pixels`.
    """
    starts, stops = _items(value)
    if not starts:
        raise decode_error("inconsistent-pixels")
    offsets = offsets or _basic_offsets(value[starts[0] : stops[0]])
    del starts[0], stops[0]
    first = _first_fragments(starts, offsets, count) or _first_by_content(value, starts, count)
    return EncapsulatedFrames(value, starts, stops, [*first, len(starts)])


def _items(value: bytes) -> tuple[list[int], list[int]]:
    """Where the value of each item starts and stops; the first item is the Basic Offset Table."""
    starts, stops, at = [], [], 0
    while at + 8 <= len(value):
        tag, length = struct.unpack_from("<II", value, at)
        if tag == _SEQUENCE_END:
            break
        if tag != _ITEM:
            raise decode_error("inconsistent-pixels")
        starts.append(at + 8)
        at += 8 + length
        stops.append(at)
    return starts, stops


def _basic_offsets(table: bytes) -> Sequence[int]:
    return struct.unpack(f"<{len(table) // 4}I", table[: len(table) // 4 * 4])


def _first_fragments(starts: Sequence[int], offsets: Sequence[int], count: int) -> list[int]:
    """The first fragment of each frame by an offset table, or nothing if it cannot be right."""
    if len(offsets) != count or not starts or offsets[0] != 0:
        return []
    base = starts[0]
    first = [bisect_left(starts, base + offset) for offset in offsets]
    right = all(
        index < len(starts) and starts[index] == base + offset
        for index, offset in zip(first, offsets, strict=True)
    )
    return first if right and all(a < b for a, b in pairwise(first)) else []


def _first_by_content(value: bytes, starts: Sequence[int], count: int) -> list[int]:
    if len(starts) == count:
        return list(range(count))
    if count == 1 and starts:
        return [0]
    first = [i for i, start in enumerate(starts) if value.startswith(CODESTREAM_STARTS, start)]
    if len(first) < count or first[0] != 0:
        raise decode_error("inconsistent-pixels")
    return first
