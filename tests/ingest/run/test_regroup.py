"""Series that grow: what the index holds of them, and the new files beside it."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pydicom.encaps

from medsiglip.index.case_index import CaseIndex
from medsiglip.ingest.files.walk import FoundFile
from medsiglip.ingest.header.header import Header
from medsiglip.ingest.privacy.deidentify import bound_key
from medsiglip.ingest.run.regroup import plan_with_index
from medsiglip.ingest.scan.scan import scan_file
from medsiglip.ingest.units.plan import PlanOptions
from tests.ingest.run.run_cases import PIXELS, codes


def test_a_picture_beside_the_slices_of_a_series_stays_when_the_series_grows(
    tmp_path: Path, home: Any, run: Any, write_dicom: Any, write_series: Any
) -> None:
    paths = write_series(tmp_path / "in", 5, "MR")
    beside = {"StudyInstanceUID": "2.25.97", "SeriesInstanceUID": "2.25.7", "Modality": "OT"}
    write_dicom(tmp_path / "in" / "capture.dcm", PIXELS, SOPInstanceUID="2.25.7999", **beside)
    late = tmp_path / "late.dcm"
    paths[2].rename(late)
    run(tmp_path / "in")
    assert run(tmp_path / "in", late)["images"] == 6
    with CaseIndex.open(home) as index:
        places = {image.sop_instance_uid: image.slice_index for image in index.images_of("2.25.97")}
    assert places == {**{f"2.25.7{z:03d}": z for z in range(5)}, "2.25.7999": None}


def test_a_series_is_not_embedded_again_for_a_file_that_still_has_no_decoder(
    tmp_path: Path, home: Any, run: Any, write_series: Any
) -> None:
    paths = write_series(tmp_path / "in", 4)
    unknown = pydicom.dcmread(paths[1])
    unknown.file_meta.TransferSyntaxUID = pydicom.uid.MPEG2MPML
    unknown.PixelData = pydicom.encaps.encapsulate([bytes(64)])
    unknown["PixelData"].VR = "OB"
    unknown.save_as(paths[1])
    assert list(codes(run(tmp_path / "in"), "quarantined").values()) == ["no-decoder"]
    with CaseIndex.open(home) as index:
        before = [image.image_id for image in index.images_of("2.25.97")]
    again = run(tmp_path / "in")
    assert (again["embedded"], again["images"], len(again["quarantined"])) == (0, 3, 1)
    with CaseIndex.open(home) as index:
        assert [image.image_id for image in index.images_of("2.25.97")] == before


def test_a_series_that_gains_files_is_rendered_anew(
    tmp_path: Path, home: Any, run: Any, write_series: Any
) -> None:
    """The end is that of one ingest of everything: percentiles and order come from the whole series."""
    paths = write_series(tmp_path / "all", 6, "MR")
    (tmp_path / "later").mkdir()
    late = [shutil.move(str(path), tmp_path / "later") for path in paths[3:]]
    run(tmp_path / "all")
    report = run(tmp_path / "later")
    assert (report["files_embedded"], report["embedded"], report["images"]) == (3, 6, 3)
    with CaseIndex.open(home) as index:
        grown = index.images_of("2.25.97")
        vectors = index.vectors([image.image_id for image in grown])
    shutil.rmtree(home)
    for path in late:
        shutil.move(path, tmp_path / "all")
    run(tmp_path / "all")
    with CaseIndex.open(home) as index:
        at_once = index.images_of("2.25.97")
        assert [(i.sop_instance_uid, i.slice_index, i.rendering_params) for i in grown] == [
            (i.sop_instance_uid, i.slice_index, i.rendering_params) for i in at_once
        ]
        np.testing.assert_array_equal(vectors, index.vectors([image.image_id for image in at_once]))


def test_new_slices_of_a_series_whose_files_are_gone_are_added(
    tmp_path: Path, run: Any, write_series: Any
) -> None:
    paths = write_series(tmp_path / "in", 4)
    late = tmp_path / "late"
    late.mkdir()
    kept = [shutil.move(str(path), late) for path in paths[2:]]
    run(tmp_path / "in")
    shutil.rmtree(tmp_path / "in")
    report = run(late)
    assert (report["embedded"], report["images"]) == (2, 2)
    assert any("2.25.7" in warning and "gone" in warning for warning in report["warnings"])
    assert len(kept) == 2


def test_pixels_that_no_file_holds_any_more_outlive_a_growing_series(
    tmp_path: Path, home: Any, run: Any, write_series: Any
) -> None:
    paths = write_series(tmp_path / "in", 4, "MR")
    late = tmp_path / "late.dcm"
    paths[3].rename(late)
    run(tmp_path / "in")
    changed = pydicom.dcmread(paths[0])
    changed.PixelData = bytes(len(changed.PixelData))
    changed.save_as(paths[0])
    assert run(tmp_path / "in")["embedded"] == 1
    os.utime(paths[0], (1, 1))
    report = run(tmp_path / "in", late)
    assert any("gone" in warning for warning in report["warnings"])
    with CaseIndex.open(home) as index:
        assert len(index.images_of("2.25.97")) == 5
        assert len(index.instances.pixel_hashes(["2.25.7000"])["2.25.7000"]) == 2


def test_a_series_that_the_index_lacks_takes_the_place_of_what_others_add_of_it_meanwhile(
    tmp_path: Path, home: Any, write_series: Any
) -> None:
    """Otherwise slices that another run commits first would stay, drawn with the grey range of that run's."""
    paths = write_series(tmp_path / "in", 3, "MR")
    with CaseIndex.open(home) as index:
        key = bound_key(index, None)
        headers = []
        for path in paths:
            state = path.stat()
            header = scan_file(FoundFile(str(path), state.st_size, state.st_mtime_ns), key)
            assert isinstance(header, Header)
            headers.append(header)
        [unit], warnings = plan_with_index(headers, index, key, PlanOptions())
    assert (unit.replace_series, unit.replaced, warnings) == (True, frozenset(), [])
    assert unit.new == set(map(str, paths))
