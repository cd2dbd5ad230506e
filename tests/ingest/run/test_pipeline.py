"""A whole ingest: what becomes of every file, and of every image."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pydicom.encaps
import pytest
from PIL import Image

from medsiglip.index.case_index import CaseIndex
from medsiglip.index.errors import CatalogError
from medsiglip.ingest.errors import IngestError
from medsiglip.ingest.run.pipeline import IngestOptions, ingest
from medsiglip.ingest.run.progress import Progress
from medsiglip.ingest.units.plan import PlanOptions
from medsiglip.ingest.workers import unit_rendering
from tests.index.index_cases import images_of_file
from tests.ingest.run.run_cases import PIXELS, codes, corpus


def test_every_file_is_accounted_for(tmp_path: Path, run: Any, write_dicom: Any, write_series: Any) -> None:
    folder = corpus(tmp_path / "in", write_dicom, write_series)
    report = run(folder)
    assert (report["files"], report["files_embedded"], report["files_unchanged"]) == (16, 12, 1)
    assert codes(report, "skipped") == {"notes.txt": "not-an-image"}
    assert codes(report, "quarantined") == {"text.dcm": "not-dicom", "cut.dcm": "truncated"}
    assert (report["embedded"], report["unchanged"], report["images"]) == (12, 0, 12)
    assert (report["series"], report["instances"]) == (4, 12)
    assert report["studies"] == 4
    assert "Doe" not in json.dumps(report)


def test_a_second_run_embeds_nothing_and_tells_the_same(
    tmp_path: Path, run: Any, write_dicom: Any, write_series: Any
) -> None:
    folder = corpus(tmp_path / "in", write_dicom, write_series)
    first, second = run(folder), run(folder)
    assert (second["files_embedded"], second["files_unchanged"], second["embedded"]) == (0, 13, 0)
    assert second["unchanged"] == first["images"]
    for same in ("files", "studies", "series", "instances", "images", "skipped", "quarantined", "space"):
        assert second[same] == first[same], same


def test_a_touched_file_is_hashed_and_found_unchanged(tmp_path: Path, run: Any, write_dicom: Any) -> None:
    path = write_dicom(tmp_path / "in" / "x.dcm", PIXELS)
    run(path)
    os.utime(path, (1, 1))
    assert (run(path)["embedded"], run(path)["files_unchanged"]) == (0, 1)


def test_a_moved_file_is_known_by_its_uid_and_pixels(tmp_path: Path, run: Any, write_dicom: Any) -> None:
    path = write_dicom(tmp_path / "in" / "x.dcm", PIXELS)
    run(path)
    path.rename(tmp_path / "in" / "y.dcm")
    report = run(tmp_path / "in")
    assert (report["files_unchanged"], report["embedded"], report["images"]) == (1, 0, 1)


def test_the_same_uid_with_other_pixels_is_kept_beside(
    tmp_path: Path, home: Any, run: Any, write_dicom: Any
) -> None:
    run(write_dicom(tmp_path / "in" / "a.dcm", PIXELS))
    write_dicom(tmp_path / "in" / "b.dcm", PIXELS + 9)
    report = run(tmp_path / "in")
    assert (report["embedded"], report["instances"], report["images"]) == (1, 2, 2)
    assert ["2.25.1" in warning for warning in report["warnings"]] == [True]
    with CaseIndex.open(home) as index:
        assert len(index.instances.pixel_hashes(["2.25.1"])["2.25.1"]) == 2


def test_a_copy_of_a_broken_file_shares_its_fate(tmp_path: Path, run: Any, write_dicom: Any) -> None:
    path = write_dicom(tmp_path / "in" / "a.dcm", PIXELS, Rows=999)
    shutil.copy(path, tmp_path / "in" / "b.dcm")
    report = run(tmp_path / "in")
    code = "inconsistent-pixels"  # the pixel element is whole: it is the header that lies
    assert codes(report, "quarantined") == {"a.dcm": code, "b.dcm": code}
    assert codes(run(tmp_path / "in"), "quarantined") == codes(report, "quarantined")


def test_a_copy_that_tells_the_truth_saves_one_that_lies(
    tmp_path: Path, home: Any, run: Any, write_dicom: Any
) -> None:
    for name, rows in (("1.dcm", 999), ("2.dcm", 998), ("3.dcm", 16)):
        write_dicom(tmp_path / "in" / name, PIXELS, Rows=rows)
    shutil.copy(tmp_path / "in" / "1.dcm", tmp_path / "in" / "4.dcm")
    report = run(tmp_path / "in")
    assert (report["images"], report["files_embedded"], report["files_unchanged"]) == (1, 1, 3)
    assert run(tmp_path / "in")["files_unchanged"] == 4


def test_slices_are_stored_in_anatomical_order(
    tmp_path: Path, home: Any, run: Any, write_series: Any
) -> None:
    write_series(tmp_path / "in", 7)
    run(tmp_path / "in")
    with CaseIndex.open(home) as index:
        images = index.images_of("2.25.97")
        assert [image.sop_instance_uid for image in images] == [f"2.25.7{z:03d}" for z in range(7)]
        assert [image.slice_index for image in images] == list(range(7))
        assert {image.rendering for image in images} == {"ct-rgb-3window"}
        assert index.study("2.25.97").series[0].series.orientation == "axial"


def test_a_long_series_is_sampled_and_all_its_files_count(
    tmp_path: Path, home: Any, run: Any, write_series: Any
) -> None:
    write_series(tmp_path / "in", 20)
    report = run(tmp_path / "in", plan=PlanOptions(max_slices=5))
    assert (report["files_embedded"], report["instances"], report["images"]) == (20, 20, 5)
    with CaseIndex.open(home) as index:
        assert [i.slice_index for i in index.images_of("2.25.97")] == [0, 5, 10, 14, 19]
    assert run(tmp_path / "in")["files_unchanged"] == 20


def test_an_odd_header_costs_one_file_at_most(tmp_path: Path, run: Any, write_dicom: Any) -> None:
    table = pydicom.Dataset()
    table.LUTDescriptor, table.LUTData = [256, 0, 5000], np.arange(256, dtype=np.uint16).tobytes()
    write_dicom(
        tmp_path / "in" / "lut.dcm",
        PIXELS,
        SOPInstanceUID="2.25.51",
        VOILUTSequence=pydicom.Sequence([table]),
    )
    write_dicom(tmp_path / "in" / "bits.dcm", PIXELS, SOPInstanceUID="2.25.52", BitsStored=5000)
    write_dicom(tmp_path / "in" / "good.dcm", PIXELS, SOPInstanceUID="2.25.53")
    report = run(tmp_path / "in")
    broken = codes(report, "quarantined")
    assert report["files_embedded"] + len(broken) == 3
    assert not {"good.dcm", "lut.dcm"} & set(broken)


@pytest.mark.parametrize(
    ("where", "call"), [("frames", 2), ("frames", 5), ("render", 2), ("limits_percentiles", 4)]
)
def test_whatever_rendering_raises_costs_one_file(
    tmp_path: Path, run: Any, write_series: Any, monkeypatch: pytest.MonkeyPatch, where: Any, call: Any
) -> None:
    """Three slices, none held decoded: from the fourth call on it is the second look that fails."""
    monkeypatch.setattr(unit_rendering, "MAX_HELD_BYTES", 0)
    paths = write_series(tmp_path / "in", 3, "MR")
    real = getattr(unit_rendering, where)
    calls = 0

    def fails_once(*given: Any, **options: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == call:
            raise OverflowError("Doe^Jane")
        return real(*given, **options)

    monkeypatch.setattr(unit_rendering, where, fails_once)
    report = run(tmp_path / "in")
    assert (report["files_embedded"], len(paths)) == (2, 3)
    assert list(codes(report, "quarantined").values()) == ["undecodable-pixels"]
    assert "Doe" not in json.dumps(report)


def test_frames_of_a_cine_are_sampled(tmp_path: Path, home: Any, run: Any, write_dicom: Any) -> None:
    frames = np.stack([np.full((8, 8), 10 * n, np.uint8) + np.eye(8, dtype=np.uint8) for n in range(9)])
    write_dicom(tmp_path / "us.dcm", frames, Modality="US", NumberOfFrames=9)
    assert run(tmp_path / "us.dcm", plan=PlanOptions(max_slices=3))["images"] == 3
    with CaseIndex.open(home) as index:
        assert [image.frame for image in index.images_of("2.25.2")] == [0, 4, 8]


def test_metadata_gives_pictures_patients_studies_and_labels(tmp_path: Path, home: Any, run: Any) -> None:
    for n in range(3):
        Image.fromarray(np.full((8, 8), 50 * n + np.eye(8) * 9, np.uint8)).save(tmp_path / f"{n}.png")
    csv = tmp_path / "meta.csv"
    csv.write_text(
        "path,patient_id,study_id,modality,split,label,label:nodule\n"
        "0.png,P1,S1,DX,train,pneumonia,1\n1.png,P1,S1,DX,train,,0\n2.png,,,DX,test,normal,\n9.png,,,,,normal,\n"
    )
    report = run(tmp_path, metadata=csv)
    assert (report["studies"], report["images"]) == (2, 3)
    assert any("1 paths" in warning for warning in report["warnings"])
    with CaseIndex.open(home) as index:
        (first,) = images_of_file(index, str(tmp_path / "0.png"))
        assert first.labels == {"pneumonia": 1.0, "nodule": 1.0}
        assert (first.quality["split"], first.modality) == ("train", "DX")
        assert len({s.patient_key for s in index.studies()}) == 2


def test_workers_and_this_process_give_the_same_index(
    tmp_path: Path, model: Any, encoder: Any, write_dicom: Any, write_series: Any
) -> None:
    folder = corpus(tmp_path / "in", write_dicom, write_series)
    write_dicom(folder / "more.dcm", PIXELS + 77, SOPInstanceUID="2.25.77")
    vectors = []
    for workers in (1, 2):
        with CaseIndex.open(tmp_path / f"home{workers}") as index:
            ingest([folder], index, model, lambda: encoder, IngestOptions(workers=workers))
            table = index.table()
            # The two series hold equal pixels, and workers finish in any order: only files differ.
            files = [(index.get(int(i)).path, index.get(int(i)).frame) for i in table.image_ids]
            vectors.append(table.vectors[sorted(range(len(files)), key=files.__getitem__)])
    np.testing.assert_array_equal(vectors[0], vectors[1])


def test_progress_tells_stages_counts_and_time_left(
    tmp_path: Path, home: Any, model: Any, encoder: Any, write_series: Any
) -> None:
    write_series(tmp_path / "in", 3)
    told: list[Progress] = []
    with CaseIndex.open(home) as index:
        ingest([tmp_path / "in"], index, model, lambda: encoder, on_progress=told.append)
    assert [p.stage for p in told] == sorted((p.stage for p in told), key=["walk", "scan", "embed"].index)
    assert (told[-1].done, told[-1].total, told[-1].images) == (3, 3, 3)
    assert told[-1].seconds_left == 0.0


def test_another_model_is_refused_before_anything_is_read(
    tmp_path: Path, home: Any, model: Any, encoder: Any, run: Any, write_dicom: Any
) -> None:
    path = write_dicom(tmp_path / "x.dcm", PIXELS)
    run(path)
    other = type(model)(hash="cd" * 32)
    with CaseIndex.open(home) as index, pytest.raises(CatalogError) as caught:
        ingest([path], index, other, lambda: encoder)
    assert caught.value.code == "space-mismatch"


def test_a_lost_secret_key_is_not_replaced(
    tmp_path: Path, home: Any, model: Any, encoder: Any, run: Any, write_dicom: Any
) -> None:
    path = write_dicom(tmp_path / "x.dcm", PIXELS)
    run(path)
    (home / "secret.key").unlink()
    with CaseIndex.open(home) as index, pytest.raises(CatalogError) as caught:
        ingest([path], index, model, lambda: encoder)
    assert caught.value.code == "key-mismatch"
    assert not (home / "secret.key").exists()


def test_missing_path(tmp_path: Path, run: Any) -> None:
    with pytest.raises(IngestError) as caught:
        run(tmp_path / "nowhere")
    assert caught.value.code == "no-such-path"


def test_empty_folder(tmp_path: Path, run: Any) -> None:
    (tmp_path / "in").mkdir()
    report = run(tmp_path / "in")
    assert (report["files"], report["images"], report["studies"]) == (0, 0, 0)
