"""A fast header reader for the common encodings: both byte orders, explicit and implicit VR, deflated, with
or without a preamble.

It walks the elements of PS3.5 section 7 through a window of the file and keeps the few that are wanted, so
that a header takes little memory whatever it contains. For an unusual header (elements out of order, unknown
VRs, undefined lengths of anything but sequences) it gives None, and pydicom reads the file.
"""

from __future__ import annotations

import io
import os
import struct
from typing import BinaryIO, cast

from medsiglip.ingest.dicom.transfer_syntaxes import BIG_ENDIAN, DEFLATED
from medsiglip.ingest.errors import HeaderRefusedError
from medsiglip.ingest.files.inflate import RAW, DamagedStreamError, InflatedFile
from medsiglip.ingest.header.header_values import (
    COMPLETE,
    CUT,
    LAST_GROUP,
    MAX_VALUE,
    PIXEL_TAGS,
    PIXELS,
    TRAILING_PADDING,
    HeaderElements,
    values_of,
    wanted_elements,
)

CHUNK = 1 << 14
# Bytes that are walked element by element; skipped values do not count.
MAX_HEADER = 1 << 26
MAX_INFLATED = 1 << 30
# pydicom reads sequences of undefined length by recursion, to a depth of about 150; real ones nest 6 deep.
MAX_DEPTH = 64
UNDEFINED = 0xFFFFFFFF
ITEM, ITEM_END, SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
TRANSFER_SYNTAX_TAG, ICON_IMAGE_SEQUENCE = 0x00020010, 0x00880200
SHORT_VRS = frozenset(
    b"AE AS AT CS DA DS DT FL FD IS LO LT PN SH SL SS ST TM UI UL US".split()  # PS3.5 7.1.2: 16-bit lengths
)
LONG_VRS = frozenset(b"OB OD OF OL OV OW SQ SV UC UN UR UT UV".split())
EXPLICIT = {True: struct.Struct("<HH2sH"), False: struct.Struct(">HH2sH")}
_IMPLICIT = {True: struct.Struct("<HHI"), False: struct.Struct(">HHI")}
_LONG = {True: struct.Struct("<I"), False: struct.Struct(">I")}


# What some writers put in place of a VR that they do not know.
_BLANK_VRS = frozenset({b"  ", b"\0\0", b"--", b"??"})


class UnusualHeaderError(Exception):
    """The file needs pydicom."""


class CutHeaderError(Exception):
    """An element reaches beyond the end of the file."""


def _vr_instead(tag: int, *, has_length: bool) -> bytes:
    """The VR by the dictionary (PS3.6) of an element that states none; UN if it is unknown.

    `has_length` tells that the two bytes after the VR are not zero: they are the length (PS3.5 7.1.2).
    """
    from pydicom.datadict import dictionary_has_tag, dictionary_VR

    vr = dictionary_VR(tag)[:2].encode() if dictionary_has_tag(tag) else b"UN"
    return b"LO" if has_length and vr not in SHORT_VRS else vr


def fast_elements(file: BinaryIO) -> HeaderElements | None:
    """Read the wanted elements, or None if the file is not of a common kind.

    Raises `HeaderRefusedError`, and OSError if the file cannot be read.
    """
    walk = HeaderWalk(file)
    try:
        return walk.run()
    except CutHeaderError:
        return walk.elements(CUT)
    except (UnusualHeaderError, struct.error):
        if walk.is_deflated:  # pydicom would inflate it without a bound
            raise HeaderRefusedError("unreadable-header") from None
        return None


def deflated_start(file: BinaryIO) -> int | None:
    """The offset of the data set of a deflated file, None if the file is not deflated."""
    walk = HeaderWalk(file)
    try:
        at = walk.meta(132 if walk.data[128:132] == b"DICM" else 0)
    except (CutHeaderError, UnusualHeaderError, struct.error):
        return None
    return walk.base + at if walk.transfer_syntax == DEFLATED else None


def unknown_sequences(file: BinaryIO) -> list[tuple[int, int]]:
    """Start and end of each sequence of VR UN in a big endian file. They are little endian with implicit VRs
    (PS3.5 6.2.2), which pydicom does not support in big endian files.
    """
    file.seek(0)
    walk = HeaderWalk(file)
    try:
        walk.run()
    except (CutHeaderError, UnusualHeaderError, HeaderRefusedError, struct.error):
        return []
    return walk.unknown


