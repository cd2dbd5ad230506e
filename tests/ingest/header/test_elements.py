from __future__ import annotations

import contextlib
import io
import shutil
import struct
import subprocess
import tracemalloc
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import Dataset, dcmread
from pydicom.multival import MultiValue
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian, ImplicitVRLittleEndian

from medsiglip.ingest.errors import DecodeError
from medsiglip.ingest.header import fast_header
from medsiglip.ingest.header.elements import (
    COMPLETE,
    CUT,
    DEFLATED,
    KEYWORDS,
    META_KEYWORDS,
    PIXELS,
    HeaderRefusedError,
    pydicom_elements,
    read_elements,
)
from medsiglip.ingest.header.fast_header import MAX_DEPTH, SHORT_VRS, fast_elements
from medsiglip.ingest.header.header_values import wanted_elements
from medsiglip.ingest.pixels import dataset_file
from medsiglip.ingest.pixels.decode import open_dataset
from medsiglip.ingest.scan.scan import quiet

# A sequence of VR UN, little endian as such are, in a big endian file (PS3.5 6.2.2).
PYDICOM_GIVES_UP = "GH177_D_CLUNIE_CT1_IVRLE_BigEndian_undefined_length.dcm"
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


@pytest.mark.parametrize(
    "between",
    [
        nested(MAX_DEPTH - 1, inner=ROWS),
        element(0x00081140, b"UN", ITEM + struct.pack("<HHI", 8, 0x18, 6) + b"9.9.9\0", UNDEFINED_LENGTH)
        + ITEM_END
        + SEQUENCE_END,
        element(0x00081140, b"SQ", ITEM + struct.pack("<HHI", 8, 0x18, 6) + b"9.9.9\0", UNDEFINED_LENGTH)
        + ITEM_END
        + SEQUENCE_END,
        element(0x00081140, b"SQ", SEQUENCE_END, UNDEFINED_LENGTH),
        element(0x00091010, b"OB", bytes(100_001)),
        element(0x00080000, b"UL", b"\xff\xff\xff\x7f")[:0] + element(0x00090000, b"UL", b"\xff\xff\0\0"),
    ],
    ids=[
        "deep",
        "UN with implicit items",
        "implicit within explicit",
        "no items",
        "long",
        "group length lies",
    ],
)
def test_odd_elements_on_the_way_are_walked_past(tmp_path: Path, between: Any) -> None:
    path = as_explicit(tmp_path, UID + between + ROWS + PIXEL_ELEMENT)
    with path.open("rb") as file:
        found = fast_elements(file)
        assert found == pydicom_elements(file)
    assert found.ending == PIXELS
    assert (found.values["SOPInstanceUID"], found.values["Rows"]) == ("1.2.3", 7)


def test_pixel_data_before_other_elements_end_the_header(tmp_path: Path) -> None:
    path = as_explicit(tmp_path, UID + PIXEL_ELEMENT + ROWS + PIXEL_ELEMENT)
    found = read_elements(str(path))
    assert (found.ending, found.values["SOPInstanceUID"], "Rows" in found.values) == (PIXELS, "1.2.3", False)


@pytest.mark.parametrize("depth", [MAX_DEPTH + 1, 10_000])
@pytest.mark.parametrize("tag", [0x00081140, 0x00091010])
def test_sequences_nested_too_deep_are_refused(tmp_path: Path, depth: Any, tag: Any) -> None:
    path = as_explicit(tmp_path, UID + nested(depth, tag) + ROWS + PIXEL_ELEMENT)
    with pytest.raises(HeaderRefusedError) as caught:
        read_elements(str(path))
    assert caught.value.code == "nested-too-deep"


def test_pydicom_is_not_led_into_recursion(tmp_path: Path) -> None:
    """An unknown VR sends the header to pydicom."""
    path = as_explicit(tmp_path, element(0x00080005, b"CS", b"") + b"\x08\0\x06\0ZZ\0\0" + nested(10_000))
    with path.open("rb") as file:
        assert fast_elements(file) is None
    with pytest.raises(HeaderRefusedError) as caught:
        read_elements(str(path))
    assert caught.value.code == "nested-too-deep"


