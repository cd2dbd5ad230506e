from __future__ import annotations

import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pydicom import dcmread
from pydicom.uid import UID

from medsiglip.ingest.files.walk import FoundFile, walk
from medsiglip.ingest.header.header import Header
from medsiglip.ingest.header.metadata import PictureMetadata
from medsiglip.ingest.privacy.deidentify import SecretKey
from medsiglip.ingest.reasons import REASONS, Rejected
from medsiglip.ingest.scan.scan import scan_file
from medsiglip.ingest.workers.render_files import Rendered, render_files
from tests.ingest.read_files import found_files

KEY = SecretKey(b"k" * 32)
PIXELS = np.arange(64, dtype=np.uint16).reshape(8, 8)
STORAGE = "1.2.840.10008.5.1.4.1.1."


def scan(path: Any, metadata: Any = None) -> Any:
    (found,) = found_files(path)
    return scan_file(found, KEY, metadata)


def code(path: Any) -> Any:
    scanned = scan(path)
    assert isinstance(scanned, Rejected), scanned
    return scanned.outcome, scanned.code


def test_header_of_a_dicom_image(tmp_path: Path, write_dicom: Any) -> None:
    path = write_dicom(
        tmp_path / "x",
        PIXELS,
        Modality="CT",
        PatientID="4711",
        IssuerOfPatientID="HOSPITAL",
        PatientSex="F",
        PatientBirthDate="19800615",
        StudyDescription="Thorax of Doe",
        SeriesDescription="B40f axial",
        ImagePositionPatient=[1, 2, 3],
        ImageOrientationPatient=[1, 0, 0, 0, 1, 0],
        BodyPartExamined="CHEST",
        LossyImageCompression="01",
        BurnedInAnnotation="YES",
    )
    header = scan(path)
    assert isinstance(header, Header)
    assert header.patient_key == KEY.patient_key("HOSPITAL", "4711")
    assert (header.patient_sex, header.patient_age, header.study_date) == ("F", 43.0, "2024-01-02")
    assert (header.study_description, header.series_description) == (None, "B40f axial")
    assert (header.position, header.orientation) == ((1.0, 2.0, 3.0), (1.0, 0.0, 0.0, 0.0, 1.0, 0.0))
    assert header.is_volume
    assert header.quality.items() >= {"bits_stored": 16.0, "burned_in": "yes", "lossy": 1}.items()


def test_nothing_of_a_header_names_the_patient(tmp_path: Path, write_dicom: Any) -> None:
    planted = ["Zaphod", "Beeblebrox", "19420101", "PID77777", "ACC88888", "Trillian", "Betelgeuse"]
    path = write_dicom(
        tmp_path / "x",
        PIXELS,
        PatientName="Beeblebrox^Zaphod",
        PatientBirthDate="19420101",
        PatientID="PID77777",
        AccessionNumber="ACC88888",
        ReferringPhysicianName="Trillian",
        PatientAddress="Betelgeuse 5",
        StudyDescription="chest ZAPHOD",
        SeriesDescription="seen by Trillian",
    )
    told = repr(scan(path))
    assert [word for word in planted if word.casefold() in told.casefold()] == []


def test_defined_terms_stay_though_the_patient_is_called_so(tmp_path: Path, write_dicom: Any) -> None:
    """Phantoms are called CT^Phantom, cases of research Breast_MRI_001, people Pa, and initials are L."""
    path = write_dicom(
        tmp_path / "x",
        PIXELS,
        PatientName="CT^Phantom^PA",
        PatientID="Breast_MRI_001",
        OtherPatientNames="Li^L^MONOCHROME2",
        Modality="CT",
        BodyPartExamined="BREAST",
        ViewPosition="PA",
        ImageLaterality="L",
    )
    header = scan(path)
    assert (header.modality, header.body_part_examined, header.view_position) == ("CT", "BREAST", "PA")
    assert (header.laterality, header.photometric_interpretation) == ("L", "MONOCHROME2")
    assert header.is_volume
    other = write_dicom(tmp_path / "y", PIXELS, PatientName="Phantom^Li", BodyPartExamined="PHANTOM")
    assert scan(other).body_part_examined is None


def test_blank_patient_id_makes_each_study_its_own_patient(tmp_path: Path, write_dicom: Any) -> None:
    keys = [
        scan(write_dicom(tmp_path / str(n), PIXELS, PatientID=blank, StudyInstanceUID=f"1.2.{n}")).patient_key
        for n, blank in enumerate(["", None, "  "])
    ]
    again = scan(write_dicom(tmp_path / "again", PIXELS, PatientID="", StudyInstanceUID="1.2.0")).patient_key
    assert len(set(keys)) == 3
    assert again == keys[0]


