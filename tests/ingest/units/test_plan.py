"""Which frames of which files are rendered, and in what order."""

from __future__ import annotations

import random
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import Dataset, Sequence
from pydicom.uid import EnhancedCTImageStorage, EnhancedMRImageStorage

from medsiglip.ingest.privacy.deidentify import SecretKey
from medsiglip.ingest.units.plan import PlanOptions, plan
from medsiglip.ingest.units.rendered_image import FileOutcome
from medsiglip.ingest.workers.unit_rendering import render_images
from tests.ingest.read_files import headers_of, images_of

KEY = SecretKey(bytes(32))
SAGITTAL = [0, 1, 0, 0, 0, -1]


def item(**attributes: Any) -> Any:
    dataset = Dataset()
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    return dataset


def group(**attributes: Any) -> Any:
    return Sequence([item(**attributes)])


def frame_group(z: Any, *, orientation: Any = None, **groups: Any) -> Any:
    found = item(PlanePositionSequence=group(ImagePositionPatient=[0, 0, z]), **groups)
    if orientation:
        found.PlanePositionSequence = group(ImagePositionPatient=[z, 0, 0])
        found.PlaneOrientationSequence = group(ImageOrientationPatient=orientation)
    return found


@pytest.fixture(scope="module")
def write_enhanced(write_dicom: Any) -> Any:
    """An enhanced image whose frames have the groups `frames`; frame f holds `1000 * f` and a slope."""

    def write(
        path: Any, frames: Any, modality: Any = "MR", shared: Any = None, slope: Any = 100, **attributes: Any
    ) -> Any:
        slopes = np.add.outer(np.arange(8), np.arange(8))
        pixels = np.stack([slope * f + slopes for f in range(len(frames))]).astype(np.int16)
        together = item(PlaneOrientationSequence=group(ImageOrientationPatient=[1, 0, 0, 0, 1, 0]))
        for keyword, value in (shared or {}).items():
            setattr(together, keyword, value)
        return write_dicom(
            path,
            pixels,
            Modality=modality,
            SOPClassUID={"CT": EnhancedCTImageStorage, "MR": EnhancedMRImageStorage}[modality],
            NumberOfFrames=len(frames),
            SharedFunctionalGroupsSequence=Sequence([together]),
            PerFrameFunctionalGroupsSequence=Sequence(frames),
            **attributes,
        )

    return write


def test_frames_of_an_enhanced_image_are_ordered_by_their_positions(
    tmp_path: Path, write_enhanced: Any
) -> None:
    positions = [15, 0, 10, 5, 20]
    images = images_of([write_enhanced(tmp_path / "e.dcm", [frame_group(z) for z in positions])])
    assert [positions[image.frame] for image in images] == [0, 5, 10, 15, 20]
    assert [image.slice_index for image in images] == [0, 1, 2, 3, 4]
    assert {image.rendering for image in images} == {"mr-percentile"}
    assert images[0].warnings == ()


@pytest.mark.parametrize(
    "told",
    [
        lambda n: {"FrameContentSequence": group(TemporalPositionIndex=n)},
        lambda n: {"FrameContentSequence": group(FrameAcquisitionNumber=n)},
        lambda n: {"FrameContentSequence": group(FrameAcquisitionDateTime=f"2024010110000{n}.5")},
        lambda n: {"FrameContentSequence": group(DimensionIndexValues=[1, n])},
        lambda n: {"MRDiffusionSequence": group(DiffusionBValue=500.0 * n)},
        lambda n: {"MREchoSequence": group(EffectiveEchoTime=10.0 * n)},
        lambda n: {"FrameContentSequence": group(StackID=str(n))},
        lambda n: {"UnassignedPerFrameConvertedAttributesSequence": group(AcquisitionNumber=n)},
    ],
)
def test_frames_that_share_places_become_stacks(tmp_path: Path, write_enhanced: Any, told: Any) -> None:
    frames = [(n, z) for n in (1, 2, 3) for z in (0, 5, 10, 15)]
    random.Random(3).shuffle(frames)
    path = write_enhanced(tmp_path / "e.dcm", [frame_group(z, **told(n)) for n, z in frames])
    images = images_of([path])
    assert [frames[image.frame] for image in images] == sorted(frames)
    assert {image.warnings for image in images} == {()}


