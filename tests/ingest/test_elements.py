from __future__ import annotations

import io

import numpy as np
import pytest
from pydicom import Dataset, dcmread
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian, ImplicitVRLittleEndian

from ingest._fast_header import fast_elements
from ingest.elements import COMPLETE, CUT, PIXELS, pydicom_elements, read_elements

PIXEL_VALUES = np.arange(64, dtype=np.uint16).reshape(8, 8)


def rich(make_dicom):
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


def as_file(tmp_path, dataset, syntax=None):
    path = tmp_path / "file.dcm"
    if syntax is not None:
        dataset.file_meta.TransferSyntaxUID = syntax
    dataset.save_as(path, enforce_file_format=True)
    return path


@pytest.mark.parametrize("syntax", [None, ImplicitVRLittleEndian])
def test_the_fast_reader_agrees_with_pydicom(tmp_path, make_dicom, syntax):
    path = as_file(tmp_path, rich(make_dicom), syntax)
    with path.open("rb") as file:
        fast = fast_elements(file)
        file.seek(0)
        slow = pydicom_elements(file)
    assert fast is not None
    assert fast == slow
    assert fast.ending == PIXELS
    assert fast.values["ImageType"] == "DERIVED\\\\AXIAL"
    assert fast.values["PatientName"] == "Müller^Zoë"
    assert fast.values["StudyDescription"] == "Thorax"
    assert fast.values["ImagePositionPatient"] == "-1.5\\2.0\\3.25"
    assert (fast.values["Rows"], fast.values["SOPInstanceUID"]) == (8, "2.25.1")


@pytest.mark.parametrize("syntax", [ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian])
def test_other_encodings_fall_back_with_equal_values(tmp_path, make_dicom, syntax):
    plain = read_elements(str(as_file(tmp_path, make_dicom(PIXEL_VALUES))))
    dataset = make_dicom(PIXEL_VALUES)
    dataset.file_meta.TransferSyntaxUID = syntax
    stream = io.BytesIO()
    dataset.save_as(
        stream, implicit_vr=False, little_endian=syntax != ExplicitVRBigEndian, enforce_file_format=True
    )
    path = tmp_path / "other.dcm"
    path.write_bytes(stream.getvalue())
    with path.open("rb") as file:
        assert fast_elements(file) is None
    found = read_elements(str(path))
    assert found.ending == PIXELS
    assert {**found.values, "TransferSyntaxUID": ""} == {**plain.values, "TransferSyntaxUID": ""}


def test_character_sets_with_escapes_fall_back(tmp_path, make_dicom):
    dataset = make_dicom(
        PIXEL_VALUES, SpecificCharacterSet=["", "ISO 2022 IR 87"], PatientName="Yamada^Tarou=山田^太郎"
    )
    path = as_file(tmp_path, dataset)
    with path.open("rb") as file:
        assert fast_elements(file) is None
    assert read_elements(str(path)).values["PatientName"] == str(dcmread(path).PatientName)


def test_endings(tmp_path, make_dicom):
    dataset = rich(make_dicom)
    path = as_file(tmp_path, dataset)
    content = path.read_bytes()
    start = content.rindex(b"\xe0\x7f\x10\x00OW")
    assert read_elements(str(path)).ending == PIXELS
    path.write_bytes(content[:start])
    assert read_elements(str(path)).ending == COMPLETE
    path.write_bytes(content[: start - 5])
    assert read_elements(str(path)).ending == CUT
    path.write_bytes(content[: start + 40])
    assert read_elements(str(path)).ending == PIXELS


def test_every_cut_of_a_header_is_survived(tmp_path, make_dicom):
    path = as_file(tmp_path, make_dicom(PIXEL_VALUES, PatientAge="001Y"))
    content = path.read_bytes()
    whole = read_elements(str(path)).values
    for end in range(132, len(content), 7):
        path.write_bytes(content[:end])
        with path.open("rb") as file:
            found = fast_elements(file)
        if found is not None:
            assert found.values.items() <= whole.items()


@pytest.mark.filterwarnings("ignore::UserWarning:pydicom")
def test_real_headers(test_data):
    compared = 0
    for path in sorted(p for p in (test_data / "dicom").rglob("*") if p.is_file()):
        with path.open("rb") as file:
            fast = fast_elements(file)
            if fast is None:
                continue
            file.seek(0)
            assert fast == pydicom_elements(file), path
            compared += 1
    assert compared > 300
