"""One phantom, written in every format and every way round, is one set of pictures."""

from __future__ import annotations

import gzip
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK

from medsiglip.ingest.header.metadata import PictureMetadata
from medsiglip.ingest.privacy.deidentify import SecretKey
from medsiglip.ingest.reasons import Rejected
from medsiglip.ingest.scan.scan import scan_file
from medsiglip.ingest.units.plan import PlanOptions, plan
from medsiglip.ingest.volumes import volume_layout
from medsiglip.ingest.volumes.itk_volume import ItkVolume
from medsiglip.ingest.volumes.nifti_volume import NiftiVolume
from medsiglip.ingest.workers.render_files import render_files
from medsiglip.ingest.workers.unit_rendering import render_images
from tests.ingest.read_files import found_files, headers_of, images_of

KEY = SecretKey(bytes(32))
FORMATS = ["nii", "nii.gz", "nrrd", "nhdr", "mha", "mhd"]
# Grids that hold the same patient otherwise: SimpleITK names the direction in which each axis runs.
itk: Any = SimpleITK  # its functions have no types
ORIENTATIONS = ["LPS", "RAS", "RPI", "SAL", "PIR", "ASR"]


def phantom(shape: Any = (6, 10, 14), spacing: Any = (2.0, 2.0, 3.0)) -> Any:
    """[z, y, x] with axes to the head, the back and the left: every corner and every slice is told apart.

    The brightest block is at the patient's right front: top left in an axial picture.
    """
    z, y, x = np.mgrid[: shape[0], : shape[1], : shape[2]]
    values = (-800 + 30 * z + 3 * y + 2 * x).astype(np.int16)
    values[:, :3, :4] = 900
    image = itk.GetImageFromArray(values)
    image.SetSpacing(spacing)
    image.SetOrigin((-30.0, 12.0, 70.0))
    return image, values


def write(image: Any, path: Path) -> Path:
    itk.WriteImage(image, str(path), useCompression=path.suffix == ".gz")
    return path


def rendered(path: Path, modality: str | None = None, limit: int | None = None) -> Any:
    (header,) = headers_of(path, key=KEY, metadata=PictureMetadata(modality=modality))
    (unit,) = plan([header], PlanOptions(limit))
    return [item for item in render_images(unit) if hasattr(item, "display")]


def pixels(images: Any) -> Any:
    return [image.display.values for image in images]


@pytest.fixture(scope="module")
def dicom_pictures(tmp_path_factory: pytest.TempPathFactory, write_dicom: Any) -> Any:
    """The phantom as a series of a scanner: rows to the left, columns to the back, slices to the head."""
    folder = tmp_path_factory.mktemp("series")
    image, values = phantom()
    for z, plane in enumerate(values):
        write_dicom(
            folder / f"{9 - z}.dcm",
            plane,
            Modality="CT",
            SOPInstanceUID=f"2.25.4{z}",
            RescaleSlope=1,
            RescaleIntercept=0,
            ImagePositionPatient=list(image.TransformIndexToPhysicalPoint((0, 0, z))),
            ImageOrientationPatient=[1, 0, 0, 0, 1, 0],
        )
    return [one.pixels for one in images_of([folder])]


@pytest.mark.parametrize("orientation", ORIENTATIONS)
@pytest.mark.parametrize("extension", FORMATS)
def test_every_format_and_grid_gives_the_pictures_of_the_dicom_series(
    tmp_path: Path, dicom_pictures: Any, extension: Any, orientation: Any
) -> None:
    image = itk.DICOMOrient(phantom()[0], orientation)
    path = write(image, tmp_path / f"phantom.{extension}")
    images = rendered(path, "CT")
    assert [image.slice.slice_index for image in images] == list(range(6))
    assert {image.display.rendering for image in images} == {"ct-rgb-3window"}
    np.testing.assert_array_equal(pixels(images), dicom_pictures)


def test_the_patients_right_front_is_at_the_top_left(tmp_path: Path) -> None:
    (first, *_) = pixels(rendered(write(phantom()[0], tmp_path / "p.nii"), "MR"))
    top_left = first[:3, :4].mean()
    assert top_left == 255
    assert top_left > 2 * max(first[-3:, :4].mean(), first[:3, -4:].mean(), first[-3:, -4:].mean())