def test_missing_uids_come_from_the_content(tmp_path: Path, write_dicom: Any) -> None:
    without = dict.fromkeys(["SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID"])
    first = scan(write_dicom(tmp_path / "a", PIXELS, **without))
    same = scan(write_dicom(tmp_path / "b", PIXELS, **without))
    other = scan(write_dicom(tmp_path / "c", PIXELS + 1, **without))
    uids = [first.sop_instance_uid, first.series_instance_uid, first.study_instance_uid]
    assert all(uid.startswith("2.25.") and len(uid) <= 64 for uid in uids)
    assert len(set(uids)) == 3
    assert (same.sop_instance_uid, same.study_instance_uid) == (uids[0], uids[2])
    assert other.sop_instance_uid != uids[0]
    assert first.warnings == ("sop-instance-uid-derived",)


def test_a_lying_number_of_frames_is_bounded_by_the_file(tmp_path: Path, write_dicom: Any) -> None:
    path = write_dicom(tmp_path / "x", PIXELS, NumberOfFrames=2_000_000_000)
    assert scan(path).number_of_frames <= path.stat().st_size


def test_dicom_is_known_by_content_not_by_name(tmp_path: Path, write_dicom: Any) -> None:
    content = write_dicom(tmp_path / "x.dcm", PIXELS).read_bytes()
    for name in ("IM0001", "picture.png", "notes.txt"):
        (tmp_path / name).write_bytes(content)
        assert isinstance(scan(tmp_path / name), Header)


def test_dicom_without_preamble_or_meta_header(tmp_path: Path, make_dicom: Any) -> None:
    dataset = make_dicom(PIXELS)
    del dataset.file_meta
    path = tmp_path / "bare"
    dataset.save_as(path, implicit_vr=False, little_endian=True)
    header = scan(path)
    assert isinstance(header, Header)
    assert (header.rows, header.sop_instance_uid) == (8, "2.25.1")


@pytest.mark.parametrize(
    ("sop_class", "modality", "expected"),
    [
        (STORAGE + "88.11", "SR", "structured-report"),
        (STORAGE + "88.59", "KO", "key-object"),
        (STORAGE + "11.1", "PR", "presentation-state"),
        (STORAGE + "9.1.1", "ECG", "waveform"),
        (STORAGE + "66.4", "SEG", "segmentation"),
        (STORAGE + "66.7", "SEG", "segmentation"),
        (STORAGE + "66.1", "REG", "no-picture-class"),
        (STORAGE + "30", "OT", "parametric-map"),
        (STORAGE + "91.1", "ANN", "annotation"),
        (STORAGE + "481.2", "RTDOSE", "rt-dose"),
        (STORAGE + "481.3", "RTSTRUCT", "rt-object"),
        (STORAGE + "481.5", "RTPLAN", "rt-object"),
        (STORAGE + "481.10", "RTINTENT", "rt-object"),
        (STORAGE + "481.20", "RTRECORD", "rt-object"),
        (STORAGE + "104.1", "DOC", "encapsulated-document"),
        ("1.2.840.10008.1.3.10", None, "dicomdir"),
        (STORAGE + "2", "CT", "no-pixel-data"),
    ],
)
def test_dicom_without_a_picture_is_skipped(
    tmp_path: Path, write_dicom: Any, sop_class: Any, modality: Any, expected: Any
) -> None:
    has_pixels = expected in {"segmentation", "parametric-map", "rt-dose"}
    path = write_dicom(
        tmp_path / "x.dcm", PIXELS if has_pixels else None, SOPClassUID=sop_class, Modality=modality
    )
    assert code(path) == ("skipped", expected)


@pytest.mark.parametrize("sop_class", ["481.1", "481.23", "481.24"])
def test_rt_image_is_a_picture(tmp_path: Path, write_dicom: Any, sop_class: Any) -> None:
    path = write_dicom(tmp_path / "x.dcm", PIXELS, SOPClassUID=STORAGE + sop_class, Modality="RTIMAGE")
    assert isinstance(scan(path), Header)


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("notes.txt", b"hello", ("skipped", "not-an-image")),
        ("README", b"", ("skipped", "not-an-image")),
        ("scan.dcm", b"hello, I am text", ("quarantined", "not-dicom")),
        ("scan.DCM", b"", ("quarantined", "empty-file")),
        ("x.png", b"", ("quarantined", "empty-file")),
        ("x.png", b"\x89PNG\r\n\x1a\nnothing", ("quarantined", "undecodable-picture")),
        ("x.jpg", b"not a jpeg", ("quarantined", "undecodable-picture")),
        ("x.bin", b"BMnothing of the kind", ("skipped", "not-an-image")),
        ("x.dcm", b"\x89PNG\r\n\x1a\n" + b"x" * 200, ("quarantined", "not-dicom")),
        ("x.dcm", b"\0" * 128 + b"DICM" + b"\xff" * 100, ("quarantined", "unreadable-header")),
    ],
)
def test_what_is_not_an_image(tmp_path: Path, name: Any, content: Any, expected: Any) -> None:
    (tmp_path / name).write_bytes(content)
    assert code(tmp_path / name) == expected


