"""Homes whose pixel hashes are those of earlier versions: SHA-256 without a name."""

from __future__ import annotations

import hashlib
import os
import shutil
import sqlite3
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from PIL import Image

from medsiglip.index.case_index import CaseIndex
from medsiglip.index.label_records import LabelRecord
from medsiglip.ingest.privacy.deidentify import known_key
from medsiglip.ingest.workers.render_files import Rendered, render_files
from medsiglip.ingest.workers.stored_hashes import as_stored, hash_options
from tests.ingest.run.run_cases import PIXELS

pytestmark = pytest.mark.long


def older(path: Path) -> str:
    return hashlib.sha256(pydicom.dcmread(path).PixelData).hexdigest()[:32]


def make_older(home: Path, paths: list[Path]) -> None:
    """Rewrite a home as an earlier version would have left it."""
    connection = sqlite3.connect(home / "catalog.db")
    for path in paths:
        row = connection.execute("SELECT pixel_hash FROM files WHERE path = ?", (str(path),)).fetchone()
        assert row[0].startswith("blake3:")
        assert len(row[0]) == len("blake3:") + 32
        for table in ("instances", "files", "labels"):
            connection.execute(
                f"UPDATE {table} SET pixel_hash = ? WHERE pixel_hash = ?", (older(path), row[0])
            )
    connection.execute("UPDATE home SET older_pixel_hashes = 1")
    connection.commit()
    connection.close()


def rows(home: Path) -> dict[str, list[Any]]:
    """Row ids of all that an ingest could make anew, and the pixel hashes."""
    connection = sqlite3.connect(home / "catalog.db")
    found = {
        table: sorted(connection.execute(f"SELECT id FROM {table}").fetchall())
        for table in ("patients", "studies", "series", "instances", "images", "shards", "files")
    }
    for table in ("instances", "files", "labels"):
        found[table + ".pixel_hash"] = sorted(
            connection.execute(f"SELECT DISTINCT pixel_hash FROM {table} WHERE pixel_hash <> ''").fetchall()
        )
    connection.close()
    return found


@pytest.fixture
def archive_home(tmp_path: Path, home: Any, run: Any, write_dicom: Any, write_series: Any) -> list[Path]:
    """Three radiographs with labels by path, an MR series and a picture, as stored by an earlier version."""
    files = [
        write_dicom(tmp_path / "in" / f"{n}.dcm", PIXELS + n, SOPInstanceUID=f"2.25.5{n}", PatientID=f"P{n}")
        for n in range(3)
    ]
    files += write_series(tmp_path / "in" / "mr", 4, "MR")
    Image.fromarray(PIXELS.astype(np.uint8)).save(tmp_path / "in" / "picture.png")
    run(tmp_path / "in")
    with CaseIndex.open(home) as index:
        index.labels.put([LabelRecord("clear", 1.0, "path", str(path)) for path in files[:3]])
    make_older(home, files)
    return files


def touch(paths: list[Path]) -> None:
    for path in paths:
        os.utime(path, ns=(1, 1))


def test_files_seen_again_are_unchanged_and_renewed(
    tmp_path: Path, home: Any, run: Any, encoder: Any, archive_home: list[Path], monkeypatch: Any
) -> None:
    before = rows(home)
    assert not any(":" in value for (value,) in before["instances.pixel_hash"])
    assert run(tmp_path / "in")["files_unchanged"] == 8, "files with their size and time are not read"
    assert rows(home) == before
    touch(archive_home[:2])

    def refuse(_: Any) -> None:
        raise AssertionError("nothing is to be encoded")

    monkeypatch.setattr(encoder, "encode_images", refuse)
    report = run(tmp_path / "in")
    assert (report["files_unchanged"], report["embedded"], report["warnings"]) == (8, 0, [])
    half = rows(home)
    with CaseIndex.open(home) as index:
        assert index.pixel_hashes.any_older()
    touch(archive_home)
    assert run(tmp_path / "in")["files_unchanged"] == 8
    after = rows(home)
    for state in (half, after):  # rows of files are written anew
        assert {
            table: state[table] for table in state if not table.startswith(("files", "instances.", "labels"))
        } == {
            table: before[table] for table in state if not table.startswith(("files", "instances.", "labels"))
        }
    named = [value for (value,) in half["instances.pixel_hash"] if value.startswith("blake3:")]
    assert len(named) == 2
    picture = hashlib.sha256((tmp_path / "in" / "picture.png").read_bytes()).hexdigest()[:32]
    unnamed = [value for (value,) in after["instances.pixel_hash"] if not value.startswith("blake3:")]
    assert unnamed == [picture], "the hash of a picture is that of its file, from which its UID is made"
    assert after["files.pixel_hash"] == after["instances.pixel_hash"]
    assert len(after["labels.pixel_hash"]) == 3
    with CaseIndex.open(home) as index:
        assert not index.pixel_hashes.any_older()
        for number in range(3):
            (image,) = index.find_image(f"2.25.5{number}")
            assert image.labels == {"clear": 1.0}
            assert index.find_image(image.sop_instance_uid, image.pixel_hash) == [image]


