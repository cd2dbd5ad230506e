"""Small files modelled on public reports, with the pictures that `render` must give of them.

`frames` of an entry of `dicom/expected.json` names a PNG, its shape, its mean, and some of its pixels by row
and column.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.ingest.read_files import images_of

CASES = (
    "xa_modlut.dcm",
    "tif16_white0.tif",
    "tif16_black0.tif",
    "tif8_white0.tif",
    "icc_png.png",
    "icc_jpeg.jpg",
    "icc_dicom.dcm",
    "ybr16s8.dcm",
    "ybr16s8_rle.dcm",
    "us16s8.dcm",
    "int8.dcm",
    "pal16desc8data.dcm",
    "rle_excess.dcm",
    "png16dead.png",
    "dx16dead.dcm",
    "tif_rgb16_planar.tif",
    "tif_u32.tif",
    "aspect.dcm",
)
# Files that do not hold the expected colours themselves: how many of 12,288 samples are beyond the tolerance,
# and by how many levels. Luma and chroma were cut off to whole numbers, not rounded, which the arithmetic of
# PS3.3 C.7.6.3.1.2 turns into 2.77 levels of blue (pydicom gives the same); the JPEG is 3 levels away before
# its profile, which is steep in the dark.
LOSSY = {"ybr16s8.dcm": (25, 1), "ybr16s8_rle.dcm": (25, 1), "icc_jpeg.jpg": (15, 9)}


@pytest.fixture(scope="module")
def expected(test_cases: Path) -> Any:
    return json.loads((test_cases / "dicom" / "expected.json").read_text())


def test_every_case_with_a_picture_is_tried(expected: Any) -> None:
    assert {name for name, entry in expected.items() if "frames" in entry} == set(CASES)


@pytest.mark.parametrize("name", CASES)
def test_case(expected: Any, test_cases: Path, name: str) -> None:
    entry, folder = expected[name], test_cases / "dicom"
    images = images_of([folder / "inputs" / name])
    assert [image.frame for image in images] == [frame["frame"] for frame in entry["frames"]]
    for image, wanted in zip(images, entry["frames"], strict=True):
        assert list(image.pixels.shape) == wanted["shape"]
        if entry["tolerance"] is None:
            is_round(image.pixels)
            continue
        shown = image.pixels.astype(int)
        picture = np.asarray(Image.open(folder / wanted["png"])).astype(int)
        beyond = np.abs(shown - picture) - entry["tolerance"]
        most, by = LOSSY.get(name, (0, 0))
        assert int((beyond > 0).sum()) <= most
        assert beyond.max() <= by
        assert abs(float(shown.mean()) - wanted["mean"]) <= entry["tolerance"] + 0.001
        for place, value in wanted["samples"].items():
            row, column = map(int, place.split(","))
            assert np.abs(shown[row, column] - np.array(value)).max() <= entry["tolerance"]


def is_round(pixels: Any) -> None:
    """The disc of 200 on black is as wide as it is high, and so is its spread about its middle."""
    rows, columns = np.nonzero(pixels >= 100)
    assert abs(np.ptp(rows) - np.ptp(columns)) <= 1
    assert abs(rows.std() / columns.std() - 1.0) < 0.01
    assert pixels.max() == 200
    assert pixels.min() == 0


def test_a_round_disc_is_where_the_case_says(expected: Any, test_cases: Path) -> None:
    (frame,) = expected["aspect.dcm"]["frames"]
    (image,) = images_of([test_cases / "dicom" / "inputs" / "aspect.dcm"])
    picture = np.asarray(Image.open(test_cases / "dicom" / frame["png"])).astype(int)
    shown = image.pixels.astype(int)
    assert abs(float(shown.mean()) - frame["mean"]) < 1.0
    for place, value in frame["samples"].items():
        row, column = map(int, place.split(","))
        assert shown[row, column] == value
    # Only the edge, which dcm2pnm does not interpolate, may differ.
    assert float((np.abs(shown - picture) > 1).mean()) < 0.06
