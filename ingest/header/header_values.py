"""Which elements of a header are read, and their bytes as text and numbers, for either reader."""

from __future__ import annotations

import struct
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from medsiglip.ingest.dicom.element_value import Elements
from medsiglip.ingest.header.header_texts import IDENTIFIERS, PHRASES
from medsiglip.ingest.header.quality import ELEMENTS as QUALITY_ELEMENTS

META_KEYWORDS = ("MediaStorageSOPClassUID", "TransferSyntaxUID")
KEYWORDS = (
    *META_KEYWORDS,
    "ImageType",
    "SOPClassUID",
    "SOPInstanceUID",
    "StudyDate",
    "StudyTime",
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
    "KVP",
    "ConvolutionKernel",
    "InversionTime",
    "FlipAngle",
    "TemporalPositionIdentifier",
    "TriggerTime",
    "SliceLocation",
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
# Tamar Compression Type of ELSCINT1: these files have a picture of their maker's own coding, such as
# PMSCT_RLE1, in (07A1,100A), and no pixel data element.
PRIVATE = {0x07A11011: ("TamarCompressionType", b"CS")}
# Float, Double Float and Pixel Data (PS3.3 C.7.6.24, C.7.6.25, C.7.6.3).
PIXEL_TAGS = (0x7FE00008, 0x7FE00009, 0x7FE00010)
LAST_GROUP, TRAILING_PADDING = 0x7FE1, 0xFFFCFFFC
PIXELS, COMPLETE, CUT, GARBLED = "pixels", "complete", "cut", "garbled"
# Longer values are never wanted.
MAX_VALUE = 1 << 20
# Python's codecs for (0008,0005) Specific Character Set (PS3.3 C.12.1.1.2) of one value without escapes.
# Without it, text that is not ASCII is read as ISO 8859-1, as pydicom does.
_CODECS = {"": "latin-1", "ISO_IR 6": "latin-1", "ISO_IR 100": "latin-1", "ISO_IR 192": "utf-8"}
CHARACTER_SET = 0x00080005
# The VRs that (0008,0005) applies to (PS3.5 6.1.2.3).
_LOCALIZED = frozenset({b"LO", b"LT", b"PN", b"SH", b"ST", b"UC", b"UT"})
_UNLOCALIZED = frozenset({b"AE", b"AS", b"CS", b"DA", b"DS", b"DT", b"IS", b"TM", b"UI", b"UR"})
_NUMBERS = {
    b"US": "H",
    b"SS": "h",
    b"UL": "I",
    b"SL": "i",
    b"UV": "Q",
    b"SV": "q",
    b"FL": "f",
    b"FD": "d",
}
# Delimiters that end the reach of an escape sequence in text (PS3.5 6.1.2.5.3).
_DELIMITERS = {0x09, 0x0A, 0x0C, 0x0D}


@dataclass(frozen=True, slots=True)
class HeaderElements:
    """`values` by keyword: text with backslashes between several values, or an integer; empty ones are
    absent.

    `ending` is how the header ends: `PIXELS` (a pixel element follows), `COMPLETE` (the file ends with an
    element), `CUT` (the file ends inside an element) or `GARBLED` (what was read cannot be elements).
    """

    values: Elements
    ending: str


@cache
def wanted_elements() -> tuple[Mapping[int, str], Mapping[int, bytes]]:
    """Keyword, and VR by the dictionary (PS3.6), of the wanted elements by tag."""
    from pydicom.datadict import dictionary_VR, tag_for_keyword

    tags = {tag: keyword for keyword in KEYWORDS if (tag := tag_for_keyword(keyword)) is not None}
    vrs = {tag: dictionary_VR(tag).encode() for tag in (*tags, CHARACTER_SET)}
    for tag, (keyword, vr) in PRIVATE.items():
        tags[tag], vrs[tag] = keyword, vr
    return tags, vrs


def values_of(
    raw: Mapping[int, bytes], other_vrs: Mapping[int, bytes], *, little: bool = True
) -> dict[str, str | int]:
    """Convert bytes by tag to values by keyword; empty values and VRs other than text and numbers are left
    out.

    `other_vrs` names the VRs that are not the dictionary's. Text that cannot be decoded by the character set
    that the file declares is read as ISO 8859-1, so that different bytes stay different.
    """
    keywords, vrs = wanted_elements()
    encodings = _encodings(raw.get(CHARACTER_SET, b""))
    codec = encodings[0] if len(encodings) == 1 else ""
    values: dict[str, str | int] = {}
    for tag, data in raw.items():
        if not data or tag == CHARACTER_SET:
            continue
        vr = vrs[tag] if tag not in other_vrs else other_vrs[tag]
        if vr in _UNLOCALIZED:
            text = data.decode("latin-1").strip(" \0")
        elif vr in _LOCALIZED:
            if data.isascii() and b"\x1b" not in data:
                text = data.decode("latin-1").strip(" \0")
            else:
                text = _localized(data, encodings, codec).strip(" \0")
            if vr == b"PN" and text.endswith("="):
                text = _one_trimmed(text, is_name=True)
        else:
            if vr == b"US" and len(data) == 2:
                values[keywords[tag]] = int.from_bytes(data, "little" if little else "big")
            elif vr in _NUMBERS:
                _add_numbers(values, keywords[tag], data, ("<" if little else ">") + _NUMBERS[vr])
            continue
        if "\\" in text:
            text = _trimmed(text, is_name=vr == b"PN")
        if text:
            values[keywords[tag]] = text
    return values


def _trimmed(text: str, *, is_name: bool) -> str:
    """Each value without padding (PS3.5 6.2), and a name without its empty groups; nothing if all are
    empty.
    """
    parts = [_one_trimmed(part, is_name=is_name) for part in text.split("\\")]
    return "\\".join(parts) if any(parts) else ""


def _one_trimmed(text: str, *, is_name: bool) -> str:
    text = text.strip(" \0")
    return text.rstrip("=").strip(" \0") if is_name and text.endswith("=") else text


def _add_numbers(values: dict[str, str | int], keyword: str, data: bytes, code: str) -> None:
    size = struct.calcsize(code)
    numbers = [number for (number,) in struct.iter_unpack(code, data[: len(data) // size * size])]
    if len(numbers) == 1 and isinstance(numbers[0], int):
        values[keyword] = numbers[0]
    elif numbers:
        values[keyword] = "\\".join(map(str, numbers))


def _encodings(declared: bytes) -> list[str]:
    text = declared.decode("latin-1").strip(" \0")
    codec = _CODECS.get(text)
    if codec is not None:
        return [codec]
    from pydicom.charset import convert_encodings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            codecs = convert_encodings([part.strip(" \0") for part in text.split("\\")])
        except ValueError:
            codecs = []
    # pydicom accepts any codec of Python, some of which take quadratic time.
    return [codec if codec in _dicom_codecs() else "latin-1" for codec in codecs] or ["latin-1"]


@cache
def _dicom_codecs() -> frozenset[str]:
    from pydicom.charset import python_encoding

    return frozenset(python_encoding.values())


def _localized(data: bytes, encodings: list[str], codec: str) -> str:
    if codec and b"\x1b" not in data:
        try:
            return data.decode(codec)
        except (UnicodeDecodeError, LookupError):
            return data.decode("latin-1")
    from pydicom.charset import decode_bytes

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        text = decode_bytes(data, encodings, _DELIMITERS)
    # pydicom leaves the escape sequence of ISO 2022 IR 58 to Python's GB 2312, which does not know it.
    text = text.replace("\x1b$)A", "")
    return data.decode("latin-1") if "\ufffd" in text else text
