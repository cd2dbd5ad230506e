"""The whole folder of real files: every decodable picture goes in, in the right order."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.pixels.utils import pixel_array

from medsiglip.index.case_index import CaseIndex
from medsiglip.ingest.pixels.decode import frames, open_dataset
from medsiglip.ingest.privacy.quiet import quiet
from medsiglip.ingest.reasons import QUARANTINED, REASONS, Rejected
from medsiglip.ingest.run.pipeline import IngestOptions, ingest
from medsiglip.ingest.workers.render_files import render_files
from tests.index.index_cases import images_of_file

WITHOUT_PICTURE = {"segmentation", "parametric-map", "rt-dose"}
# What becomes of the files that pydicom and its usual decoders cannot read: embedded (None), or why not.
UNUSUAL = {
    "fo-dicom/CR-MONO1-10-chest": None,  # no preamble, no meta information
    "fo-dicom/GH177_D_CLUNIE_CT1_IVRLE_BigEndian_undefined_length.dcm": None,  # sequence of VR UN, big endian
    "fo-dicom/GH340.dcm": None,  # 12 bits packed, no meta information
    "fo-dicom/multiframe.dcm": None,  # tiles cropped at the edge of the slide
    "pydicom-data/OT-PAL-8-face.dcm": None,  # no meta information
    **dict.fromkeys(
        [
            "pydicom/test_files/JPEG-lossy.dcm",
            *(f"wg04/JPLY/{name}_JPLY" for name in ("MG1", "MR1", "RG3", "XA1")),
        ]
    ),  # JPEG extended of 12 bits
    # Valid, and their frames are decoded, but no pictures.
    **dict.fromkeys(
        [
            f"pydicom-data/liver{name}.dcm"
            for name in ("_deflate", "_nonbyte_aligned_deflate", "_rle", "_nonbyte_aligned_rle")
        ],
        "segmentation",
    ),
    "pydicom/test_files/badVR.dcm": "rt-dose",
    # Broken: pixel data without a byte in them; half of the pixel data; two bytes of pixel data and neither
    # rows nor columns; a codestream that states 3,722,445,056 columns and 14,540,801 tiles.
    "fo-dicom/GH1146.dcm": "inconsistent-pixels",
    "pydicom/test_files/MR_truncated.dcm": "truncated",
    "pydicom/test_files/meta_missing_tsyntax.dcm": "inconsistent-pixels",
    "pydicom/test_files/nested_priv_SQ.dcm": "inconsistent-pixels",
    "pydicom/test_files/JPEG2000-embedded-sequence-delimiter.dcm": "inconsistent-pixels",
}
# pydicom finds no pixels in these, but they are there: in a packed file, and before a missing delimiter.
PIXELS_AFTER_ALL = (
    "pydicom/test_files/zipMR.gz",
    "pydicom-data/emri_small_jpeg_2k_lossless_too_short.dcm",
    "fo-dicom/GH1339.dcm",
)
# Quarantined and truly broken: a byte too many at the start.
NO_PIXELS_AND_BROKEN = {"pydicom/test_files/no_meta.dcm": "not-dicom"}


@pytest.fixture(scope="module")
def manifest(test_data: Path) -> Any:
    with (test_data / "manifest.csv").open(newline="") as file:
        return {str(test_data / row["path"]): row for row in csv.DictReader(file)}


@pytest.fixture(scope="module")
def ingested(
    test_data: Path, tmp_path_factory: pytest.TempPathFactory, model: Any, encoder: Any
) -> Iterator[Any]:
    home = tmp_path_factory.mktemp("home")
    with CaseIndex.open(home) as index:
        first = ingest([test_data / "dicom"], index, model, lambda: encoder, IngestOptions(workers=2))
        second = ingest([test_data / "dicom"], index, model, lambda: encoder)
        yield index, first, second


def test_every_file_is_accounted_for(ingested: Any, test_data: Path) -> None:
    _, report, _ = ingested
    files = sum(path.is_file() for path in (test_data / "dicom").rglob("*"))
    rejected = [r.path for r in (*report.skipped, *report.quarantined)]
    assert report.files == files
    assert len(rejected) == len(set(rejected))
    assert report.files_embedded + report.files_unchanged + len(rejected) == files


def test_every_decodable_picture_is_embedded(ingested: Any, manifest: Any) -> None:
    index, report, _ = ingested
    rejected = {r.path: r.code for r in (*report.skipped, *report.quarantined)}
    known = index.files.by_path()
    for path, row in manifest.items():
        if row["kind"] == "dicom" and row["decode"] == "ok":
            if path in rejected:
                assert rejected[path] in WITHOUT_PICTURE, path
            else:
                assert known[path].outcome == "embedded"
                assert images_of_file(index, path), path


def test_files_without_pixels_are_not_embedded(ingested: Any, manifest: Any, test_data: Path) -> None:
    _, report, _ = ingested
    rejected = {r.path for r in (*report.skipped, *report.quarantined)}
    without = {path for path, row in manifest.items() if row["decode"] == "no_pixels"}
    after_all = {str(test_data / "dicom" / name) for name in PIXELS_AFTER_ALL}
    assert without - rejected == after_all


def test_what_the_usual_decoders_cannot_read_is_embedded_or_truly_broken(
    ingested: Any, manifest: Any, test_data: Path
) -> None:
    index, report, _ = ingested
    folder = test_data / "dicom"
    rejected = {r.path: r.code for r in (*report.skipped, *report.quarantined)}
    rows = {path for path, row in manifest.items() if row["decode"].startswith(("fail", "unreadable"))}
    assert rows == {str(folder / name) for name in UNUSUAL}
    assert {name: rejected.get(str(folder / name)) for name in UNUSUAL} == UNUSUAL
    assert all(images_of_file(index, str(folder / name)) for name, code in UNUSUAL.items() if code is None)
    broken = {name for name, code in UNUSUAL.items() if code and REASONS[code][0] == QUARANTINED}
    assert {line.path: line.code for line in report.quarantined} == {
        str(folder / name): (UNUSUAL | NO_PIXELS_AND_BROKEN)[name]
        for name in broken | NO_PIXELS_AND_BROKEN.keys()
    }


@pytest.mark.filterwarnings("ignore::UserWarning:pydicom")
def test_a_codestream_of_billions_of_columns_is_another_with_four_bytes_changed(test_data: Path) -> None:
    names = ("JPEG2000-embedded-sequence-delimiter.dcm", "JPEG2000.dcm")
    files = [(test_data / "dicom" / "pydicom/test_files" / name).read_bytes() for name in names]
    broken, whole = (data[data.index(b"\xff\x4f\xff\x51") : data.rindex(b"\xff\xd9")] for data in files)
    assert [i for i in range(len(whole)) if whole[i] != broken[i]] == [6, 7, 8, 9]
    assert int.from_bytes(broken[8:12], "big") == 3_722_445_056


@pytest.mark.filterwarnings("ignore::UserWarning:pydicom")
@pytest.mark.parametrize(
    ("name", "pair"),
    [
        ("fo-dicom/GH177_D_CLUNIE_CT1_IVRLE_BigEndian_undefined_length.dcm", "wg04/RLE/CT1_RLE"),
        ("pydicom-data/emri_small_jpeg_2k_lossless_too_short.dcm", "pydicom-data/emri_small.dcm"),
    ],
)
def test_files_that_pydicom_gives_up_equal_their_pairs(test_data: Path, name: Any, pair: Any) -> None:
    with quiet():
        mine, theirs = (open_dataset(str(test_data / "dicom" / path)) for path in (name, pair))
        count = int(mine.get("NumberOfFrames") or 1)
        np.testing.assert_array_equal(
            np.stack(list(frames(mine, range(count)))), np.stack(list(frames(theirs, range(count))))
        )


def test_a_second_run_does_nothing(ingested: Any) -> None:
    _, first, second = ingested
    assert (second.embedded, second.files_embedded, second.unchanged) == (0, 0, first.images)
    assert (second.skipped, second.quarantined) == (first.skipped, first.quarantined)


def test_the_chest_ct_is_one_series_in_the_order_of_simpleitk(ingested: Any, test_data: Path) -> None:
    import SimpleITK

    index, _, _ = ingested
    folder = next(p.parent for p in (test_data / "dicom/ct_chest_series").rglob("*.dcm"))
    itk: Any = SimpleITK  # its functions have no types
    names = itk.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder))
    assert len(names) == 30
    uid = images_of_file(index, names[0])[0].series_instance_uid
    series = index.images_of(images_of_file(index, names[0])[0].study_instance_uid)
    assert {image.series_instance_uid for image in series} == {uid}
    ordered = [image.path for image in sorted(series, key=lambda image: image.slice_index)]
    assert ordered == list(names)
    assert {image.rendering for image in series} == {"ct-rgb-3window"}


def test_the_three_mr_series_stay_three(ingested: Any, manifest: Any) -> None:
    index, _, _ = ingested
    paths = [
        p
        for p, row in manifest.items()
        if "Brain-Tumor-Progression" in row["dataset"] and row["decode"] == "ok"
    ]
    images = [image for path in paths for image in images_of_file(index, path)]
    series = {image.series_instance_uid for image in images if image.modality == "MR"}
    assert len(series) == 3
    for uid in series:
        slices = [i.slice_index for i in images if i.series_instance_uid == uid]
        assert set(slices) == set(range(len(slices)))
        assert len({str(i.rendering_params) for i in images if i.series_instance_uid == uid}) == 1


@pytest.mark.filterwarnings("ignore::UserWarning:pydicom")
def test_decoded_values_equal_pydicom(manifest: Any) -> None:
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
            theirs = pixel_array(pydicom.dcmread(path, force=True), index=0)
        np.testing.assert_array_equal(mine, theirs, err_msg=path)
        compared += 1
    assert compared > 100


def test_pictures_with_wrong_names_and_broken_files_are_lines_of_the_report(test_data: Path) -> None:
    broken = test_data / "dicom/pydicom/test_files/MR_truncated.dcm"
    (line,) = render_files([broken])
    assert line == Rejected(str(broken), "truncated")