@pytest.mark.parametrize("angle", [-40, -20, 20, 40])
def test_oblique_grids_are_rendered_the_nearest_way_round(tmp_path: Path, angle: Any) -> None:
    """SimpleITK's own idea of the nearest orientation is the reference."""
    image, _ = phantom()
    turn = itk.Euler3DTransform((0, 0, 0), 0.1, np.radians(angle), 0.2)
    for orientation in ("RAS", "PIR"):
        turned = itk.DICOMOrient(image, orientation)
        matrix = np.array(turn.GetMatrix()).reshape(3, 3) @ np.array(turned.GetDirection()).reshape(3, 3)
        turned.SetDirection(matrix.ravel())
        upright = itk.GetArrayFromImage(itk.DICOMOrient(turned, "LPS"))
        mine = pixels(rendered(write(turned, tmp_path / f"{orientation}.mha"), "MR"))
        low, high = np.percentile(upright, [0.5, 99.5])
        np.testing.assert_allclose(mine, np.clip((upright - low) / (high - low), 0, 1) * 255, atol=0.51)


@pytest.mark.parametrize(
    ("spacing", "plane", "corner"),
    [
        ((1.0, 1.0, 1.9), "axial", "right-front"),
        ((1.0, 5.0, 1.0), "coronal", "right-head"),
        ((5.0, 1.0, 1.0), "sagittal", "front-head"),
    ],
)
@pytest.mark.parametrize("orientation", ["LPS", "SAL", "RIP"])
def test_thick_slices_are_rendered_as_they_were_taken(
    tmp_path: Path, spacing: Any, plane: Any, corner: Any, orientation: Any
) -> None:
    """Coronal and sagittal pictures have the head at the top; sagittal ones show the front at the left."""
    values = np.zeros((8, 9, 10), np.int16)
    middle = {"right-front": np.s_[:, :3, :3], "right-head": np.s_[5:, :, :3], "front-head": np.s_[5:, :3, :]}
    values[middle[corner]] = 100
    image = itk.GetImageFromArray(values)
    image.SetSpacing(spacing)
    path = write(itk.DICOMOrient(image, orientation), tmp_path / "p.nrrd")
    images = rendered(path)
    assert len(images) == {"axial": 8, "coronal": 9, "sagittal": 10}[plane]
    for shown in pixels(images):
        assert (shown[:3, :3] == 255).all()
        assert shown.mean() == pytest.approx(255 * 9 / shown.size)
    (unit,) = plan(headers_of(path, key=KEY))
    assert unit.orientation == plane


def test_hounsfield_units_are_taken_from_the_metadata_alone(tmp_path: Path) -> None:
    image, _ = phantom()
    renderings: dict[tuple[str, str | None], str] = {}
    for name, pixel_type in [
        ("i", itk.sitkInt16),
        ("f", itk.sitkFloat32),
        ("u", itk.sitkUInt16),
    ]:
        path = write(itk.Cast(image + 1000 * (name == "u"), pixel_type), tmp_path / f"{name}.nii.gz")
        for modality in ("CT", "MR", "PT", None):
            (rendering,) = {i.display.rendering for i in rendered(path, modality)}
            renderings[name, modality] = rendering
    expected: dict[tuple[str, str | None], str] = {
        ("i", "CT"): "ct-rgb-3window",
        ("f", "CT"): "ct-rgb-3window",
        ("u", "CT"): "series-percentile",
        **{(name, "MR"): "mr-percentile" for name in "ifu"},
        **{(name, "PT"): "series-percentile" for name in "ifu"},
        **{(name, None): "series-percentile" for name in "ifu"},
    }
    assert renderings == expected


def test_a_scaled_nifti_holds_scaled_values(tmp_path: Path) -> None:
    """`scl_slope` and `scl_inter` (NIfTI-1, bytes 112 and 116)."""
    image, values = phantom()
    path = write(image, tmp_path / "p.nii")
    content = bytearray(path.read_bytes())
    content[112:120] = np.array([0.5, -24.0], "<f4").tobytes()
    path.write_bytes(content)
    scaled = pixels(rendered(path, "CT"))
    plain = pixels(rendered(write(itk.GetImageFromArray(values * 0.5 - 24.0), tmp_path / "q.nrrd"), "CT"))
    np.testing.assert_array_equal(scaled, plain)


@pytest.mark.parametrize("extension", ["nii", "nii.gz", "nrrd", "mha"])
def test_colours_stay_colours(tmp_path: Path, extension: Any) -> None:
    colours = np.random.default_rng(0).integers(0, 255, (4, 8, 9, 3), dtype=np.uint8)
    path = write(itk.GetImageFromArray(colours, isVector=True), tmp_path / f"c.{extension}")
    images = rendered(path)
    assert {image.display.rendering for image in images} == {"colour"}
    np.testing.assert_array_equal(pixels(images), colours)


