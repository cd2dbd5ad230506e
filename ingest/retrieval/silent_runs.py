"""Frames in RLE (PS3.5 annex G) without what lies around their runs, which decoders never read."""

from __future__ import annotations

import struct
from itertools import pairwise

from medsiglip.ingest.errors import decode_error

_HEADER = 64
_MOST_SEGMENTS = 15
# A run of no bytes (PS3.5 G.3.1): what follows a segment's runs may hold any number of them.
_NOTHING = b"\x80"


def silent_runs(codestream: bytes, size: int) -> bytes:
    """The codestream of a frame of `size` bytes, with zeros in the unused part of its header, and runs of no
    bytes behind those that the frame is made of.

    Raises `DecodeError` `undecodable-pixels`.
    """
    data = bytearray(codestream)
    if len(data) < _HEADER:
        raise decode_error("undecodable-pixels")
    count, *offsets = struct.unpack_from("<16L", data)
    starts = offsets[:count]
    bounds = [*starts, len(data)]
    in_order = all(start <= stop for start, stop in pairwise(bounds))
    if not 0 < count <= _MOST_SEGMENTS or starts[0] != _HEADER or not in_order:
        raise decode_error("undecodable-pixels")
    unused = 4 + 4 * count
    data[unused:_HEADER] = bytes(_HEADER - unused)
    for start, stop in pairwise(bounds):
        end = start + _length_of_runs(bytes(data[start:stop]), size // count)
        data[end:stop] = _NOTHING * (stop - end)
    return bytes(data)


def _length_of_runs(segment: bytes, length: int) -> int:
    """How many bytes of a segment are the runs of its first `length` bytes."""
    import imagecodecs

    try:
        exact = len(imagecodecs.packbits_decode(segment)) == length
    except imagecodecs.PackbitsError:
        exact = False
    if exact:
        return len(segment)
    at = found = 0
    while found < length and at < len(segment):
        run = segment[at]
        found += run + 1 if run < 128 else 257 - run if run > 128 else 0
        at += run + 2 if run < 128 else 2 if run > 128 else 1
    return min(at, len(segment))
