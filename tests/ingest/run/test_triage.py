"""What a second look at files costs and finds: archives, copies, tables of contents."""

from __future__ import annotations

import os
import shutil
import struct
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import Dataset
from pydicom.tag import Tag

from medsiglip.index.case_index import CaseIndex
from medsiglip.ingest.errors import InterruptedIngestError
from medsiglip.ingest.privacy.deidentify import SecretKey
from medsiglip.ingest.run import triage
from medsiglip.ingest.workers.render_files import Rendered, render_files
from tests.ingest.read_files import headers_of
from tests.ingest.run.run_cases import PIXELS, codes

KEY = SecretKey(b"k" * 32)


def pack(path: Any, folder: Any) -> Any:
    """Everything in `folder` as one archive of the kind that the name says, `.zip.tar` a zip in a tar."""
    if path.name.endswith(".zip.tar"):
        inner = folder.parent / "inner"
        inner.mkdir()
        pack(inner / "in.zip", folder)
        folder = inner
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
            for file in sorted(p for p in folder.rglob("*") if p.is_file()):
                packed.write(file, file.relative_to(folder))
    else:
        with tarfile.open(path, "w:gz" if path.suffix in (".gz", ".tgz") else "w") as packed:
            packed.add(folder, ".")
    return path


@pytest.fixture
def folder(tmp_path: Path, write_dicom: Any, write_series: Any) -> Any:
    """A CT series, two radiographs, a picture of no kind and a broken file."""
    write_series(tmp_path / "plain" / "ct", 4)
    for n in range(2):
        write_dicom(tmp_path / "plain" / f"dx{n}", PIXELS + n, SOPInstanceUID=f"2.25.5{n}", PatientID=f"D{n}")
    (tmp_path / "plain" / "notes.txt").write_text("nothing to see")
    (tmp_path / "plain" / "text.dcm").write_text("not DICOM at all")
    return tmp_path / "plain"


@pytest.mark.parametrize("kind", ["zip", "tar", "tar.gz", "zip.tar"])
def test_an_archive_gives_what_its_folder_gives(
    tmp_path: Path, home: Any, folder: Any, run: Any, kind: Any
) -> None:
    (tmp_path / "in").mkdir()
    path = pack(tmp_path / "in" / f"x.{kind}", folder)
    packed = run(tmp_path / "in")
    with CaseIndex.open(home) as index:
        ours = {i.sop_instance_uid: i for i in index.images_of("2.25.97")}
    shutil.rmtree(home)
    plain = run(folder)
    with CaseIndex.open(home) as index:
        peer = {i.sop_instance_uid: i for i in index.images_of("2.25.97")}
    told = ("files", "files_embedded", "studies", "series", "instances", "images")
    assert {name: packed[name] for name in told} == {name: plain[name] for name in told}
    assert codes(packed, "skipped") == codes(plain, "skipped")
    assert codes(packed, "quarantined") == codes(plain, "quarantined")
    assert ours.keys() == peer.keys()
    assert all(str(image.path).startswith(f"{path}!/") for image in ours.values())


@pytest.mark.parametrize("kind", ["zip", "tar.gz", "zip.tar"])
def test_an_unchanged_archive_is_not_opened_again(
    tmp_path: Path, folder: Any, run: Any, monkeypatch: pytest.MonkeyPatch, kind: Any
) -> None:
    path = pack(tmp_path / f"x.{kind}", folder)
    first = run(path)

    def refuse(found: Any) -> None:
        raise AssertionError(found)

    monkeypatch.setattr(triage, "walk_archive", refuse)
    second = run(path)
    assert (second["files_unchanged"], second["embedded"]) == (first["files_embedded"], 0)
    for same in ("files", "images", "skipped", "quarantined"):
        assert second[same] == first[same]


def test_an_archive_that_was_changed_is_looked_into_whatever_its_members_times_say(
    tmp_path: Path, run: Any, write_dicom: Any
) -> None:
    """Many archives carry one constant time, and another export has members of the same names and sizes."""
    path = tmp_path / "x.zip"
    for n in range(2):
        file = write_dicom(tmp_path / "file.dcm", PIXELS + n, SOPInstanceUID=f"2.25.5{n}")
        with zipfile.ZipFile(path, "w") as packed:
            packed.writestr(zipfile.ZipInfo("IM1", (1980, 1, 1, 0, 0, 0)), file.read_bytes())
        os.utime(path, (n + 1, n + 1))
        assert run(path)["embedded"] == 1


