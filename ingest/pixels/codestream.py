"""The headers of JPEG, JPEG-LS and JPEG 2000 codestreams, read without decoding."""

from __future__ import annotations

import struct
from dataclasses import dataclass

_EOI, _SOS, _APP0, _APP14 = 0xD9, 0xDA, 0xE0, 0xEE
_LOSSLESS, _JPEG_LS = 0xC3, 0xF7
# Start of frame markers: T.81 table B.1, T.87 C.1.
_START_OF_FRAME = frozenset({*range(0xC0, 0xD0), _JPEG_LS} - {0xC4, 0xC8, 0xCC})
_WITHOUT_LENGTH = frozenset({0x01, *range(0xD0, 0xD9)})
_COD, _SOT = 0xFF52, 0xFF90
_FILL_BYTES = 16


@dataclass(frozen=True, slots=True)
class CodestreamHeader:
    """Size, precision in bits and coding of one codestream; `body` is where the header ends.

    `is_ybr` is None if the codestream does not say.
    """

    rows: int
    columns: int
    samples_per_pixel: int
    precision: int
    reversible: bool
    is_ybr: bool | None
    body: int
    signed: bool = False
    tiles: int = 1

    def is_complete(self, codestream: bytes) -> bool:
        """Whether the end marker, which JPEG, JPEG-LS and JPEG 2000 share, is reached; fill bytes may follow.

        libjpeg-turbo and OpenJPH fill missing data with grey without an error.
        """
        return codestream.rfind(b"\xff\xd9", self.body) >= 0


def jpeg_header(codestream: bytes) -> CodestreamHeader:
    """The header of a JPEG (ISO/IEC 10918-1, T.81) or JPEG-LS (ISO/IEC 14495-1, T.87) codestream.

    The colour space is given by the Adobe marker, JFIF (always YBR) or components named R, G, B; in lossless
    processes only by Adobe. Raises `ValueError` if there is none.
    """
    start = codestream.find(b"\xff\xd8", 0, _FILL_BYTES)
    if start < 0:
        raise ValueError("no start of image")
    at, found = start + 2, None
    transform, jfif = None, False
    while at + 4 <= len(codestream):
        if codestream[at] != 0xFF:
            raise ValueError("no marker")
        marker = codestream[at + 1]
        if marker == 0xFF or marker in _WITHOUT_LENGTH:
            at += 1 if marker == 0xFF else 2
            continue
        segment = codestream[at + 4 : at + 2 + int.from_bytes(codestream[at + 2 : at + 4], "big")]
        if marker in _START_OF_FRAME:
            found = marker, segment
        elif marker == _APP14 and segment.startswith(b"Adobe") and len(segment) >= 12:
            transform = segment[11]
        elif marker == _APP0 and segment.startswith(b"JFIF\0"):
            jfif = True
        elif marker in (_SOS, _EOI):
            break
        at += 4 + len(segment)
    if found is None or marker != _SOS or not segment:
        raise ValueError("no start of frame or scan")
    process, frame = found
    precision, rows, columns, samples = struct.unpack_from(">BHHB", frame)
    near = segment[1 + 2 * segment[0]] if process == _JPEG_LS else 0
    return CodestreamHeader(
        rows=rows,
        columns=columns,
        samples_per_pixel=samples,
        precision=precision,
        reversible=process in (_LOSSLESS, _JPEG_LS) and near == 0,
        is_ybr=_is_ybr(transform, jfif and process != _LOSSLESS, frame[6::3]),
        body=at,
    )


def _is_ybr(transform: int | None, jfif: bool, components: bytes) -> bool | None:
    if transform in (0, 1):
        return transform == 1
    if jfif:
        return True
    return False if components == b"RGB" else None


def jpeg_2000_header(codestream: bytes) -> CodestreamHeader:
    """The main header of a JPEG 2000 or HTJ2K codestream (ISO/IEC 15444-1, T.800 A.5), also in a JP2 file.

    A multiple component transformation makes it YBR, which every decoder undoes: `is_ybr` is then False.
    Raises `ValueError` if there is none, or one that crashes decoders.
    """
    start = codestream.find(b"\xff\x4f\xff\x51")
    if start < 0:
        raise ValueError("no start of codestream")
    size = struct.unpack_from(">HHIIIIIIIIHB", codestream, start + 4)
    columns, rows, left, top = size[2:6]
    tiles = _tile_count(size, codestream[start + 42 : start + 4 + size[0]])
    body = start + 4 + size[0]
    coding = _coding_style(codestream, body)
    return CodestreamHeader(
        rows=rows - top,
        columns=columns - left,
        samples_per_pixel=size[10],
        precision=(size[11] & 0x7F) + 1,
        reversible=coding[9] == 1,
        is_ybr=False if coding[4] else None,
        body=body,
        signed=bool(size[11] & 0x80),
        tiles=tiles,
    )


def _tile_count(size: tuple[int, ...], components: bytes) -> int:
    """How many tiles there are, if T.800 table A.9 allows their grid; OpenJPH divides by its sizes
    unchecked.
    """
    columns, rows, left, top, width, height, tile_left, tile_top, samples = size[2:11]
    possible = (
        len(components) == 3 * samples > 0
        and 0 not in components[1::3]
        and 0 not in components[2::3]
        and tile_left <= left < min(columns, tile_left + width)
        and tile_top <= top < min(rows, tile_top + height)
    )
    if not possible:
        raise ValueError("no possible grid of tiles")
    return -(-(columns - tile_left) // width) * -(-(rows - tile_top) // height)


def _coding_style(codestream: bytes, at: int) -> bytes:
    """The COD segment after its length: style, progression, layers (2), transformation of components, levels,
    block size (2), block style, wavelet.
    """
    while at + 4 <= len(codestream):
        marker, length = struct.unpack_from(">HH", codestream, at)
        if marker == _COD and length >= 12:
            coding = codestream[at + 4 : at + 2 + length]
            if len(coding) < 10 or not _is_possible(coding):
                break
            return coding
        if marker == _SOT:
            break
        at += 2 + length
    raise ValueError("no coding style")


def _is_possible(coding: bytes) -> bool:
    """Whether levels and code-blocks are within T.800 tables A.15 and A.18."""
    levels, width, height = coding[5:8]
    return levels <= 32 and width <= 8 and height <= 8 and width + height <= 8 and coding[9] <= 1
