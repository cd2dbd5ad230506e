"""Icons whose stated lengths leave out parts of their compressed frame (as pydicom issue 2324 has them)."""

from __future__ import annotations

import struct
from pathlib import Path

import jpeg_ls
import numpy as np
import pytest
from pydicom import Dataset, dcmread
from pydicom.encaps import encapsulate
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset

from medsiglip.ingest.header.elements import read_elements
from medsiglip.ingest.header.header_values import PIXELS
from medsiglip.ingest.pixels.decode import frames, open_dataset
from medsiglip.ingest.workers.render_files import Rendered, render_files

VALUES = np.arange(256, dtype=np.uint8).reshape(16, 16)


def file_with_icon(path: Path, short: int, *, implicit: bool = False, undefined: bool = False) -> Path:
    """A file whose icon's lengths, of the sequence and of its item, are `short` bytes too small."""
    icon = Dataset()
    icon.Rows = icon.Columns = 2
    icon.BitsAllocated = 8
    icon.PixelData = encapsulate([bytes(30), bytes(6)]) if not implicit else bytes(50)
    if not implicit:
        icon["PixelData"].VR, icon["PixelData"].is_undefined_length = "OB", True
    item = DicomBytesIO()
    item.is_implicit_VR, item.is_little_endian = implicit, True
    write_dataset(item, icon)
    content = item.getvalue()
    header = struct.pack("<HHI", 0xFFFE, 0xE000, len(content) - short)
    length = 0xFFFFFFFF if undefined else len(content) + 8 - short
    tag = struct.pack("<HH", 0x0088, 0x0200) + (b"" if implicit else b"SQ\0\0") + struct.pack("<I", length)
    end = struct.pack("<HHI", 0xFFFE, 0xE0DD, 0) if undefined else b""

    dataset = Dataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.7", "1.2.3"
    dataset.Modality, dataset.Rows, dataset.Columns = "OT", 16, 16
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated = dataset.BitsStored = 8
    dataset.HighBit, dataset.PixelRepresentation = 7, 0
    dataset.PixelData = VALUES.tobytes()
    syntax = "1.2.840.10008.1.2" if implicit else "1.2.840.10008.1.2.1"
    dataset.ensure_file_meta()
    dataset.file_meta.TransferSyntaxUID = syntax  # type: ignore[assignment]
    dataset.save_as(path, implicit_vr=implicit, little_endian=True, enforce_file_format=True)
    whole = path.read_bytes()
    pixels = whole.rindex(struct.pack("<HH", 0x7FE0, 0x0010))
    path.write_bytes(whole[:pixels] + tag + header + content + end + whole[pixels:])
    return path


@pytest.mark.parametrize("short", [0, 8, 16, 24, 40])
def test_the_image_after_an_icon_is_whole(tmp_path: Path, short: int) -> None:
    path = file_with_icon(tmp_path / "a.dcm", short)
    assert read_elements(str(path)).ending == PIXELS
    np.testing.assert_array_equal(next(frames(open_dataset(str(path)), [0])), VALUES)
    if not short:
        np.testing.assert_array_equal(dcmread(path).pixel_array, VALUES)


@pytest.mark.parametrize(("implicit", "undefined"), [(True, False), (False, True), (True, True)])
def test_sound_icons_are_read_as_before(tmp_path: Path, implicit: bool, undefined: bool) -> None:
    path = file_with_icon(tmp_path / "a.dcm", 0, implicit=implicit, undefined=undefined)
    assert read_elements(str(path)).ending == PIXELS
    np.testing.assert_array_equal(next(frames(open_dataset(str(path)), [0])), VALUES)


def test_the_case(test_cases: Path) -> None:
    """The stored values after the icon, decoded by another library from the codestream."""
    path = test_cases / "dicom" / "inputs" / "icon_under24.dcm"
    (image,) = render_files([path])
    assert isinstance(image, Rendered)
    content = path.read_bytes()
    start = content.index(b"\xff\xd8\xff\xe8")  # SPIFF, as CharLS writes; the icon is a JPEG
    assert 0 < content.index(b"\xff\xd8\xff") < start
    outer = jpeg_ls.decode(np.frombuffer(content[start : content.rindex(b"\xff\xd9") + 2], np.uint8))
    np.testing.assert_array_equal(next(frames(open_dataset(str(path)), [0])), outer)
