"""None"""

from __future__ import annotations

import io
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread
from pydicom.multival import MultiValue
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian, ImplicitVRLittleEndian

from medsiglip.ingest.dicom.transfer_syntaxes import DEFLATED
from medsiglip.ingest.header.elements import pydicom_elements, read_elements
from medsiglip.ingest.header.fast_header import fast_elements
from medsiglip.ingest.header.header_values import (
    COMPLETE,
    CUT,
    KEYWORDS,
    META_KEYWORDS,
    PIXELS,
)
from tests.ingest.header.header_cases import (
    PIXEL_VALUES,
    as_file,
    rich,
)

# A sequence of VR UN, little endian as such are, in a big endian file (PS3.5 6.2.2).
PYDICOM_GIVES_UP = "GH177_D_CLUNIE_CT1_IVRLE_BigEndian_undefined_length.dcm"
# pydicom takes an element of blank VR for one of 139,296 bytes.
PYDICOM_READS_ON = "GH179A.dcm"


@pytest.mark.parametrize("syntax", [None, ImplicitVRLittleEndian])
def test_the_fast_reader_agrees_with_pydicom(tmp_path: Path, make_dicom: Any, syntax: Any) -> None:
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
def test_other_encodings_give_equal_values(tmp_path: Path, make_dicom: Any, syntax: Any) -> None:
    plain = read_elements(str(as_file(tmp_path, make_dicom(PIXEL_VALUES))))
    dataset = make_dicom(PIXEL_VALUES)
    dataset.file_meta.TransferSyntaxUID = syntax
    stream = io.BytesIO()
    dataset.save_as(
        stream, implicit_vr=False, little_endian=syntax != ExplicitVRBigEndian, enforce_file_format=True
    )
    path = tmp_path / "other.dcm"
    path.write_bytes(stream.getvalue())
    found = read_elements(str(path))
    assert found.ending == PIXELS
    assert {**found.values, "TransferSyntaxUID": ""} == {**plain.values, "TransferSyntaxUID": ""}


@pytest.mark.parametrize("implicit", [True, False])
@pytest.mark.parametrize("little", [True, False])
def test_no_preamble_and_no_meta_information(
    tmp_path: Path, make_dicom: Any, implicit: Any, little: Any
) -> None:
    if implicit and not little:
        pytest.skip("implicit VR is little endian alone")
    plain = read_elements(str(as_file(tmp_path, make_dicom(PIXEL_VALUES))))
    dataset = make_dicom(PIXEL_VALUES)
    del dataset.file_meta
    dataset.save_as(tmp_path / "bare", implicit_vr=implicit, little_endian=little)
    found = read_elements(str(tmp_path / "bare"))
    with (tmp_path / "bare").open("rb") as file:
        assert found == pydicom_elements(file)
    assert found.ending == PIXELS
    assert {k: v for k, v in plain.values.items() if k not in META_KEYWORDS} == found.values


def test_a_preamble_that_is_a_tiff_header_is_dicom(tmp_path: Path, make_dicom: Any) -> None:
    path = as_file(tmp_path, make_dicom(PIXEL_VALUES))
    plain = read_elements(str(path))
    path.write_bytes(b"II*\0\x90\1\0\0" + path.read_bytes()[8:])
    assert read_elements(str(path)) == plain


@pytest.mark.parametrize(
    ("character_set", "name"),
    [
        ("ISO_IR 100", "Müller^Zoë"),
        ("ISO_IR 192", "山田^太郎"),
        ("ISO_IR 144", "Люкceмбypг"),
        ("GB18030", "王^小东"),
        (["", "ISO 2022 IR 87"], "Yamada^Tarou=山田^太郎=やまだ^たろう"),
        (["", "ISO 2022 IR 149"], "Hong^Gildong=洪^吉洞=홍^길동"),
        (["ISO 2022 IR 100", "ISO 2022 IR 144"], "Jürgen^Люк"),
    ],
)
def test_character_sets_are_decoded_as_pydicom_does(
    tmp_path: Path, make_dicom: Any, character_set: Any, name: Any
) -> None:
    path = as_file(
        tmp_path,
        make_dicom(PIXEL_VALUES, SpecificCharacterSet=character_set, PatientName=name, PatientID=name),
    )
    dataset = dcmread(path)
    with path.open("rb") as file:
        found = fast_elements(file)
    assert found is not None
    assert (found.values["PatientName"], found.values["PatientID"]) == (name, dataset.PatientID)
    assert str(dataset.PatientName) == name


