"""The elements of a DICOM header, read without its pixels: by pydicom, and by a faster reader for the common
case.
"""

from __future__ import annotations

import io
import os
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

from ingest.header import IDENTIFIERS

if TYPE_CHECKING:
    from pydicom import Dataset

META_KEYWORDS = ("MediaStorageSOPClassUID", "TransferSyntaxUID")
KEYWORDS = (
    *META_KEYWORDS,
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
    "PhotometricInterpretation",
    "NumberOfFrames",
    "Rows",
    "Columns",
    "BitsStored",
    "BurnedInAnnotation",
    "LossyImageCompression",
    *IDENTIFIERS,
)
# Float, Double Float and Pixel Data (PS3.3 C.7.6.24, C.7.6.25, C.7.6.3).
PIXEL_TAGS = (0x7FE00008, 0x7FE00009, 0x7FE00010)
LAST_GROUP, TRAILING_PADDING = 0x7FE1, 0xFFFCFFFC
DEFLATED = "1.2.840.10008.1.2.1.99"
PIXELS, COMPLETE, CUT, GARBLED = "pixels", "complete", "cut", "garbled"


@dataclass(frozen=True, slots=True)
class HeaderElements:
    """`values` by keyword: text with backslashes between several values, or an integer; empty ones are
    absent.

    `ending` tells how the header ends: `PIXELS` (a pixel element follows), `COMPLETE` (the file ends with an
    element), `CUT` (the file ends inside an element) or `GARBLED` (what was read cannot be elements).
    """

    values: Mapping[str, str | int]
    ending: str


def read_elements(path: str) -> HeaderElements:
    """Read a header by the fast reader where it can, else by pydicom; both give equal values.

    Raises OSError if the file cannot be read, and whatever pydicom raises if it cannot be understood.
    """
    from ingest._fast_header import fast_elements

    with open(path, "rb", buffering=0) as raw:
        found = fast_elements(raw)
        if found is not None and found.ending != CUT:
            return found
        raw.seek(0)
        file = io.BufferedReader(raw)
        try:
            slow = pydicom_elements(file)
        except Exception:
            if found is None:
                raise
            return found
        # pydicom takes the end of a file for the end of the data set, wherever it comes.
        return slow if found is None or slow.ending == PIXELS else HeaderElements(slow.values, CUT)


def pydicom_elements(file: BinaryIO) -> HeaderElements:
    """Read a header by pydicom, whatever its transfer syntax, with or without a preamble."""
    from pydicom import dcmread

    dataset = dcmread(file, force=True, stop_before_pixels=True)
    if dataset.file_meta.get("TransferSyntaxUID") == DEFLATED:
        file.seek(0)
        whole = dcmread(file, force=True)
        ending = PIXELS if any(tag in whole for tag in PIXEL_TAGS) else COMPLETE
    else:
        ending = _ending(dataset, file)
    return HeaderElements(_values(dataset), ending)


def _values(dataset: Dataset) -> dict[str, str | int]:
    values: dict[str, str | int] = {}
    for keyword in KEYWORDS:
        holder = dataset.file_meta if keyword in META_KEYWORDS else dataset
        value = holder.get(keyword)
        if type(value) is int:
            values[keyword] = value
            continue
        is_list = isinstance(value, list) or type(value).__name__ == "MultiValue"
        parts = value if is_list and value is not None else [value]
        text = "\\".join("" if part is None else str(part).strip(" \0") for part in parts)
        if text.strip("\\"):
            values[keyword] = text
    return values


def _ending(dataset: Dataset, file: BinaryIO) -> str:
    from pydicom.dataelem import RawDataElement

    following = file.read(4)
    if len(following) == 4:
        group, element = struct.unpack(
            "<HH" if dataset.original_encoding[1] is not False else ">HH", following
        )
        if (group << 16) + element in PIXEL_TAGS:
            return PIXELS
    if not len(dataset) or any(tag.group > LAST_GROUP and tag != TRAILING_PADDING for tag in dataset.keys()):  # noqa: SIM118
        return GARBLED
    last = dataset.get_item(max(dataset.keys())) if len(dataset) else None
    if not isinstance(last, RawDataElement) or last.length == 0xFFFFFFFF:
        return COMPLETE
    return CUT if last.value_tell + last.length > os.fstat(file.fileno()).st_size else COMPLETE
