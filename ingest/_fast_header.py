"""A header reader for the common case: a preamble, little endian, plain character sets.

It walks the elements of PS3.5 section 7 and keeps the few that are wanted. Whatever is unusual (big endian,
deflated, no preamble, escape sequences, a length that does not fit) gives None, and pydicom reads the file
instead.
"""

from __future__ import annotations

import os
import struct
from typing import BinaryIO

from ingest.elements import COMPLETE, CUT, KEYWORDS, PIXEL_TAGS, PIXELS, HeaderElements

CHUNK = 1 << 15
MAX_HEADER = 1 << 26
IMPLICIT = "1.2.840.10008.1.2"
NOT_WALKED = frozenset({"1.2.840.10008.1.2.2", "1.2.840.10008.1.2.1.99", ""})
UNDEFINED = 0xFFFFFFFF
ITEM, ITEM_END, SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
CHARACTER_SETS = {"": "ascii", "ISO_IR 6": "ascii", "ISO_IR 100": "latin-1", "ISO_IR 192": "utf-8"}
CHARACTER_SET_TAG, TRANSFER_SYNTAX_TAG = 0x00080005, 0x00020010
SHORT_VRS = frozenset(
    b"AE AS AT CS DA DS DT FL FD IS LO LT PN SH SL SS ST TM UI UL US".split()  # PS3.5 7.1.2: 16-bit lengths
)
LONG_VRS = frozenset(b"OB OD OF OL OV OW SQ SV UC UN UR UT UV".split())
PERSON_NAMES = frozenset({k for k in KEYWORDS if "Name" in k})
INTEGERS = frozenset({"Rows", "Columns", "BitsStored"})
_EXPLICIT = struct.Struct("<HH2sH")
_IMPLICIT = struct.Struct("<HHI")
_LONG = struct.Struct("<I")


class _UnusualError(Exception):
    """The file needs pydicom."""


class _CutError(Exception):
    """An element reaches beyond the end of the file."""


def _tags() -> dict[int, str]:
    from pydicom.datadict import tag_for_keyword

    return {tag: keyword for keyword in KEYWORDS if (tag := tag_for_keyword(keyword)) is not None}


_wanted: dict[int, str] = {}


def fast_elements(file: BinaryIO) -> HeaderElements | None:
    """Read the wanted elements, or None if the file is not of the common kind."""
    if not _wanted:
        _wanted.update(_tags())
        _wanted[CHARACTER_SET_TAG] = ""
    walk = _Walk(file)
    try:
        return walk.run()
    except _CutError:
        return walk.cut()
    except (_UnusualError, struct.error, UnicodeDecodeError, RecursionError):
        return None