@pytest.mark.parametrize("character_set", ["ISO_IR 192", "GB18030", ["", "ISO 2022 IR 87"], "ISO_IR 6", None])
def test_different_bytes_stay_different_under_a_character_set_that_is_wrong(
    tmp_path: Path, make_dicom: Any, character_set: Any
) -> None:
    found = []
    for wrong in (b"M\xfcller", b"M\xfdller", b"M\x1b\x24\x42\xff\xf0", b"M\x1b\x24\x42\xff\xf2"):
        dataset = make_dicom(PIXEL_VALUES, SpecificCharacterSet=character_set, PatientID="X" * len(wrong))
        path = as_file(tmp_path, dataset)
        path.write_bytes(path.read_bytes().replace(b"X" * len(wrong), wrong))
        found.append(read_elements(str(path)).values["PatientID"])
    assert len(set(found)) == 4


def test_endings(tmp_path: Path, make_dicom: Any) -> None:
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


def test_every_cut_of_a_header_is_survived(tmp_path: Path, make_dicom: Any) -> None:
    path = as_file(tmp_path, make_dicom(PIXEL_VALUES, PatientAge="001Y"))
    content = path.read_bytes()
    whole = read_elements(str(path)).values
    for end in range(132, len(content), 7):
        path.write_bytes(content[:end])
        with path.open("rb") as file:
            found = fast_elements(file)
        if found is not None:
            assert found.values.items() <= whole.items()


def as_pydicom_tells(path: Any) -> dict[str, str]:
    """Every wanted value by pydicom's own conversion; what it cannot convert is left out."""
    dataset, found = dcmread(path, force=True, stop_before_pixels=True), {}
    for keyword in KEYWORDS:
        try:
            value = (dataset.file_meta if keyword in META_KEYWORDS else dataset).get(keyword)
        except Exception:
            continue
        parts = value if isinstance(value, MultiValue) else [value]
        text = "\\".join("" if part is None else str(part).strip(" \0") for part in parts)
        if text.strip("\\"):
            found[keyword] = text
    return found


@pytest.mark.skipif(not shutil.which("dcmconv"), reason="DCMTK's dcmconv is not installed")
def test_a_header_that_pydicom_gives_up_is_that_of_dcmtk(test_data: Path, tmp_path: Path) -> None:
    source, plain = test_data / "dicom/fo-dicom" / PYDICOM_GIVES_UP, tmp_path / "x.dcm"
    subprocess.run(["dcmconv", "--quiet", "+ti", source, plain], check=True, capture_output=True, timeout=60)
    with source.open("rb") as mine, plain.open("rb") as theirs:
        found, wanted = fast_elements(mine), pydicom_elements(theirs)
    assert found is not None
    assert found.ending == wanted.ending
    assert {**found.values, "TransferSyntaxUID": ""} == {**wanted.values, "TransferSyntaxUID": ""}


@pytest.mark.filterwarnings("ignore::UserWarning:pydicom")
def test_real_headers(test_data: Path) -> None:
    """The two readers agree on every file, and with the values that pydicom itself makes of the bytes."""
    compared = 0
    for path in sorted(p for p in (test_data / "dicom").rglob("*") if p.is_file()):
        if path.name == PYDICOM_GIVES_UP:
            continue
        with path.open("rb") as file:
            fast = fast_elements(file)
            if fast is None or fast.ending == CUT:
                continue
            if path.name == PYDICOM_READS_ON:
                slow = pydicom_elements(file)
                assert (fast.ending, slow.ending, fast.values) == (COMPLETE, CUT, slow.values)
            elif fast.values.get("TransferSyntaxUID") != DEFLATED:
                assert fast == pydicom_elements(file), path
        told = as_pydicom_tells(path)
        assert {k: str(v) for k, v in fast.values.items() if k in told} == told, path
        compared += 1
    assert compared > 400
