"""Codestreams without the texts that writers put into them: comments, application data, what follows
their end.

Their bytes become zeros, so that every length and offset in the codestream stays right and each pixel decodes
as before.
"""

from __future__ import annotations

import re

_SOI, _EOI, _SOS, _COMMENT = 0xD8, 0xD9, 0xDA, 0xFE
# No other byte pair is a marker with a segment; within entropy-coded data a 0xFF of JPEG is followed by 0 or
# a restart marker, of JPEG-LS by a byte below 0x80.
_MARKER = re.compile(rb"\xff[\xc0-\xfe]")
_BEHIND_SCAN = re.compile(rb"\xff[\xc0-\xcf\xd8-\xfe]")
# Restart markers and SOI have no length.
_ALONE = frozenset(range(0xD0, 0xD9))
# Application segments that a decoder needs: JFIF without its thumbnail, Adobe's colour transform, and that of
# JPEG-LS (T.870).
_NEEDED = ((0xE0, b"JFIF\0", 14), (0xEE, b"Adobe", 12), (0xE8, b"mrfx", 1 << 16))
# Boxes that say how the codestream in them is to be shown (T.800 annex I); others may hold texts.
_BOX_START = b"\0\0\0\x0cjP  \r\n\x87\n"
_NEEDED_BOXES = frozenset((b"jP  ", b"ftyp", b"ihdr", b"bpcc", b"pclr", b"cmap", b"cdef"))
_J2K_START, _J2K_COMMENT, _SOT, _SOD, _EOC = b"\xff\x4f\xff\x51", 0x64, 0x90, 0x93, 0xD9


def silent(codestream: bytes) -> bytes:
    """The codestream of JPEG, JPEG-LS or JPEG 2000 with its texts blanked; of any other kind as it is."""
    if codestream.startswith(_J2K_START):
        return _silent_j2k(bytearray(codestream))
    if codestream.startswith(_BOX_START):
        return _silent_boxes(bytearray(codestream))
    if codestream.lstrip(b"\xff")[:1] == b"\xd8":
        return _silent_jpeg(bytearray(codestream))
    return codestream


def _blank(data: bytearray, start: int, end: int) -> None:
    data[start:end] = bytes(max(min(end, len(data)) - start, 0))


def _silent_jpeg(data: bytearray) -> bytes:
    """T.81 B.1.1: markers with a length, and entropy-coded data behind each start of a scan, up to EOI. What
    is neither, decoders pass over.
    """
    at = data.index(_SOI) + 1
    while found := _MARKER.search(data, at):
        _blank(data, at, _before_fill(data, at, found.start()))
        marker, start = data[found.end() - 1], found.end()
        if marker == _EOI:
            at = start
            break
        if marker in _ALONE:
            at = start
            continue
        end = start + max(int.from_bytes(data[start : start + 2], "big"), 2)
        if marker == _COMMENT or 0xE0 <= marker <= 0xEF:
            _blank(data, start + 2 + _kept(marker, bytes(data[start + 2 : end])), end)
        at = end
        if marker == _SOS:
            following = _BEHIND_SCAN.search(data, end)
            at = following.start() if following else len(data)
    _blank(data, at, len(data))
    return bytes(data)


def _before_fill(data: bytearray, at: int, marker: int) -> int:
    """Where the 0xFF bytes begin that fill up to a marker (T.81 B.1.1.2), not before `at`."""
    while marker > at and data[marker - 1] == 0xFF:
        marker -= 1
    return marker


def _kept(marker: int, content: bytes) -> int:
    """How many bytes of an application segment stay."""
    for kind, name, most in _NEEDED:
        if marker == kind and content.startswith(name):
            if kind == 0xE0 and len(content) >= 14 and content[12:14] != b"\0\0":
                return 0  # it says that a thumbnail follows
            return min(most, len(content))
    return 0


def _silent_boxes(data: bytearray) -> bytes:
    """T.800 I.4: boxes of a length, 0 for up to the end and 1 for a longer field, and a type."""
    at = 0
    while at + 8 <= len(data):
        length, kind, start = int.from_bytes(data[at : at + 4], "big"), bytes(data[at + 4 : at + 8]), at + 8
        if length == 1:
            length, start = int.from_bytes(data[at + 8 : at + 16], "big"), at + 16
        end = min(at + length, len(data)) if length else len(data)
        if end < start:
            break
        if kind == b"jp2c":
            data[start:end] = _silent_j2k(data[start:end])
        elif kind == b"jp2h":
            data[start:end] = _silent_boxes(data[start:end])
        elif kind not in _NEEDED_BOXES and (kind != b"colr" or data[start : start + 1] != b"\1"):
            data[at + 4 : at + 8] = b"free"
            _blank(data, start, end)
        at = end
    _blank(data, at, len(data))
    return bytes(data)


def _silent_j2k(data: bytearray) -> bytes:
    """T.800 A.4: the main header, then tile-parts of stated lengths, each with a header of its own."""
    at = body = _j2k_header(data, 2)
    while at >= 0 and data[at + 1 : at + 2] == bytes((_SOT,)) and at + 12 <= len(data):
        length = int.from_bytes(data[at + 6 : at + 10], "big")
        body = _j2k_header(data, at + 12)
        at = at + length if length >= 14 else -1  # 0: the last one, up to the end
    # No packet holds the marker (T.800 B.10.1).
    end = at if at >= 0 and data[at : at + 2] == bytes((0xFF, _EOC)) else data.find(b"\xff\xd9", max(body, 0))
    if end >= 0:
        _blank(data, end + 2, len(data))
    return bytes(data)


def _j2k_header(data: bytearray, at: int) -> int:
    """Blank the comments of a header; the position of SOT or SOD, which ends it, -1 if none does."""
    while at + 4 <= len(data) and data[at] == 0xFF:
        marker, length = data[at + 1], int.from_bytes(data[at + 2 : at + 4], "big")
        if marker in (_SOT, _SOD, _EOC):
            return at
        if marker == _J2K_COMMENT:
            _blank(data, at + 6, at + 2 + length)  # its kind (T.800 A.9.2) stays
        at += 2 + max(length, 2)
    return -1
