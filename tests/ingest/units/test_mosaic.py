"""Siemens mosaics, built by hand: 6 x 6 tiles of 8 x 8 pixels, of which the first 33 hold a slice."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import Dataset

from medsiglip.ingest.units.mosaic import read_csa, tile_count, tile_region
from medsiglip.ingest.units.plan import PlanOptions
from tests.ingest.read_files import images_of

SIDE, TILES, EDGE = 6, 33, 8


def mosaic(first: Any = 0) -> Any:
    """Tile t shows a slope around `100 * (t + 1)`; the last three tiles are blank."""
    values = np.zeros((SIDE * EDGE, SIDE * EDGE), np.uint16)
    for tile in range(TILES):
        row, column = divmod(tile, SIDE)
        slope = np.add.outer(np.arange(EDGE), np.arange(EDGE))
        values[row * EDGE : (row + 1) * EDGE, column * EDGE : (column + 1) * EDGE] = (
            100 * (tile + 1) + slope + first
        )
    return values


def csa(tags: Any, *, second: Any = True) -> Any:
    """A CSA header of either form, as NiBabel and SPM describe them."""
    parts = [b"SV10\4\3\2\1"] if second else []
    parts.append(struct.pack("<II", len(tags), 77))
    first_items = None
    for name, values in tags.items():
        items = [f"{value}\0".encode() for value in values] + [b""] * (6 - len(values))
        first_items = len(items) if first_items is None else first_items
        parts.append(struct.pack("<64sI4sIII", name.encode(), len(values), b"IS", 6, len(items), 77))
        for item in items:
            length = len(item)
            lengths = (77, length, 77, 77) if second else (length + first_items, 77, 77, 77)
            parts.append(struct.pack("<4I", *lengths) + item + b"\0" * (-length % 4))
    return b"".join(parts)


@pytest.fixture(scope="module")
def write_mosaic(write_dicom: Any) -> Any:
    def write(
        path: Any, number: Any = 1, stated: Any = "csa", normal: Any = (0.0, 0.0, 1.0), **attributes: Any
    ) -> Any:
        blocks = {}
        if stated == "csa":
            blocks["csa"] = csa(
                {
                    "EchoColumnPosition": ["1"],
                    "NumberOfImagesInMosaic": [f"{TILES}   "],
                    "SliceNormalVector": [f"{n:.8f}" for n in normal],
                }
            )
        write_dicom(
            path,
            mosaic(first=number),
            Modality="MR",
            SOPInstanceUID=f"2.25.60{number}",
            InstanceNumber=number,
            AcquisitionNumber=number,
            ImageType=["ORIGINAL", "PRIMARY", "M", "ND", "MOSAIC"],
            ImagePositionPatient=[-100, -100, 40],
            ImageOrientationPatient=[1, 0, 0, 0, 1, 0],
            SpacingBetweenSlices=3.5,
            AcquisitionMatrix=[EDGE, 0, 0, EDGE] if stated == "matrix" else None,
            **attributes,
        )
        if stated in ("csa", "private"):
            add_private(path, blocks.get("csa"))
        return path

    return write


def add_private(path: Any, header: Any) -> None:
    from pydicom import dcmread

    dataset = dcmread(path)
    if header:
        dataset.private_block(0x0029, "SIEMENS CSA HEADER", create=True).add_new(0x10, "OB", header)
    else:
        dataset.private_block(0x0019, "SIEMENS MR HEADER", create=True).add_new(0x0A, "US", TILES)
    dataset.save_as(path)


@pytest.mark.parametrize("stated", ["csa", "private", "matrix"])
def test_every_tile_is_a_slice_in_the_order_of_its_number(
    tmp_path: Path, write_mosaic: Any, stated: Any
) -> None:
    images = images_of([write_mosaic(tmp_path / "m.dcm", stated=stated)])
    assert [image.frame for image in images] == list(range(TILES))
    assert [image.slice_index for image in images] == list(range(TILES))
    assert {image.pixels.shape for image in images} == {(EDGE, EDGE)}
    means = [float(image.pixels.mean()) for image in images]
    assert means == sorted(means)
    assert images[0].warnings == ()


def test_a_tile_shows_what_the_mosaic_holds_there(tmp_path: Path, write_mosaic: Any) -> None:
    images = images_of([write_mosaic(tmp_path / "m.dcm")])
    params: Any = images[0].rendering_params
    low, high = params["low"], params["high"]
    for image in (images[0], images[7], images[32]):
        row, column = divmod(image.frame, SIDE)
        stored = mosaic(first=1).astype(float)[
            row * EDGE : (row + 1) * EDGE, column * EDGE : (column + 1) * EDGE
        ]
        np.testing.assert_allclose(
            image.pixels, np.clip((stored - low) / (high - low), 0, 1) * 255, atol=0.51
        )


def test_slices_run_along_the_image_normal_whichever_way_the_tiles_do(
    tmp_path: Path, write_mosaic: Any
) -> None:
    images = images_of([write_mosaic(tmp_path / "m.dcm", normal=(0.0, 0.0, -1.0))])
    assert [image.frame for image in images] == list(range(TILES))[::-1]
    assert [image.slice_index for image in images] == list(range(TILES))


def test_volumes_of_a_series_stay_apart_and_are_sampled_over_time(tmp_path: Path, write_mosaic: Any) -> None:
    for number in range(1, 13):
        write_mosaic(tmp_path / f"{20 - number}.dcm", number)
    images = images_of([tmp_path], PlanOptions(24))
    assert len(images) == 24
    shown = {image.sop_instance_uid for image in images}
    assert shown == {"2.25.601", "2.25.606", "2.25.6012"} or len(shown) == 3
    assert {"2.25.601", "2.25.6012"} <= shown
    assert len({str(image.rendering_params) for image in images}) == 1
    every = images_of([tmp_path], PlanOptions(None))
    assert len(every) == 12 * TILES
    assert {image.slice_index for image in every} == set(range(12 * TILES))


def test_an_image_that_is_no_grid_stays_whole(tmp_path: Path, write_mosaic: Any, write_dicom: Any) -> None:
    path = write_mosaic(tmp_path / "m.dcm", stated="nothing")
    (image,) = images_of([path])
    assert image.pixels.shape == (SIDE * EDGE, SIDE * EDGE)
    assert image.frame == 0


@pytest.mark.parametrize("second", [True, False])
def test_csa_headers_of_both_forms_are_read(second: Any) -> None:
    tags = {"A": ["1", "2.5"], "Empty": [], "NumberOfImagesInMosaic": ["33      "], "Text": ["abc"]}
    found = read_csa(csa(tags, second=second))
    assert found == {"A": ("1", "2.5"), "Empty": (), "NumberOfImagesInMosaic": ("33",), "Text": ("abc",)}


@given(st.binary(max_size=400), st.integers(0, 500), st.booleans())
def test_a_damaged_csa_header_is_never_an_error(noise: Any, at: Any, second: Any) -> None:
    whole = csa({"A": ["1"], "NumberOfImagesInMosaic": ["33"], "B": ["2"]}, second=second)
    read_csa(noise)
    read_csa(whole[:at])
    read_csa(whole[:at] + noise + whole[at + len(noise) :])


@pytest.mark.parametrize(
    ("count", "rows", "columns", "region"),
    [
        (33, 48, 48, (8, 8, 8, 8)),
        (36, 48, 48, (8, 8, 8, 8)),
        (37, 48, 48, None),
        (1, 48, 40, None),
        (0, 48, 48, None),
        (4, 0, 48, None),
    ],
)
def test_tiles_fill_a_square_grid(count: Any, rows: Any, columns: Any, region: Any) -> None:
    found = tile_region(7 if count > 7 else 0, count, rows, columns)
    assert found == (region if count != 1 else (0, 0, 48, 40))


def test_counts_that_cannot_be_are_not_believed() -> None:
    dataset = Dataset()
    dataset.Rows = dataset.Columns = 48
    block = dataset.private_block(0x0019, "SIEMENS MR HEADER", create=True)
    block.add_new(0x0A, "US", 60000)
    assert tile_count(dataset) == 0
    dataset.AcquisitionMatrix = [0, 8, 8, 0]
    assert tile_count(dataset) == 36