def test_truncated_before_the_pixels(tmp_path: Path, write_dicom: Any) -> None:
    path = write_dicom(tmp_path / "x.dcm", PIXELS)
    content = path.read_bytes()
    path.write_bytes(content[: content.rindex(b"\xe0\x7f\x10\x00OW") - 3])
    assert code(path) == ("quarantined", "truncated")


@pytest.mark.parametrize("extension", ["png", "jpg", "tif", "bmp"])
def test_plain_pictures(tmp_path: Path, extension: Any) -> None:
    Image.fromarray(np.arange(600, dtype=np.uint8).reshape(20, 30)).save(tmp_path / f"x.{extension}")
    header = scan(tmp_path / f"x.{extension}")
    assert isinstance(header, Header)
    assert (header.kind, header.rows, header.columns, header.modality) == ("picture", 20, 30, "OT")
    assert header.sop_instance_uid.startswith("2.25.")


@pytest.mark.parametrize(
    ("name", "options", "is_lossy"),
    [
        ("x.jpg", {"quality": 20}, True),
        ("x.tif", {"compression": "jpeg"}, True),
        ("x.tif", {"compression": "tiff_lzw"}, False),
        ("x.tif", {}, False),
        ("x.png", {}, False),
    ],
)
def test_lossy_pictures_and_their_ratio(tmp_path: Path, name: Any, options: Any, is_lossy: Any) -> None:
    y, x = np.mgrid[:200, :300]
    pixels = np.stack([x % 256, y % 256, (x + y) % 256], axis=-1).astype(np.uint8)
    Image.fromarray(pixels).save(tmp_path / name, **options)
    quality = scan(tmp_path / name).quality
    ratio = pixels.nbytes / (tmp_path / name).stat().st_size if is_lossy else 1.0
    assert quality["lossy"] == is_lossy
    assert quality["lossy_ratio"] == pytest.approx(ratio, abs=0.005)
    assert (ratio > 5) == is_lossy


def test_metadata_stands_in_for_a_header(tmp_path: Path) -> None:
    for name, value in (("a", 1), ("b", 2), ("c", 3)):
        Image.new("L", (4, 4), value).save(tmp_path / f"{name}.png")
    given = PictureMetadata("P1", "S1", "DX", "CHEST", "PA", 61.0, "F", "train")
    a, b = (scan(tmp_path / f"{name}.png", given) for name in "ab")
    c = scan(tmp_path / "c.png")
    assert a.study_instance_uid == b.study_instance_uid != c.study_instance_uid
    assert a.patient_key == b.patient_key == KEY.patient_key("", "P1") != c.patient_key
    assert (a.modality, a.body_part_examined, a.view_position) == ("DX", "CHEST", "PA")
    assert (a.patient_age, a.patient_sex) == (61.0, "F")
    assert a.quality["split"] == "train"
    assert "S1" not in a.study_instance_uid


def test_every_reason_is_a_sentence_with_a_stable_code() -> None:
    for name, (outcome, text) in REASONS.items():
        assert name == name.lower().replace("_", "-")
        assert outcome in {"skipped", "quarantined"}
        assert Rejected("/x", name).reason == f"The file {text}."


