"""Damage to the places of a DICOM file that a reader believes: lengths, VRs, values, offsets, codestreams."""

from __future__ import annotations

import random
import struct
from collections.abc import Sequence

from tests.ingest.damage import LONGS, NUMBERS, WORDS, Damage, bytes_changed
from tests.ingest.dicom_places import ITEM, LONG_VRS, PIXEL_DATA, Place, places_of

TEXTS = (
    "",
    " ",
    "\0",
    "X" * 300,
    "\\" * 40,
    "\x1b$B\x1b(B",
    "MONOCHROME1",
    "ORIGINAL\\PRIMARY\\MOSAIC",
    "é\xff",
)
PHOTOMETRIC = (
    *("MONOCHROME1", "MONOCHROME2", "PALETTE COLOR", "RGB", "YBR_FULL", "YBR_FULL_422", "YBR_PARTIAL_422"),
    *("YBR_PARTIAL_420", "YBR_ICT", "YBR_RCT", "ARGB", "CMYK", "HSV", "", "XYB"),
)
SYNTAXES = (
    *("", ".1", ".1.98", ".1.99", ".2", ".5", ".8.1", ".4.50", ".4.51", ".4.57", ".4.70", ".4.80", ".4.81"),
    *(".4.90", ".4.91", ".4.93", ".4.100", ".4.201", ".4.202", ".4.203", ".9.9.9"),
)
# What readers, renderers and planners ask for, by tag and VR.
ATTRIBUTES: tuple[tuple[int, bytes], ...] = (
    *((0x00280000 | e, b"US") for e in (0x02, 0x06, 0x10, 0x11, 0x100, 0x101, 0x102, 0x103, 0x120, 0x121)),
    *((0x00281101 + e, b"US") for e in (0, 1, 2)),
    *((0x00281201 + e, b"OW") for e in (0, 1, 2)),
    *((0x00280000 | e, b"DS") for e in (0x30, 0x1050, 0x1051, 0x1052, 0x1053)),
    *((0x00280000 | e, b"CS") for e in (0x04, 0x1056, 0x301, 0x2110)),
    *((0x00280000 | e, b"IS") for e in (0x08, 0x34)),
    *((0x00080000 | e, b"CS") for e in (0x05, 0x08, 0x60)),
    *((0x00200000 | e, b"DS") for e in (0x32, 0x37)),
    *((0x00200000 | e, b"IS") for e in (0x12, 0x13, 0x100)),
    *((0x00480000 | e, b"UL") for e in (0x06, 0x07)),
    *((0x00480000 | e, b"SL") for e in (0x21E, 0x21F)),
    *((0x00180000 | e, b"DS") for e in (0x50, 0x88, 0x1164, 0x9087)),
    *((0x00100000 | e, b"AS") for e in (0x1010,)),
    (0x00020010, b"UI"),
    (0x00080016, b"UI"),
    (0x00080018, b"UI"),
    (0x0020000E, b"UI"),
    (0x00080020, b"DA"),
    (0x00282000, b"OB"),
    (0x00283002, b"US"),
    (0x00283006, b"OW"),
    (0x00221007, b"UN"),
    (0x7FE00001, b"OV"),
)
_SHORT_VRS = tuple(b"AE AS AT CS DA DS DT FL FD IS LO LT PN SH SL SS ST TM UI UL US".split())


def length_falsified(data: bytes, rng: random.Random) -> bytes:
    """Let an element, item or fragment claim another length."""
    place = _choose(places_of(data), rng)
    if place is None:
        return data
    own = place.end - place.start
    left = len(data) - place.start
    length = rng.choice(
        (*LONGS, own + 1, own - 1, own + 2, own - 2, own * 2, left, left + 1, rng.randrange(1 << 16))
    )
    return data[: place.at] + place.header(length) + data[place.start :]


def vr_changed(data: bytes, rng: random.Random) -> bytes:
    """Write another VR, leaving all else, or none that there is."""
    place = _choose([p for p in places_of(data) if p.vr], rng)
    if place is None:
        return data
    vr = rng.choice((*_SHORT_VRS, *sorted(LONG_VRS), b"ZZ", b"\0\0", b"??"))
    return data[: place.at + 4] + vr + data[place.at + 6 :]


def tag_changed(data: bytes, rng: random.Random) -> bytes:
    """Write another tag: out of order, of an item, of a delimiter, or one that is asked for."""
    place = _choose(places_of(data), rng)
    if place is None:
        return data
    tag = rng.choice((ITEM, 0xFFFEE00D, 0xFFFEE0DD, PIXEL_DATA, 0x7FE00008, *(t for t, _ in ATTRIBUTES)))
    return data[: place.at] + struct.pack(place.order + "HH", tag >> 16, tag & 0xFFFF) + data[place.at + 4 :]


def value_falsified(data: bytes, rng: random.Random) -> bytes:
    """Give one of `ATTRIBUTES` a value that is seldom meant, at the top level, or where it already stands."""
    places = places_of(data)
    if not places:
        return data
    tag, vr = rng.choice(ATTRIBUTES)
    if nested := [
        p for p in places if p.depth and p.vr and not p.vr.startswith((b"S", b"O")) and rng.random() < 0.1
    ]:
        place = rng.choice(nested)
        value = _absurd(place.tag, place.vr, place.order, rng)
        return data[: place.at] + place.header(len(value)) + value + data[place.end :]
    top = [p for p in places if p.depth == 0]
    value = _absurd(tag, vr, top[-1].order, rng)
    same = next((p for p in top if p.tag == tag), None)
    if same is not None:
        return data[: same.at] + same.header(len(value)) + value + data[same.end :]
    following = next((p for p in top if p.tag > tag), None)
    if following is None:
        return data
    length_bytes = 4 if not following.vr or vr in LONG_VRS else 2
    own = Place(tag, vr if following.vr else b"", 0, 0, length_bytes, 0, 0, following.order, 0)
    return data[: following.at] + own.header(len(value)) + value + data[following.at :]


