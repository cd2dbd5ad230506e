"""Codestreams without the texts that writers put into them: comments, application data, what follows
their end.

Their bytes become zeros, so that every length and offset in the codestream stays right and each pixel decodes
as before.
"""

from __future__ import annotations

_SOI, _EOI, _SOS, _COMMENT = 0xD8, 0xD9, 0xDA, 0xFE
# Application segments that a decoder needs: JFIF without its thumbnail, Adobe's colour transform, and that of
# JPEG-LS (T.870).
_NEEDED = ((0xE0, b"JFIF\0", 14), (0xEE, b"Adobe", 12), (0xE8, b"mrfx", 1 << 16))
_J2K_START, _J2K_COMMENT, _SOT, _SOD, _EOC = b"\xff\x4f\xff\x51", 0x64, 0x90, 0x93, 0xD9


def silent(codestream: bytes) -> bytes:
    """The codestream of JPEG, JPEG-LS or JPEG 2000 with its texts blanked; of any other kind as it is."""
    if codestream.startswith(_J2K_START):
        return _silent_j2k(bytearray(codestream))
    if codestream.startswith(b"\xff\xd8"):
        return _silent_jpeg(bytearray(codestream))
    return codestream


def _blank(data: bytearray, start: int, end: int) -> None:
    data[start:end] = bytes(max(min(end, len(data)) - start, 0))


def _silent_jpeg(data: bytearray) -> bytes:
    """T.81 B.1.1: markers with a length up to the first scan, then entropy-coded data up to EOI."""
    at = 2
    while at + 4 <= len(data):
        if data[at] != 0xFF:
            break
        marker = data[at + 1]
        if marker == 0xFF:  # a fill byte
            at += 1
            continue
        if marker == _SOS:
            break
        length = int.from_bytes(data[at + 2 : at + 4], "big")
        if marker == _COMMENT or 0xE0 <= marker <= 0xEF:
            _blank(data, at + 4 + _kept(marker, bytes(data[at + 4 : at + 2 + length])), at + 2 + length)
        at += 2 + max(length, 2)
    _blank_comments_between_scans(data, at)
    end = data.rfind(b"\xff\xd9")
    if end >= at:
        _blank(data, end + 2, len(data))
    return bytes(data)


def _kept(marker: int, content: bytes) -> int:
    """How many bytes of an application segment stay."""
    for kind, name, most in _NEEDED:
        if marker == kind and content.startswith(name):
            if kind == 0xE0 and len(content) >= 14 and content[12:14] != b"\0\0":
                return 0  # it says that a thumbnail follows
            return min(most, len(content))
    return 0


def _blank_comments_between_scans(data: bytearray, at: int) -> None:
    """Within entropy-coded data of JPEG a 0xFF is followed by 0 or a restart marker, of JPEG-LS by a byte
    below 0x80, so that these markers are what they seem.
    """
    for marker in (_COMMENT, *range(0xE0, 0xF0)):
        found = data.find(bytes((0xFF, marker)), at)
        while found >= 0:
            length = int.from_bytes(data[found + 2 : found + 4], "big")
            _blank(data, found + 4, found + 2 + length)
            found = data.find(bytes((0xFF, marker)), found + 2 + max(length, 2))


def _silent_j2k(data: bytearray) -> bytes:
    """T.800 A.4: the main header, then tile-parts of stated lengths, each with a header of its own."""
    at = _j2k_header(data, 2)
    while at >= 0 and data[at + 1 : at + 2] == bytes((_SOT,)) and at + 12 <= len(data):
        length = int.from_bytes(data[at + 6 : at + 10], "big")
        _j2k_header(data, at + 12)
        at = at + length if length >= 14 else -1  # 0: the last one, up to the end
    end = at if at >= 0 and data[at : at + 2] == bytes((0xFF, _EOC)) else data.rfind(b"\xff\xd9")
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