def test_what_is_wrong_with_a_picture_is_told_by_its_code_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Pillow writes an error to the log of whoever has one, else to the terminal."""
    path = tmp_path / "x.tif"
    Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(path)
    three, many = (b"\x15\1\3\0\1\0\0\0" + n.to_bytes(4, "little") for n in (3, 10_825))
    assert path.read_bytes().count(three) == 1
    path.write_bytes(path.read_bytes().replace(three, many))
    (found,) = found_files(path)
    assert scan_file(found, KEY) == Rejected(str(path), "undecodable-picture")
    assert caplog.messages == []


@pytest.mark.parametrize("name", ["._a.dcm", "._a.png", "._a.nii.gz", "._a.mha", "._a", "._a.zip", "._a.7z"])
def test_what_macos_keeps_beside_a_file_is_skipped(tmp_path: Path, write_dicom: Any, name: str) -> None:
    """AppleDouble: RFC 1740, appendix B."""
    write_dicom(tmp_path / "a.dcm", PIXELS)
    for content in (b"\0\5\x16\7\0\2\0\0Mac OS X        ", b""):
        (tmp_path / name).write_bytes(content)
        assert code(tmp_path / name) == ("skipped", "apple-double")
        with zipfile.ZipFile(tmp_path / "packed.zip", "w") as packed:
            packed.writestr(f"__MACOSX/b/{name}", content)
            packed.write(tmp_path / "a.dcm", "b/a.dcm")
        inside = [
            scan_file(one, KEY) for one in walk([tmp_path / "packed.zip"]) if isinstance(one, FoundFile)
        ]
        assert [getattr(one, "code", "image") for one in inside] == ["apple-double", "image"]
        (tmp_path / "packed.zip").unlink()


def test_an_image_of_such_a_name_is_read(tmp_path: Path, write_dicom: Any) -> None:
    assert isinstance(scan(write_dicom(tmp_path / "._a.dcm", PIXELS)), Header)
    (tmp_path / "._b.dcm").write_bytes(b"x" * 200)
    assert code(tmp_path / "._b.dcm") == ("quarantined", "not-dicom")


@pytest.mark.parametrize("blank", [b"  ", b"\0\0", b"??"])
@pytest.mark.parametrize("tag", [0x00280120, 0x00131001])
def test_an_element_without_a_vr_is_walked_past(
    tmp_path: Path, write_dicom: Any, blank: Any, tag: int
) -> None:
    """Pixel Padding Value and a private element: tag, no VR, and a length of two bytes."""
    path = write_dicom(tmp_path / "a.dcm", PIXELS, PixelPaddingValue=0)
    whole = path.read_bytes()
    odd = struct.pack("<HH2sH", tag >> 16, tag & 0xFFFF, blank, 2) + b"\1\0"
    padding = struct.pack("<HH2sHH", 0x0028, 0x0120, b"US", 2, 0)
    at = (
        whole.index(padding)
        if tag == 0x00280120
        else whole.index(struct.pack("<HH2s", 0x0020, 0x000D, b"UI"))
    )
    end = at + len(padding) if tag == 0x00280120 else at
    path.write_bytes(whole[:at] + odd + whole[end:])
    header = scan(path)
    assert isinstance(header, Header)
    (image,) = render_files([path])
    assert isinstance(image, Rendered)
    pixels = path.read_bytes()
    path.write_bytes(pixels[: pixels.rindex(struct.pack("<HH", 0x7FE0, 0x0010))])
    assert code(path) == ("skipped", "no-pixel-data")
    path.write_bytes(pixels[: pixels.rindex(odd) + len(odd) - 1])
    assert code(path) == ("quarantined", "truncated")


def test_a_real_file_with_an_element_without_a_vr(test_data: Path) -> None:
    assert code(test_data / "dicom" / "fo-dicom" / "GH179A.dcm") == ("skipped", "no-pixel-data")


@pytest.mark.parametrize("implicit", [False, True])
def test_a_private_compression_is_told_as_such(tmp_path: Path, write_dicom: Any, implicit: bool) -> None:
    dataset = dcmread(write_dicom(tmp_path / "a.dcm", PIXELS, Modality="CT"))
    del dataset.PixelData
    block = dataset.private_block(0x07A1, "ELSCINT1", create=True)
    block.add_new(0x0A, "OB", bytes(64))
    block.add_new(0x11, "CS", "PMSCT_RLE1")
    if implicit:
        dataset.file_meta.TransferSyntaxUID = UID("1.2.840.10008.1.2")
    dataset.save_as(tmp_path / "a.dcm", implicit_vr=implicit, little_endian=True)
    assert code(tmp_path / "a.dcm") == ("quarantined", "private-compression")
    assert "PMSCT_RLE1" in Rejected("/x", "private-compression").reason
    assert "fetch" not in Rejected("/x", "private-compression").reason


@pytest.mark.parametrize("sop_class", [STORAGE + "4.2", "1.3.46.670589.11.0.0.12.1"])
def test_spectra_are_told_as_such(tmp_path: Path, write_dicom: Any, sop_class: str) -> None:
    dataset = dcmread(write_dicom(tmp_path / "a.dcm", PIXELS, Modality="MR", SOPClassUID=sop_class))
    del dataset.PixelData
    dataset.SpectroscopyData = bytes(64)
    dataset.save_as(tmp_path / "a.dcm")
    assert code(tmp_path / "a.dcm") == ("skipped", "spectroscopy")
    assert "fetch" not in Rejected("/x", "spectroscopy").reason
