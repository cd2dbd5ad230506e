"""Pixels that are not square: discs that are round in the patient are drawn round, from any kind of file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK
from pydicom import Dataset

from medsiglip.ingest.header.metadata import PictureMetadata
from medsiglip.ingest.render.pixel_aspect import drawn_size, with_square_pixels
from medsiglip.ingest.units.plan import PlanOptions, plan
from medsiglip.ingest.units.rendered_image import RenderedImage
from medsiglip.ingest.workers.rendered_unit import render_unit
from medsiglip.ingest.workers.unit_rendering import render_images
from tests.ingest.read_files import headers_of, images_of
from tests.ingest.slides.slide_cases import slide, tissue


def disc(rows: int, columns: int) -> Any:
    """A disc that fills the middle of a square field of view, of that many rows and columns."""
    y, x = np.mgrid[:rows, :columns]
    across = (y + 0.5) / rows - 0.5, (x + 0.5) / columns - 0.5
    return np.where(np.hypot(*across) < 0.35, 200, 0).astype(np.uint8)


def is_round(pixels: Any) -> Any:
    grey = pixels.reshape(*pixels.shape[:2], -1)[..., 0]
    rows, columns = np.nonzero(grey >= grey.max() / 2)
    return abs(rows.std() / columns.std() - 1.0) < 0.02


def item(**attributes: Any) -> Dataset:
    found = Dataset()
    for keyword, value in attributes.items():
        setattr(found, keyword, value)
    return found


def region(down: float, across: float, **attributes: Any) -> Dataset:
    given = {"RegionSpatialFormat": 1, "PhysicalUnitsXDirection": 3, "PhysicalUnitsYDirection": 3}
    return item(**{**given, "PhysicalDeltaX": across, "PhysicalDeltaY": down, **attributes})


HIGH: dict[str, Any] = {  # pixels of 60 rows and 120 columns are twice as high as wide
    "spacing": {"PixelSpacing": [0.4, 0.2]},
    "imager spacing": {"ImagerPixelSpacing": [0.4, 0.2]},
    "scanned spacing": {"NominalScannedPixelSpacing": [0.4, 0.2]},
    "aspect ratio": {"PixelAspectRatio": [2, 1]},
    "aspect ratio in other numbers": {"PixelAspectRatio": [44, 22]},
    "spacing before aspect ratio": {"PixelSpacing": [1, 0.5], "PixelAspectRatio": [1, 1]},
    "spacing that cannot be used": {"PixelSpacing": [0, 0.2], "ImagerPixelSpacing": [2, 1]},
    "shared group": {
        "SharedFunctionalGroupsSequence": [item(PixelMeasuresSequence=[item(PixelSpacing=[0.8, 0.4])])]
    },
    "frame's group before the top": {
        "PerFrameFunctionalGroupsSequence": [item(PixelMeasuresSequence=[item(PixelSpacing=[0.8, 0.4])])],
        "PixelSpacing": [1, 1],
    },
    "angiography": {
        "SharedFunctionalGroupsSequence": [
            item(FramePixelDataPropertiesSequence=[item(ImagerPixelSpacing=[0.8, 0.4])])
        ]
    },
    "ultrasound": {"SequenceOfUltrasoundRegions": [region(0.02, 0.01), region(-0.02, 0.01)]},
    "ultrasound with a spectrum": {
        "SequenceOfUltrasoundRegions": [
            region(0.02, 0.01),
            region(7.0, 0.001, RegionSpatialFormat=3, PhysicalUnitsXDirection=4),
        ]
    },
}


@pytest.mark.parametrize("kind", HIGH)
def test_high_pixels_make_the_picture_higher(tmp_path: Path, write_dicom: Any, kind: str) -> None:
    pixels = disc(60, 120)
    assert not is_round(pixels)
    (image,) = images_of([write_dicom(tmp_path / "x.dcm", pixels, **HIGH[kind])])
    assert image.pixels.shape == (120, 120)
    assert is_round(image.pixels)
    assert image.rendering_params["pixel_aspect"] == 2.0


def test_wide_pixels_make_the_picture_wider_in_colour_too(tmp_path: Path, write_dicom: Any) -> None:
    pixels = np.repeat(disc(90, 60)[..., np.newaxis], 3, axis=2)
    (image,) = images_of([write_dicom(tmp_path / "x.dcm", pixels, PixelSpacing=[0.2, 0.3])])
    assert image.pixels.shape == (90, 90, 3)
    assert is_round(image.pixels)


SQUARE: dict[str, Any] = {
    "nothing": {},
    "square": {"PixelSpacing": [0.3, 0.3], "PixelAspectRatio": [2, 1]},
    "nearly square": {"PixelSpacing": [0.3000, 0.3001]},
    "written with two digits": {"PixelSpacing": [0.977, 0.98]},
    "zero": {"PixelSpacing": [0, 0]},
    "one number": {"PixelSpacing": 0.3},
    "negative": {"PixelAspectRatio": [-1, 2]},
    "regions that differ": {"SequenceOfUltrasoundRegions": [region(0.02, 0.01), region(0.01, 0.01)]},
    "no plane": {"SequenceOfUltrasoundRegions": [region(0.02, 0.01, RegionSpatialFormat=2)]},
    "empty region": {"SequenceOfUltrasoundRegions": [Dataset()]},
}


@pytest.mark.parametrize("kind", SQUARE)
def test_square_pixels_are_left(tmp_path: Path, write_dicom: Any, kind: str) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (50, 70), dtype=np.uint8)
    (image,) = images_of([write_dicom(tmp_path / "x.dcm", pixels, **SQUARE[kind])])
    np.testing.assert_array_equal(image.pixels, pixels)


def test_frames_are_drawn_by_their_own_groups(tmp_path: Path, write_dicom: Any) -> None:
    groups = [
        item(PixelMeasuresSequence=[item(PixelSpacing=spacing)]) for spacing in ([1, 1], [2, 1], [1, 2])
    ]
    pixels = np.stack([disc(60, 60)] * 3)
    path = write_dicom(tmp_path / "x.dcm", pixels, NumberOfFrames=3, PerFrameFunctionalGroupsSequence=groups)
    shapes = [image.pixels.shape for image in images_of([path])]
    assert shapes == [(60, 60), (120, 60), (60, 120)]


def test_series_and_three_windows(tmp_path: Path, write_series: Any) -> None:
    for modality, spacing, shape in (("CT", [2, 1], (32, 16, 3)), ("MR", [1, 2], (16, 32))):
        folder = tmp_path / modality
        write_series(folder, 4, modality, PixelSpacing=spacing)
        assert {image.pixels.shape for image in images_of([folder])} == {shape}


def test_tiles_of_a_mosaic(tmp_path: Path, write_dicom: Any) -> None:
    tiles = np.tile(disc(20, 40), (2, 2)).astype(np.uint16) + 1
    path = write_dicom(
        tmp_path / "x.dcm",
        tiles,
        Modality="MR",
        ImageType=["ORIGINAL", "PRIMARY", "M", "MOSAIC"],
        AcquisitionMatrix=[40, 0, 0, 40],
        PixelSpacing=[4, 2],
    )
    images = images_of([path])
    assert [image.pixels.shape for image in images] == [(40, 40)] * 4
    assert all(is_round(image.pixels) for image in images)


@pytest.mark.parametrize("suffix", ["nii", "nii.gz", "nrrd", "mha"])
def test_volume_files(tmp_path: Path, suffix: str) -> None:
    itk: Any = SimpleITK
    volume = itk.GetImageFromArray(np.stack([disc(60, 120)] * 3).astype(np.int16))
    volume.SetSpacing((1.0, 2.0, 2.5))
    itk.WriteImage(volume, str(tmp_path / f"x.{suffix}"))
    images = images_of([tmp_path / f"x.{suffix}"])
    assert [image.pixels.shape for image in images] == [(120, 120)] * 3
    assert is_round(images[1].pixels)


def test_slides_are_left(tmp_path: Path) -> None:
    dataset = slide(tissue(256, 256))
    square, oblong = tmp_path / "square", tmp_path / "oblong"
    for folder, spacing in ((square, [0.001, 0.001]), (oblong, [0.001, 0.0005])):
        folder.mkdir()
        dataset.PixelSpacing = spacing
        dataset.save_as(folder / "x.dcm", enforce_file_format=True)
    for first, second in zip(images_of([square]), images_of([oblong]), strict=True):
        np.testing.assert_array_equal(first.pixels, second.pixels)


def test_what_is_measured_and_embedded_is_the_drawn_picture(tmp_path: Path, write_dicom: Any) -> None:
    path = write_dicom(tmp_path / "x.dcm", disc(60, 120), PixelSpacing=[0.4, 0.2])
    (unit,) = plan(headers_of(path, metadata=PictureMetadata()), PlanOptions())
    rendered = render_unit(unit, 64, "medsiglip-eval")
    assert is_round(rendered.inputs[0])
    assert (rendered.images[0].quality["aspect"], rendered.images[0].quality["pixel_aspect"]) == (1.0, 2.0)
    _, shown = render_images(unit)
    assert isinstance(shown, RenderedImage)
    assert shown.display.values.shape == (120, 120)


@pytest.mark.parametrize("aspect", [1e-300, 1e-6, 0.001, 0.2, 5.0, 1000.0, 1e6, 1e300, np.inf, np.nan, -1.0])
@pytest.mark.parametrize("shape", [(1, 1), (64, 64), (3000, 2000), (2, 5000)])
def test_extreme_ratios_are_bounded(shape: Any, aspect: float) -> None:
    height, width = drawn_size(shape[0], shape[1], aspect)
    assert min(height, width) >= 1
    assert height * width <= max(4 * shape[0] * shape[1], 1 << 20) * 1.01
    assert max(height, width) <= max(*shape, 1 << 15)


def test_a_picture_beyond_bounds_keeps_its_shape() -> None:
    height, width = drawn_size(1000, 1000, 20.0)
    assert abs(height / width / 20.0 - 1.0) < 0.01
    assert with_square_pixels(np.zeros((1000, 1000), np.uint8), 20.0).shape == (height, width)
