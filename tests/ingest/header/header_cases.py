"""Headers of DICOM files, written element by element."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
from pydicom import Dataset

from medsiglip.ingest.header.fast_header import SHORT_VRS

PIXEL_VALUES = np.arange(64, dtype=np.uint16).reshape(8, 8)


def rich(make_dicom: Any) -> Any:
    """A header with what makes walking hard: nested, private, undefined-length and long elements."""
    dataset = make_dicom(
        PIXEL_VALUES,
        ImageType=["DERIVED", "", "AXIAL"],
        ImagePositionPatient=[-1.5, 2, 3.25],
        ImageOrientationPatient=[1, 0, 0, 0, 1, 0],
        PatientAge="061Y",
        PatientName="Müller^Zoë",
        SpecificCharacterSet="ISO_IR 100",
        StudyDescription=" Thorax ",
        WindowCenter=[40, 50],
        NumberOfFrames=1,
        OtherPatientIDs=None,
    )
    inner = Dataset()
    inner.SOPInstanceUID = "9.9.9"
    inner.Rows = 999
    outer = Dataset()
    outer.ReferencedImageSequence = [inner, Dataset()]
    outer["ReferencedImageSequence"].is_undefined_length = True
    dataset.ReferencedStudySequence = [outer]
    dataset["ReferencedStudySequence"].is_undefined_length = True
    dataset.AnatomicRegionSequence = [inner]
    block = dataset.private_block(0x0029, "TEST", create=True)
    block.add_new(0x10, "OB", b"\x01" * 70001)
    block.add_new(0x11, "UN", b"\x00\x01\x02\x03")
    return dataset


def as_file(tmp_path: Path, dataset: Any, syntax: Any = None) -> Any:
    path = tmp_path / "file.dcm"
    if syntax is not None:
        dataset.file_meta.TransferSyntaxUID = syntax
    dataset.save_as(path, enforce_file_format=True)
    return path


def element(tag: int, vr: bytes, value: bytes, length: int | None = None) -> bytes:
    """An element of explicit VR little endian."""
    start = struct.pack("<HH2s", tag >> 16, tag & 0xFFFF, vr)
    length = len(value) if length is None else length
    return start + (struct.pack("<H", length) if vr in SHORT_VRS else struct.pack("<HI", 0, length)) + value


def as_explicit(tmp_path: Path, dataset: bytes, syntax: bytes = b"1.2.840.10008.1.2.1\0") -> Any:
    path = tmp_path / "made.dcm"
    path.write_bytes(bytes(128) + b"DICM" + element(0x00020010, b"UI", syntax) + dataset)
    return path


UID = element(0x00080018, b"UI", b"1.2.3\0")

ROWS = element(0x00280010, b"US", b"\7\0")

PIXEL_ELEMENT = element(0x7FE00010, b"OW", b"\0\0")


UNDEFINED_LENGTH = 0xFFFFFFFF
ITEM, ITEM_END, SEQUENCE_END = (
    struct.pack("<HHI", 0xFFFE, e, n) for e, n in ((0xE000, UNDEFINED_LENGTH), (0xE00D, 0), (0xE0DD, 0))
)


def nested(depth: int, tag: int = 0x00081140, inner: bytes = b"") -> bytes:
    opening = element(tag, b"SQ", b"", UNDEFINED_LENGTH) + ITEM
    return opening * depth + inner + (ITEM_END + SEQUENCE_END) * depth