def peak_memory(call: Any) -> int:
    tracemalloc.start()
    try:
        with contextlib.suppress(HeaderRefusedError):
            call()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_a_header_of_any_length_takes_little_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fast_header, "MAX_HEADER", 1 << 20)
    read_elements(str(as_explicit(tmp_path, UID + PIXEL_ELEMENT)))
    private = b"".join(element(0x00091000 + n, b"OB", bytes(3 << 20)) for n in range(10))
    short = nested(1, inner=element(0x00280010, b"US", b"\7\0") * (3 << 17))
    for between in (private, short, element(0x00100020, b"LO", b"") + private):
        path = as_explicit(tmp_path, UID + between + ROWS + PIXEL_ELEMENT)
        assert peak_memory(lambda path=path: read_elements(str(path))) < 4 << 20


def test_a_deflated_header_is_inflated_no_further_than_it_has_to_be(tmp_path: Path) -> None:
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    data = packer.compress(UID + ROWS + element(0x7FE00010, b"OW", b"", 1 << 24)[:12] + bytes(1 << 24))
    path = as_explicit(tmp_path, data + packer.flush(), DEFLATED.encode())
    assert peak_memory(lambda: read_elements(str(path))) < 4 << 20
    assert read_elements(str(path)).values["Rows"] == 7


def test_a_deflated_file_that_inflates_to_far_too_much_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dataset_file, "MAX_INFLATED", 1 << 20)
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    data = packer.compress(UID + ROWS + element(0x7FE00010, b"OW", bytes(1 << 24))) + packer.flush()
    path = as_explicit(tmp_path, data, DEFLATED.encode())
    with pytest.raises(DecodeError) as caught:
        open_dataset(str(path))
    assert caught.value.code == "picture-too-large"


def test_a_deflated_file_is_read_whole_as_pydicom_reads_it(tmp_path: Path, make_dicom: Any) -> None:
    path = as_file(tmp_path, rich(make_dicom), DeflatedExplicitVRLittleEndian)
    ours, peer = open_dataset(str(path)), dcmread(path)
    assert ours == peer
    assert ours.file_meta.TransferSyntaxUID == DEFLATED
    assert ours.original_encoding == peer.original_encoding


values = st.one_of(
    st.tuples(
        st.sampled_from([b"LO", b"SH", b"PN", b"CS", b"UI", b"DS", b"IS", b"UT"]), st.binary(max_size=24)
    ),
    st.tuples(st.sampled_from([b"US", b"FD", b"UL"]), st.binary(max_size=3).map(lambda b: b * 8)),
)
TAGS = sorted(tag for tag in wanted_elements()[0] if tag >> 16 > 2)
SETS = [b"", b"ISO_IR 100", b"ISO_IR 192", b"GB18030", b"\\ISO 2022 IR 87", b"ISO_IR 999"]


@st.composite
def headers(draw: Any) -> bytes:
    """Elements in order, each wanted one with a VR and bytes of any kind, and sequences between them."""
    parts = [(0x00080005, element(0x00080005, b"CS", draw(st.sampled_from(SETS))))]
    for tag in sorted(draw(st.sets(st.sampled_from(TAGS), max_size=8))):
        vr, value = draw(values)
        parts.append((tag, element(tag, vr, value)))
        if draw(st.booleans()):
            depth = draw(st.integers(1, 3))
            parts.append((0x00091010 + len(parts), nested(depth, inner=element(tag, vr, value))))
    return b"".join(part for _, part in sorted(parts))


@given(headers(), st.booleans(), st.integers(0, 60))
@settings(max_examples=100, deadline=None)
def test_both_readers_agree_on_made_headers(data: Any, has_pixels: Any, cut: Any) -> None:
    """What is cut off is not compared: pydicom takes the end of the file for the end of the data set."""
    content = bytes(128) + b"DICM" + element(0x00020010, b"UI", b"1.2.840.10008.1.2.1\0") + data
    file = io.BytesIO(content + PIXEL_ELEMENT if has_pixels else content[: len(content) - cut])
    with quiet():
        fast = fast_elements(file)
        if fast is not None and fast.ending != CUT:
            assert fast == pydicom_elements(file)


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
            if fast.values.get("TransferSyntaxUID") != DEFLATED:
                assert fast == pydicom_elements(file), path
        told = as_pydicom_tells(path)
        assert {k: str(v) for k, v in fast.values.items() if k in told} == told, path
        compared += 1
    assert compared > 400