def test_members_that_a_killed_run_left_are_taken_up(
    tmp_path: Path, home: Any, folder: Any, run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = pack(tmp_path / "x.zip", folder)

    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("medsiglip.ingest.run.pipeline._Run._embed", interrupt)
        with pytest.raises(InterruptedIngestError):
            run(path)
    assert (run(path)["files_embedded"], run(path)["files_unchanged"]) == (6, 6)


def test_a_series_grows_from_the_files_of_an_archive(tmp_path: Path, run: Any, write_series: Any) -> None:
    paths = write_series(tmp_path / "plain", 5, "MR")
    late = tmp_path / "late.dcm"
    paths[2].rename(late)
    path = pack(tmp_path / "x.tar.gz", tmp_path / "plain")
    run(path)
    report = run(path, late)
    assert (report["files_embedded"], report["embedded"], report["images"]) == (1, 5, 5)
    assert [warning for warning in report["warnings"] if "gone" in warning] == []


def test_members_are_rendered_as_their_files_are(tmp_path: Path, folder: Any) -> None:
    path = pack(tmp_path / "x.tar.gz", folder)
    ours, peer = (
        {one.sop_instance_uid: one for one in render_files([root]) if isinstance(one, Rendered)}
        for root in (path, folder)
    )
    assert ours.keys() == peer.keys()
    for uid, rendered in ours.items():
        np.testing.assert_array_equal(rendered.pixels, peer[uid].pixels)


def test_damaged_members_are_quarantined(tmp_path: Path, run: Any, write_dicom: Any) -> None:
    file = write_dicom(tmp_path / "plain" / "a.dcm", PIXELS)
    path = pack(tmp_path / "x.zip", file.parent)
    data = bytearray(path.read_bytes())
    data[150:160] = bytes(10)
    path.write_bytes(data)
    assert set(codes(run(path), "quarantined").values()) <= {"damaged-archive", "truncated"}
    assert run(path)["files"] == 1


def test_copies_are_unchanged_with_one_line_that_counts_them(
    tmp_path: Path, run: Any, write_dicom: Any
) -> None:
    file = write_dicom(tmp_path / "in" / "a.dcm", PIXELS)
    shutil.copy(file, tmp_path / "in" / "b.dcm")
    pack(tmp_path / "in.zip", tmp_path / "in")
    report = run(tmp_path / "in", tmp_path / "in.zip")
    assert (report["files_embedded"], report["files_unchanged"]) == (1, 3)
    assert [w for w in report["warnings"] if w.startswith("3 files hold the same SOP instance")]
    shutil.copy(file, tmp_path / "in" / "c.dcm")
    assert [w for w in run(tmp_path / "in")["warnings"] if w.startswith("1 files hold the same")]
    os.utime(file, (1, 1))
    assert run(tmp_path / "in")["warnings"] == []


def test_the_metadata_table_is_no_stranger(tmp_path: Path, run: Any, write_dicom: Any) -> None:
    write_dicom(tmp_path / "in" / "a.dcm", PIXELS)
    table = tmp_path / "in" / "labels.csv"
    table.write_text("path,label:sick\na.dcm,1\n")
    assert codes(run(tmp_path / "in"), "skipped") == {"labels.csv": "not-an-image"}
    assert codes(run(tmp_path / "in", metadata=table), "skipped") == {"labels.csv": "metadata-csv"}
    assert codes(run(tmp_path / "in"), "skipped") == {"labels.csv": "not-an-image"}


@pytest.mark.parametrize("is_packed", [False, True])
def test_a_dicomdir_that_lists_files_that_are_not_there(
    tmp_path: Path, run: Any, write_dicom: Any, is_packed: Any
) -> None:
    records = []
    for n in range(3):
        file = write_dicom(tmp_path / "cd" / "IMAGES" / f"IM{n}", PIXELS, SOPInstanceUID=f"2.25.5{n}")
        records.append(Dataset())
        records[-1].DirectoryRecordType, records[-1].ReferencedFileID = "IMAGE", ["IMAGES", f"IM{n}"]
    records.append(Dataset())
    records[-1].DirectoryRecordType = "STUDY"
    directory = {"SOPClassUID": "1.2.840.10008.1.3.10", "DirectoryRecordSequence": records}
    write_dicom(tmp_path / "cd" / "DICOMDIR", **directory)
    file.rename(file.with_name("im2;1"))
    root = pack(tmp_path / "cd.zip", tmp_path / "cd") if is_packed else tmp_path / "cd"
    assert run(root)["warnings"] == []
    (tmp_path / "cd" / "IMAGES" / "IM0").unlink()
    root = pack(tmp_path / "cut.zip", tmp_path / "cd") if is_packed else tmp_path / "cd"
    os.utime(tmp_path / "cd" / "DICOMDIR", (1, 1))
    warnings = [w for w in run(root)["warnings"] if "DICOMDIR" in w]
    assert warnings == ["A DICOMDIR lists 3 files, 1 of which are not there; copy its medium again."]
    if not is_packed:
        shutil.copytree(root, tmp_path / "both" / "1")
        shutil.copytree(root, tmp_path / "both" / "2")
        warnings = [w for w in run(tmp_path / "both")["warnings"] if "DICOMDIR" in w]
        assert warnings == ["2 DICOMDIRs list 6 files, 2 of which are not there; copy their media again."]


def scanned(path: Any) -> Any:
    (header,) = headers_of(path, key=KEY)
    return header


def test_patients_are_told_apart_by_id_and_issuer_and_not_by_padding(
    tmp_path: Path, write_dicom: Any
) -> None:
    def key_of(name: Any, **attributes: Any) -> Any:
        return scanned(write_dicom(tmp_path / name, PIXELS, **attributes)).patient_key

    first = key_of("a", PatientID="P 1")
    assert key_of("b", PatientID="  P 1 ") == first
    others = [
        key_of("c", PatientID="P1"),
        key_of("d", PatientID="p 1"),
        key_of("e", PatientID="P 1", IssuerOfPatientID="A"),
        key_of("f", PatientID="P 1", IssuerOfPatientID="B"),
    ]
    assert len({first, *others}) == 5


def with_uids(path: Any, **uids: bytes) -> Any:
    """Put bytes of any kind in the place of UIDs of a file."""
    data = path.read_bytes()
    for keyword, uid in uids.items():
        tag = int(Tag(keyword))
        start = data.rindex(struct.pack("<HH2s", tag >> 16, tag & 0xFFFF, b"UI"))
        (length,) = struct.unpack_from("<H", data, start + 6)
        uid += b"\0" * (len(uid) % 2)
        data = data[: start + 6] + struct.pack("<H", len(uid)) + uid + data[start + 8 + length :]
    path.write_bytes(data)
    return path


BROKEN = [b"1." * 40 + b"1", b"1.2.3\\1.2.4", b"1.2 3", b"Doe^Jane", b"DOE.JANE", b"1.2.3/4", b"\xc4\xd6"]


@pytest.mark.parametrize("broken", [*BROKEN, b"", b"  "])
def test_broken_uids_become_valid_ones_that_name_nobody(
    tmp_path: Path, write_dicom: Any, broken: Any
) -> None:
    keywords = ("SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID")
    path = with_uids(write_dicom(tmp_path / "x", PIXELS), **dict.fromkeys(keywords, broken))
    header = scanned(path)
    uids = {header.sop_instance_uid, header.series_instance_uid, header.study_instance_uid}
    assert len(uids) == 3
    assert all(set(uid) <= set("0123456789.") and len(uid) <= 64 for uid in uids)
    assert scanned(path) == header


@pytest.mark.parametrize("broken", BROKEN)
def test_a_broken_study_uid_still_holds_its_study_together(
    tmp_path: Path, write_dicom: Any, broken: Any
) -> None:
    files = [
        write_dicom(tmp_path / str(n), PIXELS, SOPInstanceUID=f"1.2.{n}", PatientID="") for n in range(3)
    ]
    one, same = (scanned(with_uids(file, StudyInstanceUID=broken)) for file in files[:2])
    other = scanned(with_uids(files[2], StudyInstanceUID=broken[:-1] + b"9"))
    assert one.study_instance_uid == same.study_instance_uid != other.study_instance_uid
    assert one.patient_key == same.patient_key != other.patient_key


def test_leading_zeros_of_a_uid_are_kept(tmp_path: Path, write_dicom: Any) -> None:
    path = with_uids(write_dicom(tmp_path / "x", PIXELS), SOPInstanceUID=b"1.02.003")
    assert scanned(path).sop_instance_uid == "1.02.003"


def test_a_copy_whose_pixels_cannot_be_read_at_all_does_not_end_the_run(
    tmp_path: Path, run: Any, write_dicom: Any
) -> None:
    """Pixel data of no bytes and a VR that there is not: the pixels of files that share a UID are hashed."""
    whole = write_dicom(tmp_path / "in/a.dcm", PIXELS).read_bytes()
    before, _, _ = whole.partition(b"\xe0\x7f\x10\0OW")
    (tmp_path / "in/b.dcm").write_bytes(before + b"\xe0\x7f\x10\0ZZ\0\0" + bytes(4))
    report = run(tmp_path / "in")
    assert (report["files"], report["files_embedded"]) == (2, 1)
    assert len(report["quarantined"]) == 1