def test_other_pixels_of_the_same_uid_are_found(
    tmp_path: Path, home: Any, run: Any, archive_home: list[Path]
) -> None:
    dataset = pydicom.dcmread(archive_home[0])
    dataset.PixelData = (PIXELS + 9).tobytes()
    dataset.save_as(archive_home[0])
    report = run(tmp_path / "in")
    assert (report["embedded"], report["files_unchanged"]) == (1, 7)
    assert any("2.25.50" in line and "different pixels" in line for line in report["warnings"])
    with CaseIndex.open(home) as index:
        assert len(index.find_image("2.25.50")) == 2


def test_the_same_pixels_under_another_uid_stand_under_one_hash(
    tmp_path: Path, home: Any, run: Any, write_dicom: Any, archive_home: list[Path]
) -> None:
    write_dicom(tmp_path / "in" / "twin.dcm", PIXELS, SOPInstanceUID="2.25.77", PatientID="another")
    assert run(tmp_path / "in")["embedded"] == 1
    with CaseIndex.open(home) as index:
        (twin,), (first,) = index.find_image("2.25.77"), index.find_image("2.25.50")
        assert twin.pixel_hash == first.pixel_hash
        holders = index.instances.holders_of_pictures([twin.pixel_hash])
        assert holders[twin.pixel_hash] == {twin.patient_key, first.patient_key}


def test_a_series_grows_without_doubles(
    tmp_path: Path, home: Any, run: Any, write_series: Any, archive_home: list[Path]
) -> None:
    shutil.rmtree(tmp_path / "in" / "mr")
    paths = write_series(tmp_path / "in" / "mr", 5, "MR")
    report = run(tmp_path / "in")
    assert report["quarantined"] == []
    with CaseIndex.open(home) as index:
        images = index.images_of("2.25.97")
        assert len(images) == len({image.sop_instance_uid for image in images}) == len(paths)
        assert all(image.pixel_hash.startswith("blake3:") for image in images)


def test_a_question_by_file_finds_its_stored_image(home: Any, archive_home: list[Path]) -> None:
    with CaseIndex.open(home) as index:
        options = hash_options(index)
        for path in archive_home:
            found = [
                one for one in render_files([path], options, known_key(index)) if isinstance(one, Rendered)
            ]
            (one,) = as_stored(index, found)
            assert one.pixel_hash == older(path)
            assert len(index.find_image(one.sop_instance_uid, one.pixel_hash)) == 1
        assert index.pixel_hashes.as_stored({"blake3:none": "none"}) == {}


def test_a_new_home_asks_for_no_older_hash(home: Any, run: Any, tmp_path: Path, write_dicom: Any) -> None:
    write_dicom(tmp_path / "in" / "a.dcm", PIXELS)
    run(tmp_path / "in")
    with CaseIndex.open(home) as index:
        assert not index.pixel_hashes.any_older()
        assert hash_options(index) is None
        (study,) = index.studies()
        before = index.images_of(study.study_instance_uid)
        index.pixel_hashes.renew({})
        index.pixel_hashes.renew({"unknown": "blake3:unknown"})
        assert index.images_of(study.study_instance_uid) == before