@pytest.mark.parametrize("modality", ["CT", "US"])
@pytest.mark.parametrize("limit", [85, None])
def test_a_count_of_frames_that_lies_takes_no_memory(
    tmp_path: Path, write_dicom: Any, modality: Any, limit: Any
) -> None:
    """A list of the frames of this file would take a hundred megabytes, of a larger file all there are."""
    pixels = np.zeros((700, 1000), np.uint16)
    path = write_dicom(tmp_path / "x.dcm", pixels, Modality=modality, NumberOfFrames=2**31 - 1)
    tracemalloc.start()
    (unit,) = plan(headers_of(path), PlanOptions(limit))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(unit.slices) <= 2
    assert peak < 4_000_000
    (outcome,) = render_images(unit)
    assert isinstance(outcome, FileOutcome)
    assert outcome.code == "inconsistent-pixels"


def test_frames_that_the_header_does_not_place_are_sampled_as_stored(
    tmp_path: Path, write_dicom: Any
) -> None:
    pixels = np.zeros((400, 4, 4), np.uint16)
    for n in range(2):
        given = {"Modality": "MR", "NumberOfFrames": 400, "SOPInstanceUID": f"2.25.7{n}"}
        write_dicom(tmp_path / f"{n}.dcm", pixels, **given)
    (unit,) = plan(headers_of(tmp_path), PlanOptions(8))
    assert [(s.file, s.frame) for s in unit.slices] == [(f, 50 + 100 * i) for f in (0, 1) for i in range(4)]
    (unit,) = plan(headers_of(tmp_path), PlanOptions(None))
    assert [(s.file, s.frame) for s in unit.slices] == [(f, i) for f in (0, 1) for i in range(400)]
    assert [s.slice_index for s in unit.slices] == list(range(800))


def test_each_orientation_of_an_enhanced_image_is_a_stack(tmp_path: Path, write_enhanced: Any) -> None:
    groups = [frame_group(z) for z in (10, 0, 5)]
    groups += [frame_group(x, orientation=SAGITTAL) for x in (0, 30, 10, 20)]
    (unit,) = plan(headers_of(write_enhanced(tmp_path / "e.dcm", groups)))
    assert [s.frame for s in unit.slices] == [4, 6, 5, 3, 1, 2, 0]


def test_pixel_values_are_transformed_frame_by_frame(tmp_path: Path, write_enhanced: Any) -> None:
    """CT: the same tissue, stored with another slope and intercept in each frame, looks the same."""
    stored = [[0, 100], [200, 300], [400, 500]]
    transforms = [(2.0, -1000.0), (1.0, -1000.0), (0.5, -1000.0)]
    frames = [
        frame_group(
            5 * f,
            PixelValueTransformationSequence=group(RescaleSlope=s, RescaleIntercept=i, RescaleType="HU"),
        )
        for f, (s, i) in enumerate(transforms)
    ]
    images = images_of([write_enhanced(tmp_path / "e.dcm", frames, "CT")])
    assert {image.rendering for image in images} == {"ct-rgb-3window"}
    for image, (slope, intercept) in zip(images, transforms, strict=True):
        units = slope * (100 * image.frame + np.add.outer(np.arange(8), np.arange(8))) + intercept
        expected = np.clip((units + 100) / 2250 + 0.5, 0, 1) * 255
        np.testing.assert_allclose(image.pixels[..., 0], expected, atol=0.51)
    assert len(stored) == len(images)