class _Walk:
    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        self.size = os.fstat(file.fileno()).st_size
        self.data = file.read(CHUNK)
        self.raw: dict[int, bytes] = {}

    def run(self) -> HeaderElements:
        if self.data[128:132] != b"DICM":
            raise _UnusualError
        at = self._meta(132)
        syntax = self.raw.get(TRANSFER_SYNTAX_TAG, b"").rstrip(b"\0 ").decode("ascii")
        if syntax in NOT_WALKED:
            raise _UnusualError
        ending = self._dataset(at, explicit=syntax != IMPLICIT)
        return HeaderElements(self._values(), ending)

    def cut(self) -> HeaderElements | None:
        """What was read of a file that ends too early."""
        try:
            return HeaderElements(self._values(), CUT)
        except (_UnusualError, UnicodeDecodeError):
            return None

    def need(self, end: int) -> None:
        """Have `data` hold the file up to `end`, which must lie within the file."""
        if end > len(self.data):
            if end > self.size:
                raise _CutError
            if end > MAX_HEADER:
                raise _UnusualError
            self.data += self.file.read(max(end - len(self.data), len(self.data)))

    def _meta(self, at: int) -> int:
        while True:
            self.need(at + 8)
            if self.data[at : at + 2] != b"\x02\x00":
                return at
            at = self._explicit(at)[2]

    def _dataset(self, at: int, *, explicit: bool) -> str:
        # Most of a scan's time is spent in this loop: it repeats `_explicit` for short elements in memory.
        step = self._explicit if explicit else self._implicit
        unpack, data, raw, wanted, last = _EXPLICIT.unpack_from, self.data, self.raw, _wanted, 0
        known = len(data) - 8
        if at >= self.size:
            raise _CutError
        while at < self.size:
            if explicit and at < known:
                group, element, vr, length = unpack(data, at)
                tag = (group << 16) | element
                end = at + 8 + length
                if vr in SHORT_VRS and last < tag < PIXEL_TAGS[0] and end <= known:
                    if tag in wanted:
                        raw[tag] = data[at + 8 : end]
                    last, at = tag, end
                    continue
            tag, _, end = step(at)
            if tag in PIXEL_TAGS:
                return PIXELS
            if tag <= last:
                raise _UnusualError
            last, at = tag, end
            if len(self.data) != len(data):
                data = self.data
                known = len(data) - 8
        if at != self.size:
            raise _CutError
        return COMPLETE

    def _explicit(self, at: int) -> tuple[int, int, int]:
        """Tag, start of the value and start of the next element."""
        if at + 12 > len(self.data):
            self.need(min(at + 12, self.size))
            if at + 8 > self.size:
                raise _CutError
        group, element, vr, length = _EXPLICIT.unpack_from(self.data, at)
        tag = (group << 16) | element
        if tag in PIXEL_TAGS:
            return tag, at, at
        start = at + 8
        if vr not in SHORT_VRS:
            if vr not in LONG_VRS:
                raise _UnusualError
            self.need(at + 12)
            (length,) = _LONG.unpack_from(self.data, at + 8)
            start = at + 12
        return self._value(tag, start, length, vr, explicit=True)

    def _implicit(self, at: int) -> tuple[int, int, int]:
        self.need(at + 8)
        group, element, length = _IMPLICIT.unpack_from(self.data, at)
        tag = (group << 16) | element
        if tag in PIXEL_TAGS:
            return tag, at, at
        return self._value(tag, at + 8, length, b"", explicit=False)

    def _value(self, tag: int, start: int, length: int, vr: bytes, *, explicit: bool) -> tuple[int, int, int]:
        if length == UNDEFINED:
            if vr == b"UN":
                raise _UnusualError
            return tag, start, self._skip_sequence(start, explicit=explicit)
        end = start + length
        if end > self.size:
            raise _CutError
        if tag in _wanted:
            self.need(end)
            if tag not in self.raw:
                self.raw[tag] = self.data[start:end]
        elif end > len(self.data):
            self.need(end)
        return tag, start, end

    def _skip_sequence(self, at: int, *, explicit: bool) -> int:
        while True:
            self.need(at + 8)
            group, element, length = _IMPLICIT.unpack_from(self.data, at)
            tag = (group << 16) | element
            at += 8
            if tag == SEQUENCE_END:
                return at
            if tag != ITEM:
                raise _UnusualError
            at = self._skip_item(at, explicit=explicit) if length == UNDEFINED else at + length

    def _skip_item(self, at: int, *, explicit: bool) -> int:
        wanted, self.raw = self.raw, {}
        unpack = _EXPLICIT.unpack_from
        while True:
            if explicit and at + 8 < len(self.data):
                _, _, vr, length = unpack(self.data, at)
                if vr in SHORT_VRS:
                    at += 8 + length
                    continue
            self.need(at + 8)
            group, element, _ = _IMPLICIT.unpack_from(self.data, at)
            if (group << 16) | element == ITEM_END:
                self.raw = wanted
                return at + 8
            if (group << 16) | element in PIXEL_TAGS:
                raise _UnusualError
            at = (self._explicit if explicit else self._implicit)(at)[2]

    def _values(self) -> dict[str, str | int]:
        charset = self.raw.pop(CHARACTER_SET_TAG, b"").decode("ascii").strip(" \0")
        encoding = CHARACTER_SETS.get(charset)
        if encoding is None:
            raise _UnusualError
        values: dict[str, str | int] = {}
        for tag, raw in self.raw.items():
            keyword = _wanted[tag]
            if keyword in INTEGERS:
                if len(raw) == 2:
                    values[keyword] = int.from_bytes(raw, "little")
                elif raw:
                    raise _UnusualError
                continue
            text = raw.decode(encoding)
            if keyword in PERSON_NAMES:
                text = text.rstrip("= ")
            if "\\" in text:
                text = "\\".join(part.strip(" \0") for part in text.split("\\"))
            else:
                text = text.strip(" \0")
            if text.strip("\\"):
                values[keyword] = text
        return values
