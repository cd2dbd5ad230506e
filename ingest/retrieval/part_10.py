"""DICOM files as they are handed on (PS3.10), written piece by piece: a head, then frame after frame."""

from __future__ import annotations

import struct

from medsiglip.ingest.dicom.implementation import IMPLEMENTATION_CLASS_UID
from medsiglip.ingest.dicom.transfer_syntaxes import EXPLICIT
from medsiglip.ingest.retrieval.data_element import DataElement, DataSet, as_bytes, text, written

_UNDEFINED = 0xFFFFFFFF
SEQUENCE_END = struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)


def file_head(dataset: DataSet, syntax: str, pixel_tag: int, pixel_bytes: int | None) -> bytes:
    """Preamble, meta information and elements up to the value of the pixel data, of `pixel_bytes`, or None
    for encapsulated ones, which begin with an empty Basic Offset Table (PS3.5 A.4).
    """
    meta: dict[int, DataElement] = {
        0x00020001: DataElement("OB", (b"\0\1",)),
        0x00020002: dataset[0x00080016],
        0x00020003: dataset[0x00080018],
        0x00020010: text("UI", syntax),
        0x00020012: text("UI", IMPLEMENTATION_CLASS_UID),
    }
    described = as_bytes(meta)
    length = as_bytes({0x00020000: DataElement("UL", (len(described),))})
    before = {tag: element for tag, element in dataset.items() if tag < pixel_tag}
    head = bytes(128) + b"DICM" + length + described + as_bytes(before)
    if pixel_bytes is None:
        return head + written(pixel_tag, "OB", b"", _UNDEFINED) + item(b"")
    vr = {0x7FE00008: "OF", 0x7FE00009: "OD"}.get(pixel_tag) or _pixel_vr(dataset, syntax)
    return head + written(pixel_tag, vr, b"", pixel_bytes + pixel_bytes % 2)


def item(value: bytes) -> bytes:
    """A fragment, of even length."""
    padded = value + b"\0" * (len(value) % 2)
    return struct.pack("<HHI", 0xFFFE, 0xE000, len(padded)) + padded


def _pixel_vr(dataset: DataSet, syntax: str) -> str:
    """PS3.5 A.2: OB or OW for values of at most 8 bits, OW for longer ones."""
    allocated = dataset[0x00280100].values[0] if 0x00280100 in dataset else 16
    return "OB" if syntax == EXPLICIT and allocated <= 8 else "OW"
