"""The elements of a DICOM header, read without its pixels: by pydicom, and by a faster reader for the common case."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

from ingest.header import IDENTIFIERS

if TYPE_CHECKING:
    from pydicom import Dataset

KEYWORDS = (
    "TransferSyntaxUID",
    "SpecificCharacterSet",
    "ImageType",
    "SOPClassUID",
    "SOPInstanceUID",
    "StudyDate",
    "Modality",
    "Manufacturer",
    "StudyDescription",
    "SeriesDescription",
    "IssuerOfPatientID",
    "PatientSex",
    "PatientAge",
    "BodyPartExamined",
    "ViewPosition",
    "StudyInstanceUID",
    "SeriesInstanceUID",
    "InstanceNumber",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "Laterality",
    "ImageLaterality",
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "NumberOfFrames",
    "Rows",
    "Columns",
    "BitsAllocated",
    "BitsStored",
    "BurnedInAnnotation",
    "LossyImageCompression",
    *IDENTIFIERS,
)
PIXEL_TAGS = (0x7FE00008, 0x7FE00009, 0x7FE00010)
DEFLATED = "1.2.840.10008.1.2.1.99"


@dataclass(frozen=True, slots=True)
class HeaderElements:
    """`values` by keyword (text with backslashes between several values, or an integer; absent and empty are the same).

    `ending` tells how the header ends: `pixels` (a pixel element follows), `complete` (the file ends with an element)
    or `cut` (the file ends inside an element).
    """

    values: Mapping[str, str | int]
    ending: str


def read_elements(path: str) -> HeaderElements:
    """Read a header by the fast reader where it can, else by pydicom; both give equal values.

    Raises OSError if the file cannot be read, and whatever pydicom raises if it cannot be understood.
    """
    from ingest._fast_header import fast_elements

    with open(path, "rb") as file:
        found = fast_elements(file)
        if found is not None:
            return found
        file.seek(0)
        return pydicom_elements(file)


def pydicom_elements(file: BinaryIO) -> HeaderElements:
    """Read a header by pydicom, whatever its transfer syntax, with or without a preamble."""
    from pydicom import dcmread

    source: BinaryIO = file
    dataset = dcmread(source, force=True, stop_before_pixels=True, specific_tags=list(KEYWORDS))
    syntax = str(getattr(dataset, "file_meta", {}).get("TransferSyntaxUID") or "")
    ending = _ending_deflated(file) if syntax == DEFLATED else _ending(file, dataset)
    return HeaderElements(_values(dataset), ending)


def _values(dataset: Dataset) -> dict[str, str | int]:
    values: dict[str, str | int] = {}
    for keyword in KEYWORDS:
        holder = dataset.file_meta if keyword == "TransferSyntaxUID" else dataset
        value = holder.get(keyword)
        if value is None:
            continue
        if isinstance(value, int) and type(value) is int:
            values[keyword] = value
            continue
        several = value if hasattr(value, "__iter__") and not isinstance(value, str) else [value]
        if hasattr(value, "family_name"):
            several = [value]
        text = "\\".join("" if part is None else str(part) for part in several).strip(" \0")
        if text:
            values[keyword] = text
    return values


def _ending(file: BinaryIO, dataset: Dataset) -> str:
    little = dataset.original_encoding[1] is not False
    at = file.tell()
    tag = file.read(4)
    size = file.seek(0, io.SEEK_END)
    if len(tag) == 4:
        group, element = struct.unpack("<HH" if little else ">HH", tag)
        if (group << 16) + element in PIXEL_TAGS:
            return "pixels"
    # pydicom stops silently at the end of a file, whether or not the last value is whole.
    return "complete" if at == size and _last_value_is_whole(file, dataset, size) else "cut"


def _last_value_is_whole(file: BinaryIO, dataset: Dataset, size: int) -> bool:
    from pydicom import dcmread

    file.seek(0)
    whole = dcmread(file, force=True)
    last = max(whole.keys(), default=None)
    if last is None:
        return True
    raw = whole.get_item(last)
    length, value, at = (getattr(raw, name, None) for name in ("length", "value", "value_tell"))
    if length is None or at is None or length == 0xFFFFFFFF or not isinstance(value, bytes):
        return True
    return int(at) + int(length) <= size


def _ending_deflated(file: BinaryIO) -> str:
    file.seek(0)
    from pydicom.filereader import read_file_meta_info, read_preamble

    read_preamble(file, force=True)
    read_file_meta_info(file.name) if hasattr(file, "name") else None
    return "pixels" if _inflated_has_pixels(file) else "complete"


def _inflated_has_pixels(file: BinaryIO) -> bool:
    file.seek(0)
    from pydicom import dcmread

    dataset = dcmread(file, force=True)
    return any(tag in dataset for tag in PIXEL_TAGS)


__all__ = ["KEYWORDS", "HeaderElements", "pydicom_elements", "read_elements", "zlib"]