def element_lost(data: bytes, rng: random.Random) -> bytes:
    """Leave an element or item out."""
    place = _choose(places_of(data), rng)
    return data if place is None else data[: place.at] + data[place.end :]


def elements_swapped(data: bytes, rng: random.Random) -> bytes:
    """Write two neighbours in the wrong order."""
    places = [p for p in places_of(data) if p.depth == 0]
    if len(places) < 2:
        return data
    i = rng.randrange(len(places) - 1)
    a, b = places[i], places[i + 1]
    return data[: a.at] + data[b.at : b.end] + data[a.at : b.at] + data[b.end :]


def offsets_falsified(data: bytes, rng: random.Random) -> bytes:
    """Change entries of the basic or extended offset table, or of the segments of an RLE frame."""
    places = places_of(data)
    tables = [p for p in places if p.tag in (0x7FE00001, 0x7FE00002)]
    tables += [p for p in places if p.tag == ITEM and p.depth == 1 and p.at > len(data) // 8][:2]
    place = _choose([p for p in tables if p.end - p.start >= 4], rng)
    if place is None:
        return data
    changed = bytearray(data)
    for _ in range(rng.randint(1, 3)):
        at = place.start + 4 * rng.randrange(min((place.end - place.start) // 4, 16))
        value = rng.choice((*LONGS, *WORDS, rng.randrange(len(data))))
        changed[at : at + 4] = struct.pack("<I", value)
    return bytes(changed)


def codestream_changed(data: bytes, rng: random.Random) -> bytes:
    """Change the header of a compressed frame: sizes, components, tables, or some byte behind a marker."""
    places = places_of(data)
    pixels = next((p.at for p in places if p.tag == PIXEL_DATA and p.depth == 0), None)
    place = _choose([p for p in places if p.tag == ITEM and pixels is not None and p.at > pixels], rng)
    if place is None or place.end - place.start < 8:
        return bytes_changed(data, rng)
    changed = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        near = min(place.end - place.start, rng.choice((40, 120, 700, 1 << 20)))
        at = place.start + rng.randrange(near)
        if rng.random() < 0.5:
            changed[at] = rng.choice((0, 1, 0xFF, 0x7F, 0x80, rng.randrange(256)))
        else:
            changed[at : at + 2] = struct.pack(">H", rng.choice((*WORDS, rng.randrange(1 << 16))))
    return bytes(changed)


def nested(data: bytes, rng: random.Random) -> bytes:
    """Add a sequence that holds sequences, deeper than headers are."""
    top = [p for p in places_of(data) if p.depth == 0 and p.tag > 0x00081110]
    if not top:
        return data
    place, depth = top[0], rng.choice((2, 5, 30, 60, 70, 5000))
    tag = struct.pack(place.order + "HH", 0x0008, 0x1110)
    opening = tag + (b"SQ\0\0" if place.vr else b"") + b"\xff" * 4
    item, item_end, sequence_end = (
        struct.pack(place.order + "HHI", 0xFFFE, element, length)
        for element, length in ((0xE000, 0xFFFFFFFF), (0xE00D, 0), (0xE0DD, 0))
    )
    closing = (item_end + sequence_end) * (depth if rng.random() < 0.7 else depth // 2)
    return data[: place.at] + (opening + item) * depth + closing + data[place.at :]


def _choose(places: Sequence[Place], rng: random.Random) -> Place | None:
    """One of the places: as often one of the last, which are of the pixel data, as any other."""
    if not places:
        return None
    return rng.choice(places[-6:] if rng.random() < 0.3 else places)


def _absurd(tag: int, vr: bytes, order: str, rng: random.Random) -> bytes:
    if vr in (b"US", b"SS"):
        count = 3 if tag >> 4 == 0x0028110 or tag == 0x00283002 else rng.choice((1, 1, 1, 1, 0, 2))
        return struct.pack(
            f"{order}{count}H", *(rng.choice((*WORDS, rng.randrange(1 << 16))) for _ in range(count))
        )
    if vr in (b"UL", b"SL", b"FL", b"AT"):
        return struct.pack(order + "I", rng.choice(LONGS))
    if vr == b"FD":
        return struct.pack(order + "d", rng.choice((0.0, -1.0, 1e308, float("nan"), float("inf"), 1e-320)))
    if vr in (b"IS", b"DS", b"AS", b"DA"):
        value = "\\".join(rng.choice(NUMBERS) for _ in range(rng.choice((1, 1, 1, 2, 3, 6, 300))))
    elif tag == 0x00020010:
        value = "1.2.840.10008.1.2" + rng.choice(SYNTAXES)
    elif tag == 0x00280004:
        value = rng.choice(PHOTOMETRIC)
    elif vr == b"UI":
        value = rng.choice(("", "1.2.3", "not a UID", "9" * 80, "2.25.1", "1.2.840.10008.5.1.4.1.1.77.1.6"))
    elif vr in LONG_VRS:
        return rng.randbytes(rng.choice((0, 1, 2, 6, 24, 512, 514)))
    else:
        value = rng.choice(TEXTS)
    encoded = value.encode("latin-1")
    return encoded + b" " * (len(encoded) % 2 if rng.random() < 0.9 else 0)


DICOM_DAMAGE: tuple[Damage, ...] = (
    length_falsified,
    length_falsified,
    vr_changed,
    tag_changed,
    value_falsified,
    value_falsified,
    value_falsified,
    value_falsified,
    element_lost,
    elements_swapped,
    offsets_falsified,
    codestream_changed,
    codestream_changed,
    nested,
)