def test_values_of_b_0_do_not_set_the_grey_of_b_1000(tmp_path: Path, write_series: Any) -> None:
    write_series(tmp_path / "b0", 4, "MR", DiffusionBValue=0.0)
    for n, path in enumerate(write_series(tmp_path / "b1000", 4, "MR", DiffusionBValue=1000.0)):
        from pydicom import dcmread

        dataset = dcmread(path)
        dataset.SOPInstanceUID = f"2.25.88{n}"
        dataset.PixelData = (dataset.pixel_array // 4).astype(np.int16).tobytes()
        dataset.save_as(path)
    images = images_of([tmp_path])
    params = [str(image.rendering_params) for image in images]
    assert len(set(params[:4])) == len(set(params[4:])) == 1
    assert params[0] != params[4]
    assert [image.slice_index for image in images if "b0" in image.path] == [0, 1, 2, 3]


def test_a_localizer_in_the_series_is_beside_the_volume(
    tmp_path: Path, write_series: Any, write_dicom: Any
) -> None:
    paths = write_series(tmp_path, 5)
    write_dicom(
        tmp_path / "scout.dcm",
        np.full((16, 16), 3, np.int16),
        Modality="CT",
        SOPInstanceUID="2.25.700",
        SeriesInstanceUID="2.25.7",
        StudyInstanceUID="2.25.97",
        ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"],
        ImagePositionPatient=[0, 0, 7.5],
        ImageOrientationPatient=[1, 0, 0, 0, 1, 0],
    )
    (unit,) = plan(headers_of(tmp_path))
    names = [unit.headers[s.file].sop_instance_uid for s in unit.slices]
    assert names == [f"2.25.7{z:03d}" for z in range(len(paths))] + ["2.25.700"]
    assert {s.warnings for s in unit.slices} == {()}
    assert [bool(h.quality.get("localizer")) for h in unit.headers].count(True) == 1


def test_a_missing_slice_is_told_with_every_image_of_its_stack(tmp_path: Path, write_series: Any) -> None:
    write_series(tmp_path, 8)[3].unlink()
    images = images_of([tmp_path])
    assert {image.warnings for image in images} == {("missing-slices",)}
    assert len(images) == 7


def test_frames_without_places_stay_as_stored(tmp_path: Path, write_dicom: Any) -> None:
    pixels = np.arange(5 * 64, dtype=np.int16).reshape(5, 8, 8)
    path = write_dicom(tmp_path / "m.dcm", pixels, Modality="MR", NumberOfFrames=5)
    (unit,) = plan(headers_of(path), PlanOptions(3))
    assert [s.frame for s in unit.slices] == [0, 2, 4]


def test_malformed_groups_leave_the_frames_as_stored(tmp_path: Path, write_enhanced: Any) -> None:
    groups = [frame_group(z) for z in (10, 0, 5)]
    groups[1].PlanePositionSequence = group(ImagePositionPatient=[1, 2])
    del groups[2].PlanePositionSequence
    images = images_of([write_enhanced(tmp_path / "e.dcm", groups)])
    assert sorted(image.frame for image in images) == [0, 1, 2]


@pytest.mark.parametrize("limit", [None, 1, 7, 85])
def test_the_real_chest_ct_is_ordered_as_simpleitk_orders_it(test_data: Path, limit: Any) -> None:
    import SimpleITK

    itk: Any = SimpleITK  # its functions have no types
    folder = next(p.parent for p in (test_data / "dicom/ct_chest_series").rglob("*.dcm"))
    names = itk.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder))
    found = headers_of(folder)
    random.Random(5).shuffle(found)
    (unit,) = plan(found, PlanOptions(limit))
    rendered = [unit.headers[s.file].path for s in unit.slices]
    assert rendered == [names[s.slice_index] for s in unit.slices]
    assert len(rendered) == min(limit or 30, 30)
    assert {s.warnings for s in unit.slices} == {()}