class HeaderWalk:
    """`data` is the part of the file from `base` on; positions `at` are indices into `data`."""

    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        self.data = file.read(CHUNK)
        self.base = 0
        self.walked = len(self.data)
        self.raw: dict[int, bytes] = {}
        self.other_vrs: dict[int, bytes] = {}
        self.vrs = wanted_elements()[1]
        self.is_deflated = False
        self.little = True
        self.unknown: list[tuple[int, int]] = []

    def run(self) -> HeaderElements:
        """The elements of the header, from the preamble to the pixel data."""
        at, explicit = self.encoding(self.meta(132 if self.data[128:132] == b"DICM" else 0))
        return self.elements(self._dataset(at, explicit=explicit))

    def elements(self, ending: str) -> HeaderElements:
        """What was read so far."""
        return HeaderElements(values_of(self.raw, self.other_vrs, little=self.little), ending)

    @property
    def transfer_syntax(self) -> str:
        """As the file meta information names it, empty if it does not."""
        return self.raw.get(TRANSFER_SYNTAX_TAG, b"").rstrip(b"\0 ").decode("latin-1")

    def _load(self, at: int, needed: int) -> int:
        """Load `needed` bytes from `at` on into `data`, fewer only at the end of the file; returns the new
        index of the same position.
        """
        if at + needed <= len(self.data):
            return at
        position = self.base + at
        if self.walked > MAX_HEADER or (self.is_deflated and position > MAX_INFLATED):
            raise HeaderRefusedError("unreadable-header")
        try:
            kept = self.data[at:]
            if not kept:
                self.file.seek(position)
            self.data = kept + self.file.read(max(CHUNK, needed))
        except DamagedStreamError:
            if self.is_deflated:
                raise CutHeaderError from None
            raise
        self.base = position
        self.walked += len(self.data)
        return 0

    def _need(self, at: int, needed: int) -> int:
        at = self._load(at, needed)
        if at + needed > len(self.data):
            raise CutHeaderError
        return at

    def following(self, at: int) -> int:
        """The position of the next element, -1 at the end of the file."""
        at = self._load(at, 8)
        left = len(self.data) - at
        if left >= 8:
            return at
        if left or self.base + at != self.file.seek(0, os.SEEK_END):
            raise CutHeaderError
        return -1

    def meta(self, at: int) -> int:
        """The position after the file meta information, which is always explicit VR little endian (PS3.10
        section 7.1).
        """
        unpack = EXPLICIT[True].unpack_from
        while True:
            if at + 12 > len(self.data):
                at = self._load(at, 12)
            if self.data[at : at + 2] != b"\x02\x00":
                return at
            if at + 8 > len(self.data):
                raise CutHeaderError
            group, element, vr, length = unpack(self.data, at)
            end = at + 8 + length
            if vr in SHORT_VRS and end <= len(self.data):
                tag = group << 16 | element
                if tag in self.vrs:
                    self.raw.setdefault(tag, self.data[at + 8 : end])
                    if vr != self.vrs[tag]:
                        self.other_vrs[tag] = vr
                at = end
                continue
            tag, vr, length, at = self.element(at, explicit=True)
            at = self._value(tag, vr, length, at, explicit=True)

    def encoding(self, at: int) -> tuple[int, bool]:
        """Where the data set begins, and whether its VRs are explicit. If the transfer syntax is missing or
        wrong this is judged by the first element, as pydicom does.
        """
        syntax = self.transfer_syntax
        if syntax == DEFLATED:
            self.is_deflated = True
            content = InflatedFile(self.file, self.base + at, RAW)
            self.file = cast(BinaryIO, io.BufferedReader(content, CHUNK))
            self.data, self.base, at = b"", 0, 0
        at = self._load(at, 8)
        if len(self.data) - at < 8:
            raise CutHeaderError
        group, _, vr, _ = EXPLICIT[True].unpack_from(self.data, at)
        if group == 0:  # a command set
            raise UnusualHeaderError
        explicit = all(0x40 < letter < 0x5B for letter in vr)
        if syntax:
            self.little = syntax != BIG_ENDIAN
        else:
            explicit = explicit and (vr in SHORT_VRS or vr in LONG_VRS)
            self.little = not (explicit and group >= 0x400)
        if not self.little and not explicit:
            raise UnusualHeaderError
        return at, explicit

    def _dataset(self, at: int, *, explicit: bool) -> str:
        # Most of the time of a scan is spent in this loop: short elements in memory are handled here.
        unpack, peek = EXPLICIT[self.little].unpack_from, _IMPLICIT[self.little].unpack_from
        raw, vrs, data, last = self.raw, self.vrs, self.data, 0
        short_vrs, first_pixels = SHORT_VRS, PIXEL_TAGS[0]
        known = len(data) - 8 if explicit else -1
        while True:
            if at < known:
                group, element, vr, length = unpack(data, at)
                tag = group << 16 | element
                end = at + 8 + length
                if vr in short_vrs and last < tag < first_pixels and end <= known:
                    if tag in vrs:
                        raw[tag] = data[at + 8 : end]
                        if vr != vrs[tag]:
                            self.other_vrs[tag] = vr
                    last, at = tag, end
                    continue
            at = self.following(at)
            if at < 0:
                break
            group, element, _ = peek(self.data, at)
            tag = group << 16 | element
            if tag in PIXEL_TAGS:
                return PIXELS
            if tag <= last:
                raise UnusualHeaderError
            last = tag
            tag, vr, length, at = self.element(at, explicit=explicit)
            at = self._value(tag, vr, length, at, explicit=explicit)
            data = self.data
            known = len(data) - 8 if explicit else -1
        if last >> 16 > LAST_GROUP and last != TRAILING_PADDING:
            raise UnusualHeaderError
        return COMPLETE

    def element(self, at: int, *, explicit: bool) -> tuple[int, bytes, int, int]:
        """Tag, VR (empty if implicit), length and the position of the value."""
        if not explicit:
            group, element, length = _IMPLICIT[self.little].unpack_from(self.data, at)
            return group << 16 | element, b"", length, at + 8
        group, element, vr, length = EXPLICIT[self.little].unpack_from(self.data, at)
        if vr in _BLANK_VRS:
            vr = _vr_instead(group << 16 | element, has_length=length > 0)
        if vr in SHORT_VRS:
            return group << 16 | element, vr, length, at + 8
        if vr not in LONG_VRS:
            raise UnusualHeaderError
        if at + 12 > len(self.data):
            at = self._need(at, 12)
        (length,) = _LONG[self.little].unpack_from(self.data, at + 8)
        return group << 16 | element, vr, length, at + 12

    def _value(self, tag: int, vr: bytes, length: int, at: int, *, explicit: bool) -> int:
        """The position after the value, which is kept if it is wanted."""
        if length == UNDEFINED:
            if explicit and vr not in (b"SQ", b"UN"):
                raise UnusualHeaderError
            if vr == b"UN" and not self.little:
                return self._past_unknown(at)
            return self.past_sequence(at, explicit=explicit)
        if tag == ICON_IMAGE_SEQUENCE:
            return self.past_icon(at, length, explicit=explicit)
        if tag in self.vrs and length <= MAX_VALUE:
            if at + length > len(self.data):
                at = self._need(at, length)
            self.raw.setdefault(tag, self.data[at : at + length])
            if vr not in (b"", b"UN", self.vrs[tag]):
                self.other_vrs[tag] = vr
        return at + length

    def _past_unknown(self, at: int) -> int:
        start = self.base + at - 12  # tag, VR and length precede the value
        self.little = True
        try:
            at = self.past_sequence(at, explicit=False)
        finally:
            self.little = False
        self.unknown.append((start, self.base + at))
        return at

    def past_icon(self, at: int, length: int, *, explicit: bool) -> int:
        """The position after an Icon Image Sequence of `length` bytes, or after its last value if that ends
        later: writers leave the item headers and the delimiter of compressed pixels out of the length.
        """
        stated = self.base + at + length
        try:
            at = self._past_items(at, stated, explicit=explicit)
        except (CutHeaderError, UnusualHeaderError, struct.error):
            at = -1
        if at < 0 or self.base + at < stated:
            self.base, self.data, at = stated, b"", 0
        return at

    def _past_items(self, at: int, end: int, *, explicit: bool) -> int:
        """The position after items of stated length that begin before `end`, a position in the file."""
        while self.base + at < end:
            at = self._need(at, 8)
            group, element, length = _IMPLICIT[self.little].unpack_from(self.data, at)
            at += 8
            if group << 16 | element != ITEM or length == UNDEFINED:
                raise UnusualHeaderError
            item_end = self.base + at + length
            while self.base + at < item_end:
                at = self._need(at, 8)
                _, _, length, at = self.element(at, explicit=explicit)
                at = self.past_sequence(at, explicit=explicit) if length == UNDEFINED else at + length
        return at

    def past_sequence(self, at: int, *, explicit: bool) -> int:
        """The position after a sequence of undefined length (PS3.5 7.5), whatever is nested in it."""
        unpack, peek = EXPLICIT[self.little].unpack_from, _IMPLICIT[self.little].unpack_from
        # Whether a sequence (else an item) is open, and whether its elements have explicit VRs.
        opened = [(True, explicit)]
        while opened:
            is_sequence, explicit = opened[-1]
            if explicit and not is_sequence and at + 8 < len(self.data):
                _, _, vr, length = unpack(self.data, at)
                if vr in SHORT_VRS:
                    at += 8 + length
                    continue
            if at + 8 > len(self.data):
                at = self._need(at, 8)
            group, element, length = peek(self.data, at)
            tag = group << 16 | element
            if is_sequence:
                at += 8
                if tag == SEQUENCE_END:
                    opened.pop()
                elif tag != ITEM:
                    raise UnusualHeaderError
                elif length != UNDEFINED:
                    at += length
                else:
                    at = self._load(at, 8)
                    # Items within explicit VR may be implicit (PS3.5 6.2.2, and by mistakes of writers).
                    is_explicit = explicit and all(0x40 < b < 0x5B for b in self.data[at + 4 : at + 6])
                    opened.append((False, is_explicit))
            elif tag == ITEM_END:
                opened.pop()
                at += 8
            else:
                tag, vr, length, at = self.element(at, explicit=explicit)
                if length != UNDEFINED:
                    at += length
                elif explicit and vr not in (b"SQ", b"UN") and tag not in PIXEL_TAGS:
                    raise UnusualHeaderError
                else:
                    opened.append((True, explicit))
            if len(opened) > 2 * MAX_DEPTH:
                raise HeaderRefusedError("nested-too-deep")
        return at
