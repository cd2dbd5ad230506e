"""Where the elements, items and fragments of a DICOM file stand, byte by byte (PS3.5 section 7).

Written for the tests alone, so that they falsify a file at the places that matter without the readers under
test.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

LONG_VRS = frozenset(b"OB OD OF OL OV OW SQ SV UC UN UR UT UV".split())
PIXEL_DATA, ITEM = 0x7FE00010, 0xFFFEE000
UNDEFINED = 0xFFFFFFFF
_IMPLICIT, _BIG_ENDIAN = b"1.2.840.10008.1.2", b"1.2.840.10008.1.2.2"


@dataclass(frozen=True, slots=True)
class Place:
    """An element or item: it begins `at`, its length of `length_bytes` bytes stands at `length_at`, its value
    reaches from `start` to `end`. `vr` is empty where none is written; `depth` 0 is the data set itself.
    """

    tag: int
    vr: bytes
    at: int
    length_at: int
    length_bytes: int
    start: int
    end: int
    order: str
    depth: int

    def header(self, length: int) -> bytes:
        """Tag, VR and another length, as this element writes them."""
        tag = struct.pack(self.order + "HH", self.tag >> 16, self.tag & 0xFFFF)
        filler = b"\0\0" if self.vr and self.length_bytes == 4 else b""
        form = "I" if self.length_bytes == 4 else "H"
        return tag + self.vr + filler + struct.pack(self.order + form, length % (1 << 8 * self.length_bytes))


def places_of(data: bytes) -> list[Place]:
    """Every element, item and fragment of a whole file that is not deflated; what cannot be understood ends
    the list.
    """
    at = 132 if data[128:132] == b"DICM" else 0
    found: list[Place] = []
    try:
        while data[at : at + 2] == b"\2\0":
            place = _element(data, at, "<", explicit=True, depth=0)
            found.append(place)
            at = place.end
        syntax = next((data[p.start : p.end].rstrip(b"\0 ") for p in found if p.tag == 0x00020010), b"")
        order = ">" if syntax == _BIG_ENDIAN else "<"
        explicit = syntax != _IMPLICIT if syntax else data[at + 4 : at + 6].isalpha()
        found.extend(_elements(data, at, len(data), order, explicit=explicit, depth=0))
    except (struct.error, RecursionError):
        pass
    return found


def _element(data: bytes, at: int, order: str, *, explicit: bool, depth: int) -> Place:
    group, element = struct.unpack_from(order + "HH", data, at)
    tag, vr = group << 16 | element, b""
    if explicit and group != 0xFFFE:
        vr = data[at + 4 : at + 6]
    if vr and vr not in LONG_VRS:
        length_at, form, width = at + 6, "H", 2
    else:
        length_at, form, width = at + (8 if vr else 4), "I", 4
    (length,) = struct.unpack_from(order + form, data, length_at)
    start = length_at + width
    end = start if length == UNDEFINED else min(start + length, len(data))
    return Place(tag, vr, at, length_at, width, start, end, order, depth)


def _elements(data: bytes, at: int, end: int, order: str, *, explicit: bool, depth: int) -> Iterator[Place]:
    """Elements up to `end`, or to the delimiter of the item that holds them, which is the last."""
    while at + 8 <= end:
        place = _element(data, at, order, explicit=explicit, depth=depth)
        yield place
        if place.tag == 0xFFFEE00D:
            return
        undefined = data[place.length_at : place.start] == b"\xff\xff\xff\xff"
        holds_items = place.vr in (b"SQ", b"") and data[place.start : place.start + 4] in (
            b"\xfe\xff\x00\xe0",
            b"\xff\xfe\xe0\x00",
        )
        at = place.end
        if undefined or holds_items:
            for item in _items(data, place, end if undefined else place.end, explicit=explicit):
                yield item
                at = max(at, item.end)


def _items(data: bytes, sequence: Place, end: int, *, explicit: bool) -> Iterator[Place]:
    at = sequence.start
    while at + 8 <= end:
        item = _element(data, at, sequence.order, explicit=explicit, depth=sequence.depth + 1)
        yield item
        at = item.end
        if item.tag != ITEM:
            return
        undefined = data[item.length_at : item.start] == b"\xff\xff\xff\xff"
        if sequence.tag == PIXEL_DATA or (item.start == item.end and not undefined):
            continue
        inside = end if undefined else item.end
        for place in _elements(data, item.start, inside, sequence.order, explicit=explicit, depth=item.depth):
            yield place
            at = max(at, place.end)
