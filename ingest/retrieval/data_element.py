"""Data elements that are handed on, as explicit VR little endian (PS3.5 7.1.2) and as DICOM JSON (PS3.18
annex F).
"""

from __future__ import annotations

import base64
import struct
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from medsiglip.ingest.header.fast_header import LONG_VRS

DataSet = Mapping[int, "DataElement"]
BulkUri = Callable[[tuple[int, ...]], str]
"""Gets a tag, or the tag of a sequence, the number of its item from 1 on, and a tag in it, and so on."""

# A value of bytes up to this length stands in the JSON, in base64; a longer one is fetched when it is needed.
MAX_INLINE = 4096
NUMBERS = {"US": "H", "SS": "h", "UL": "I", "SL": "i", "UV": "Q", "SV": "q", "FL": "f", "FD": "d"}
BYTES = frozenset({"OB", "OW", "OF", "OD", "OL", "OV"})
_LONG = frozenset(vr.decode() for vr in LONG_VRS)


@dataclass(frozen=True, slots=True)
class DataElement:
    """One element. `values` are texts, also for DS and IS; numbers for the VRs of `NUMBERS` and for AT; data
    sets for SQ; and one value of bytes for the VRs of `BYTES`. None is an empty one of several values.
    """

    vr: str
    values: tuple[Any, ...] = ()


def text(vr: str, *values: str | None) -> DataElement:
    """An element of texts; without a value where all are None or empty."""
    return DataElement(vr, values if any(values) else ())


def bytes_at(dataset: DataSet, path: tuple[int, ...]) -> bytes | None:
    """The bytes that the path of a `BulkUri` leads to, None if there are none."""
    for tag, number in zip(path[:-1:2], path[1::2], strict=True):
        items = dataset[tag].values if tag in dataset and dataset[tag].vr == "SQ" else ()
        if not 1 <= number <= len(items):
            return None
        dataset = items[number - 1]
    found = dataset.get(path[-1])
    return found.values[0] if found is not None and found.vr in BYTES and found.values else None


def as_json(dataset: DataSet, bulk: BulkUri, place: tuple[int, ...] = ()) -> dict[str, Any]:
    """The JSON object of a data set (PS3.18 F.2.2)."""
    return {f"{tag:08X}": _json_of(dataset[tag], bulk, (*place, tag)) for tag in sorted(dataset)}


def _json_of(element: DataElement, bulk: BulkUri, place: tuple[int, ...]) -> dict[str, Any]:
    values = element.values
    if not values:
        return {"vr": element.vr}
    if element.vr in BYTES:
        if len(values[0]) > MAX_INLINE:
            return {"vr": element.vr, "BulkDataURI": bulk(place)}
        return {"vr": element.vr, "InlineBinary": base64.b64encode(values[0]).decode()}
    if element.vr == "SQ":
        items = [as_json(item, bulk, (*place, number)) for number, item in enumerate(values, start=1)]
        return {"vr": "SQ", "Value": items}
    return {"vr": element.vr, "Value": [_json_value(element.vr, one) for one in values]}


def _json_value(vr: str, value: Any) -> Any:
    if value is None or value == "":
        return None
    if vr == "PN":
        return {"Alphabetic": value}
    if vr == "AT":
        return f"{value:08X}"
    if vr == "DS":
        return float(value)
    return int(value) if vr == "IS" else value


def as_bytes(dataset: DataSet) -> bytes:
    """The elements in explicit VR little endian; texts in UTF-8."""
    return b"".join(written(tag, dataset[tag].vr, _bytes_of(dataset[tag])) for tag in sorted(dataset))


def written(tag: int, vr: str, value: bytes, length: int | None = None) -> bytes:
    """An element with its value; `length` is stated where more of the value follows."""
    value += b"\0" * (len(value) % 2)
    stated = len(value) if length is None else length
    head = struct.pack("<HH", tag >> 16, tag & 0xFFFF) + vr.encode()
    return head + (struct.pack("<HI", 0, stated) if vr in _LONG else struct.pack("<H", stated)) + value


def _bytes_of(element: DataElement) -> bytes:
    vr, values = element.vr, element.values
    if vr in BYTES:
        return b"".join(values)
    if vr in NUMBERS:
        return struct.pack(f"<{len(values)}{NUMBERS[vr]}", *values)
    if vr == "AT":
        return b"".join(struct.pack("<HH", tag >> 16, tag & 0xFFFF) for tag in values)
    if vr == "SQ":
        return b"".join(map(_item, values))
    value = "\\".join(_texts(values)).encode()
    return value + (b"" if vr == "UI" else b" ") * (len(value) % 2)


def _item(dataset: DataSet) -> bytes:
    value = as_bytes(dataset)
    return struct.pack("<HHI", 0xFFFE, 0xE000, len(value)) + value


def _texts(values: Iterable[str | None]) -> Iterable[str]:
    return ("" if one is None else one for one in values)
