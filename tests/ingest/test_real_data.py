"""The whole folder of real files: every decodable picture goes in, in the right order."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from index.case_index import CaseIndex
from ingest.decode import frames, open_dataset
from ingest.pipeline import IngestOptions, ingest
from ingest.reasons import Rejected
from ingest.rendered import render_files
from ingest.scan import quiet

WITHOUT_PICTURE = {"segmentation", "parametric-map", "rt-dose"}


@pytest.fixture(scope="module")
def manifest(test_data):
    with (test_data / "manifest.csv").open(newline="") as file:
        return {str(test_data / row["path"]): row for row in csv.DictReader(file)}


@pytest.fixture(scope="module")
def ingested(test_data, tmp_path_factory, model, encoder):
    home = tmp_path_factory.mktemp("home")
    with CaseIndex.open(home) as index:
        first = ingest([test_data / "dicom"], index, model, lambda: encoder, IngestOptions(workers=2))
        second = ingest([test_data / "dicom"], index, model, lambda: encoder)
        yield index, first, second


def test_every_file_is_accounted_for(ingested, test_data):
    _, report, _ = ingested
    files = sum(path.is_file() for path in (test_data / "dicom").rglob("*"))
    rejected = [r.path for r in (*report.skipped, *report.quarantined)]
    assert report.files == files
    assert len(rejected) == len(set(rejected))
    assert report.files_embedded + report.files_unchanged + len(rejected) == files


def test_every_decodable_picture_is_embedded(ingested, manifest):
    index, report, _ = ingested
    rejected = {r.path: r.code for r in (*report.skipped, *report.quarantined)}
    known = index.known_files()
    for path, row in manifest.items():
        if row["kind"] == "dicom" and row["decode"] == "ok":
            if path in rejected:
                assert rejected[path] in WITHOUT_PICTURE, path
            else:
                assert known[path].outcome == "embedded"
                assert index.find_file(path), path


def test_files_without_pixels_are_not_embedded(ingested, manifest):
    """But for a gzip that the manifest's reader did not look into: the image is its member."""
    index, report, _ = ingested
    rejected = {r.path for r in (*report.skipped, *report.quarantined)}
    without = {path for path, row in manifest.items() if row["decode"] == "no_pixels"}
    packed = {path for path in without if path.endswith(".gz")}
    assert without - packed <= rejected
    assert all(index.find_file(f"{path}!/{Path(path).stem}") for path in packed)


def test_a_second_run_does_nothing(ingested):
    _, first, second = ingested
    assert (second.embedded, second.files_embedded, second.unchanged) == (0, 0, first.images)
    assert (second.skipped, second.quarantined) == (first.skipped, first.quarantined)


def test_the_chest_ct_is_one_series_in_the_order_of_simpleitk(ingested, test_data):
    import SimpleITK

    index, _, _ = ingested
    folder = next(p.parent for p in (test_data / "dicom/ct_chest_series").rglob("*.dcm"))
    names = SimpleITK.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder))
    assert len(names) == 30
    uid = index.find_file(names[0])[0].series_instance_uid
    series = index.images_of(index.find_file(names[0])[0].study_instance_uid)
    assert {image.series_instance_uid for image in series} == {uid}
    ordered = [image.path for image in sorted(series, key=lambda image: image.slice_index)]
    assert ordered == list(names)
    assert {image.rendering for image in series} == {"ct-rgb-3window"}


def test_the_three_mr_series_stay_three(ingested, manifest):
    index, _, _ = ingested
    paths = [
        p
        for p, row in manifest.items()
        if "Brain-Tumor-Progression" in row["dataset"] and row["decode"] == "ok"
    ]
    images = [image for path in paths for image in index.find_file(path)]
    series = {image.series_instance_uid for image in images if image.modality == "MR"}
    assert len(series) == 3
    for uid in series:
        slices = sorted(i.slice_index for i in images if i.series_instance_uid == uid)
        assert slices == list(range(len(slices)))
        assert len({str(i.rendering_params) for i in images if i.series_instance_uid == uid}) == 1


@pytest.mark.filterwarnings("ignore::UserWarning:pydicom")
def test_decoded_values_equal_pydicom(manifest):
    import pydicom

    compared = 0
    for path, row in manifest.items():
        wanted = (
            row["kind"] == "dicom"
            and row["decode"] == "ok"
            and row["modality"] in {"CT", "MR", "CR", "DX", "MG"}
        )
        if not wanted or int(row["bytes"]) > 600_000:
            continue
        with quiet():
            mine = next(frames(open_dataset(path), [0]))
            theirs = pydicom.pixels.pixel_array(pydicom.dcmread(path, force=True), index=0)
        np.testing.assert_array_equal(mine, theirs, err_msg=path)
        compared += 1
    assert compared > 100


def test_pictures_with_wrong_names_and_broken_files_are_lines_of_the_report(test_data):
    broken = test_data / "dicom/pydicom/test_files/MR_truncated.dcm"
    (line,) = render_files([broken])
    assert line == Rejected(str(broken), "truncated")
