"""The elements of a DICOM header, read without its pixels: by pydicom, and by a faster reader for the common
case.
"""

from __future__ import annotations

import io
import os
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from medsiglip.ingest.files.source import open_source
from medsiglip.ingest.header.header_texts import IDENTIFIERS, PHRASES
from medsiglip.ingest.header.quality import ELEMENTS as QUALITY_ELEMENTS

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
    "AcquisitionNumber",
    "AcquisitionTime",
    "ContrastBolusAgent",
    "DiffusionBValue",
    "EchoTime",
    "TemporalPositionIdentifier",
    "TriggerTime",
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
    "SpecimenLabelInImage",
    "LossyImageCompression",
    *IDENTIFIERS,
    *PHRASES,
    *QUALITY_ELEMENTS,
)
# Float, Double Float and Pixel Data (PS3.3 C.7.6.24, C.7.6.25, C.7.6.3).
PIXEL_TAGS = (0x7FE00008, 0x7FE00009, 0x7FE00010)
LAST_GROUP, TRAILING_PADDING = 0x7FE1, 0xFFFCFFFC
DEFLATED = "1.2.840.10008.1.2.1.99"
PIXELS, COMPLETE, CUT, GARBLED = "pixels", "complete", "cut", "garbled"


# A value longer than this is none that is wanted.
MAX_VALUE = 1 << 20
# What pydicom is given to read of a header that is unusual; it takes many times as much memory.
MAX_UNUSUAL = 1 << 22


class HeaderRefusedError(Exception):
    """A header that would take too much to read; `code` is one of `medsiglip.ingest.reasons`."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


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

    Raises OSError if the file cannot be read, `HeaderRefusedError`, and whatever pydicom raises if it cannot
    be understood.
    """
    from medsiglip.ingest.header.fast_header import fast_elements

    with open_source(path, buffering=0) as raw:
        found = fast_elements(raw)
        if found is not None and (found.ending != CUT or found.values.get("TransferSyntaxUID") == DEFLATED):
            return found
        try:
            slow = pydicom_elements(raw)
        except Exception:
            if found is None:
                raise
            return found
        # pydicom takes the end of a file for the end of the data set, wherever it comes.
        return slow if found is None or slow.ending == PIXELS else HeaderElements(slow.values, CUT)


class _Metered(io.BufferedReader):
    """Ends the reading of a header that goes on for too long."""

    name = ""  # pydicom looks for the file again by this
    _left = MAX_UNUSUAL

    def read(self, size: int | None = -1, /) -> bytes:
        if size is None or size < 0:  # only a deflated data set is read whole
            raise HeaderRefusedError("unreadable-header")
        self._left -= size
        if self._left < 0:
            raise HeaderRefusedError("unreadable-header")
        return super().read(size)


def pydicom_elements(file: BinaryIO) -> HeaderElements:
    """Read a header that is not deflated by pydicom, with or without a preamble.

    Raises `HeaderRefusedError`, and whatever pydicom raises.
    """
    from pydicom import dcmread

    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    metered = _Metered(cast(io.RawIOBase, file), 1 << 15)
    try:
        dataset = dcmread(metered, force=True, stop_before_pixels=True, defer_size=MAX_VALUE)
        return HeaderElements(_values(dataset), _ending(dataset, metered, size))
    except RecursionError:
        raise HeaderRefusedError("nested-too-deep") from None
    finally:
        metered.detach()


def _values(dataset: Dataset) -> dict[str, str | int]:
    from pydicom.dataelem import RawDataElement

    from medsiglip.ingest.header.header_values import values_of, wanted_elements

    raw: dict[int, bytes] = {}
    other_vrs: dict[int, bytes] = {}
    little = dataset.original_encoding[1] is not False
    # As they were read: asking for them one by one would fetch those that were left out for their length.
    elements = {int(tag): element for part in (dataset.file_meta, dataset) for tag, element in part.items()}
    for tag, vr in wanted_elements()[1].items():
        element: Any = elements.get(tag)
        if element is None:
            continue
        if not isinstance(element, RawDataElement):  # what pydicom itself had to look at
            text = (
                element.value if isinstance(element.value, str) else "\\".join(map(str, element.value or ()))
            )
            raw[tag] = text.encode("latin-1", "replace")
            continue
        raw[tag] = element.value or b""
        own = (element.VR or "").encode()
        if own not in (b"", b"UN", vr):
            other_vrs[tag] = own
    return values_of(raw, other_vrs, little=little)


def _ending(dataset: Dataset, file: BinaryIO, size: int) -> str:
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
    last = dict(dataset.items())[max(dataset.keys())]
    if not isinstance(last, RawDataElement) or last.length == 0xFFFFFFFF:
        return COMPLETE
    return CUT if last.value_tell + last.length > size else COMPLETE