@pytest.mark.parametrize("extension", ["nii", "nii.gz", "mha"])
def test_volumes_of_several_times_are_sampled_over_time_and_space(tmp_path: Path, extension: Any) -> None:
    values = np.zeros((40, 12, 8, 8), np.int16)
    values += np.arange(40, dtype=np.int16)[:, None, None, None] * 12
    values += np.arange(12, dtype=np.int16)[:, None, None]
    values[..., 0, 0] = 480
    values[..., 0, 1] = 0
    path = write(itk.GetImageFromArray(values, isVector=False), tmp_path / f"t.{extension}")
    images = rendered(path, "MR", limit=30)
    assert len(images) == 30
    times = sorted({image.slice.frame // 12 for image in images})
    assert (times[0], times[-1], len(times)) == (0, 39, 3)
    for image in images:
        assert image.display.values[4, 4] == pytest.approx(image.slice.frame / 480 * 255, abs=1.5)
    assert len(rendered(path, "MR")) == 480


def test_gradients_as_components_are_volumes(tmp_path: Path) -> None:
    values = np.random.default_rng(1).integers(0, 900, (5, 6, 7, 4), dtype=np.int16)
    path = write(itk.GetImageFromArray(values, isVector=True), tmp_path / "d.nrrd")
    images = rendered(path, "MR")
    assert len(images) == 20
    low, high = images[0].display.params["low"], images[0].display.params["high"]
    expected = np.clip((np.moveaxis(values, 3, 0).reshape(20, 6, 7) - low) / (high - low), 0, 1) * 255
    np.testing.assert_allclose(pixels(images), expected, atol=0.51)


def test_a_picture_of_two_dimensions_is_one_slice_as_it_lies(tmp_path: Path) -> None:
    values = np.arange(30, dtype=np.uint8).reshape(5, 6)
    (image,) = rendered(write(itk.GetImageFromArray(values), tmp_path / "flat.mha"))
    assert (np.diff(image.display.values.ravel().astype(int)) >= 0).all()
    assert image.display.values.shape == (5, 6)


@pytest.mark.parametrize("orientation", ["RAI", "LPS", "SAL"])
@pytest.mark.parametrize("extension", ["mha", "nii", "mhd", "nrrd"])
def test_slices_read_one_by_one_are_those_of_the_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, extension: Any, orientation: Any
) -> None:
    """Every format is read as a whole while it is small; large ones by slice unless it lies across."""
    image = itk.JoinSeries([itk.DICOMOrient(phantom((9, 7, 5))[0] + n, orientation) for n in range(2)])
    image = image if extension != "nrrd" else image[..., 0]
    path = write(image, tmp_path / f"p.{extension}")
    whole = pixels(rendered(path, limit=7))
    reads: list[int] = []
    kind: Any = NiftiVolume if extension == "nii" else ItkVolume
    read_slice = kind.slice

    def counted(*given: Any) -> Any:
        reads.append(1)
        return read_slice(*given)

    monkeypatch.setattr(volume_layout, "WHOLE_AT_MOST", 0)
    monkeypatch.setattr(kind, "slice", counted)
    np.testing.assert_array_equal(pixels(rendered(path, limit=7)), whole)
    assert len(reads) == (7 if extension != "nrrd" and orientation != "SAL" else 0)


def test_a_compressed_metaimage_is_read_as_a_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(volume_layout, "WHOLE_AT_MOST", 0)
    image, _ = phantom()
    itk.WriteImage(image, str(tmp_path / "a.mha"), useCompression=True)
    plain = write(image, tmp_path / "b.mha")
    np.testing.assert_array_equal(pixels(rendered(tmp_path / "a.mha")), pixels(rendered(plain)))


def test_values_without_meaning_cost_no_picture(tmp_path: Path) -> None:
    values = np.linspace(0, 1, 5 * 6 * 7, dtype=np.float32).reshape(5, 6, 7)
    values[2, 2, 2:4] = np.nan, np.inf
    shown = pixels(rendered(write(itk.GetImageFromArray(values), tmp_path / "n.nrrd")))
    assert shown[0].min() == 0
    assert shown[4].max() == 255


def scanned(path: Any) -> Any:
    (found,) = found_files(path)
    return scan_file(found, KEY)


def test_the_identity_is_the_content_and_its_data_file(tmp_path: Path) -> None:
    image, _ = phantom()
    first = scanned(write(image, tmp_path / "a.mhd"))
    again = scanned(write(image, tmp_path / "b.nii"))
    assert first.sop_instance_uid != again.sop_instance_uid
    raw = tmp_path / "a.raw"
    raw.write_bytes(raw.read_bytes()[:-2] + b"\1\1")
    changed = scanned(tmp_path / "a.mhd")
    assert changed.sop_instance_uid != first.sop_instance_uid
    assert len({h.study_instance_uid for h in (first, again, changed)}) == 3


def test_nothing_of_free_text_is_kept(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    image, _ = phantom()
    image.SetMetaData("descrip", "Doe^Jane")
    path = write(image, tmp_path / "a.nii")
    content = bytearray(path.read_bytes())
    content[14:22], content[148:156] = b"Doe^Jane", b"Doe^Jane"
    path.write_bytes(content)
    images = rendered(path)
    assert len(images) == 6
    assert "Doe" not in repr(scanned(path)) + repr(images)
    path.write_bytes(content[:-9])
    assert "Doe" not in repr(list(render_files([path])))
    assert "Doe" not in "".join(capfd.readouterr())


def broken(tmp_path: Path) -> Any:
    image, _ = phantom()
    whole = write(image, tmp_path / "whole.nii").read_bytes()
    write(image, tmp_path / "whole.mhd")
    header = (tmp_path / "whole.mhd").read_bytes()
    write(image, tmp_path / "whole.nhdr")
    nrrd = (tmp_path / "whole.nhdr").read_bytes()
    attached = {
        f"cut.{kind}": write(image, tmp_path / f"a.{kind}").read_bytes()[:-100] for kind in ("mha", "nrrd")
    }
    for extra in tmp_path.iterdir():
        extra.unlink()
    outside = tmp_path.parent / "outside.raw"
    outside.write_bytes(bytes(2 * 6 * 10 * 14))
    contents = {
        **attached,
        "nan.nii": whole[:80] + np.array([np.nan], "<f4").tobytes() + whole[84:],
        "empty.nii": b"",
        "text.nii": b"text" * 200,
        "text.nrrd": b"text",
        "text.mha": b"text",
        "cut.nii": whole[:-100],
        "cut.nii.gz": gzip.compress(whole)[:-100],
        "header.nii": whole[:350],
        "missing.mhd": header,
        "missing.nhdr": nrrd,
        "outside.mhd": header.replace(b"whole.raw", b"../outside.raw"),
        "absolute.nhdr": nrrd.replace(b"whole.raw", str(outside).encode()),
        "list.mhd": header.replace(b"whole.raw", b"LIST"),
        "huge.nii": whole[:42] + np.array([30000] * 3, "<i2").tobytes() + whole[48:],
    }
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    return contents


def test_what_cannot_be_read_is_one_line_each(tmp_path: Path) -> None:
    names = broken(tmp_path)
    found = {Path(one.path).name: one for one in render_files([tmp_path])}
    assert found.keys() == names.keys()
    assert {name: one.outcome for name, one in found.items() if isinstance(one, Rejected)} == dict.fromkeys(
        names, "quarantined"
    )
    codes = {name: one.code for name, one in found.items() if isinstance(one, Rejected)}
    assert (codes.pop("empty.nii"), codes.pop("huge.nii")) == ("empty-file", "picture-too-large")
    assert set(codes.values()) == {"undecodable-volume"}


@pytest.mark.parametrize("extension", ["nii", "nii.gz", "nrrd", "mha", "nhdr"])
def test_a_member_of_an_archive_is_the_same_volume(tmp_path: Path, extension: Any) -> None:
    path = write(phantom()[0], tmp_path / f"p.{extension}")
    with zipfile.ZipFile(tmp_path / "archive.zip", "w") as archive:
        for part in tmp_path.glob("p.*"):
            archive.write(part, f"folder/{part.name}")
    inside = [one for one in render_files([tmp_path / "archive.zip"]) if not isinstance(one, Rejected)]
    outside = images_of([path])
    assert [one.path.endswith(f"archive.zip!/folder/{path.name}") for one in inside] == [True] * 6
    np.testing.assert_array_equal([one.pixels for one in inside], [one.pixels for one in outside])
    assert inside[0].sop_instance_uid == outside[0].sop_instance_uid
