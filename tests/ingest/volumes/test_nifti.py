"""NIfTI files that ITK refuses or reads otherwise: NIfTI-2, shear, names and packing that disagree, NaN."""

from __future__ import annotations

import gzip
import json
import logging
import shutil
import struct
from pathlib import Path
from typing import Any

import nibabel as untyped_nibabel
import numpy as np
import pytest
import SimpleITK

from medsiglip.ingest.header.metadata import PictureMetadata
from medsiglip.ingest.privacy.deidentify import SecretKey
from medsiglip.ingest.reasons import Rejected
from medsiglip.ingest.scan.scan import scan_file
from medsiglip.ingest.units.plan import PlanOptions, plan
from medsiglip.ingest.workers.unit_rendering import render_images
from tests.ingest.read_files import found_files, headers_of

nibabel: Any = untyped_nibabel  # its functions have no types
KEY = SecretKey(bytes(32))
AXES = np.diag([-2.0, -2.0, 3.0, 1.0])  # to the left and the back, as those of DICOM


def rendered(path: Path, modality: str | None = None) -> Any:
    (header,) = headers_of(path, key=KEY, metadata=PictureMetadata(modality=modality))
    (unit,) = plan([header], PlanOptions(None))
    return [item for item in render_images(unit) if hasattr(item, "display")]


def pixels(path: Path, modality: str | None = None) -> Any:
    return np.stack([image.display.values for image in rendered(path, modality)])


def values(shape: tuple[int, ...] = (14, 10, 6)) -> Any:
    """[x, y, z] with one bright corner, so that every way round is told apart."""
    grid = np.random.default_rng(5).integers(0, 300, shape).astype(np.int16)
    grid[:4, :3] += 600
    return grid


def write(path: Path, content: Any, affine: Any = AXES, kind: Any = nibabel.Nifti1Image) -> Path:
    kind(content, affine).to_filename(path)
    return path


def extended(path: Path, sizes: list[int], offset: int) -> None:
    """Insert extensions that say these sizes, all empty, before values that begin at `offset`."""
    content = path.read_bytes()
    begin, at, form = (352, 108, "<f") if content[:4] == struct.pack("<i", 348) else (544, 168, "<q")
    header = bytearray(content[: begin - 4])
    struct.pack_into(form, header, at, offset)
    extensions = b"\1\0\0\0" + b"".join(struct.pack("<ii8x", size, 2) for size in sizes)
    path.write_bytes(bytes(header) + extensions.ljust(offset - len(header), b"\0") + content[begin:])


@pytest.mark.parametrize("kind", [nibabel.Nifti1Image, nibabel.Nifti2Image])
@pytest.mark.parametrize("sizes", [[16], [1 << 25], [0], [-16], [16] * 2000, [24]])
def test_extensions_of_a_header_are_never_loaded(
    tmp_path: Path, plain: Any, kind: Any, sizes: list[int]
) -> None:
    """They are of code 2, DICOM, which nibabel would parse."""
    path = write(tmp_path / "extended.nii", values(), kind=kind)
    extended(path, sizes, 1 << 20)
    np.testing.assert_array_equal(pixels(path), plain)


@pytest.fixture
def plain(tmp_path: Path) -> Any:
    """The pictures of the same values in a file that ITK reads."""
    return pixels(write(tmp_path / "plain.nii", values()))


def test_the_pictures_are_those_of_another_format(tmp_path: Path, plain: Any) -> None:
    itk: Any = SimpleITK
    image = itk.GetImageFromArray(values().T)
    image.SetSpacing((2.0, 2.0, 3.0))
    itk.WriteImage(image, str(tmp_path / "p.nrrd"))
    np.testing.assert_array_equal(pixels(tmp_path / "p.nrrd"), plain)


@pytest.mark.parametrize("suffix", ["nii", "nii.gz"])
def test_nifti_2(tmp_path: Path, plain: Any, suffix: str) -> None:
    path = write(tmp_path / f"p.{suffix}", values(), kind=nibabel.Nifti2Image)
    np.testing.assert_array_equal(pixels(path), plain)


@pytest.mark.parametrize("shear", [0.01, 0.3])
@pytest.mark.parametrize("axes", [(0, 2), (1, 2), (0, 1)])
def test_axes_at_other_angles(tmp_path: Path, plain: Any, shear: float, axes: tuple[int, int]) -> None:
    """As a tilted gantry or an affine registration leaves them: the slices are those of the file."""
    affine = AXES.copy()
    affine[axes] = shear * 2
    np.testing.assert_array_equal(pixels(write(tmp_path / "p.nii", values(), affine)), plain)


def test_what_is_packed_is_seen_by_the_content(tmp_path: Path, plain: Any) -> None:
    content = (tmp_path / "plain.nii").read_bytes()
    (tmp_path / "a.nii.gz").write_bytes(content)
    (tmp_path / "b.nii").write_bytes(gzip.compress(content))
    for name in ("a.nii.gz", "b.nii"):
        np.testing.assert_array_equal(pixels(tmp_path / name), plain)
    (tmp_path / "a.nii.gz").write_bytes(content[:-10])
    (tmp_path / "b.nii").write_bytes(gzip.compress(content)[:-10])
    for name in ("a.nii.gz", "b.nii"):
        (unit,) = plan(headers_of(tmp_path / name, key=KEY))
        assert [one.code for one in render_images(unit)] == ["undecodable-volume"]  # type: ignore[union-attr]


@pytest.mark.parametrize("dtype", [">i2", "<u2", ">f4", "<f8", "i1", "<i8"])
def test_every_type_of_value(tmp_path: Path, plain: Any, dtype: str) -> None:
    content = values() // (8 if dtype == "i1" else 1)
    image = nibabel.Nifti1Image(content.astype(dtype), AXES, dtype=np.dtype(dtype))
    image.to_filename(tmp_path / "p.nii")
    if dtype.startswith(">"):
        header = nibabel.Nifti1Header(endianness=">")
        header.set_data_dtype(dtype)
        nibabel.Nifti1Image(content.astype(dtype), AXES, header).to_filename(tmp_path / "p.nii")
        assert (tmp_path / "p.nii").read_bytes()[:4] == b"\0\0\1\x5c"
    if dtype == "i1":
        (tmp_path / "plain.nii").unlink()
        plain = pixels(write(tmp_path / "plain.nii", content))
    np.testing.assert_array_equal(pixels(tmp_path / "p.nii"), plain)


@pytest.mark.parametrize("names", ["RGB", "RGBA"])
def test_colours(tmp_path: Path, names: str) -> None:
    content = np.random.default_rng(2).integers(0, 255, (5, 6, 4, len(names)), dtype=np.uint8)
    kind = np.dtype([(name, "u1") for name in names])
    packed = np.ascontiguousarray(content).view(kind)[..., 0]
    shown = pixels(write(tmp_path / "p.nii", packed))
    np.testing.assert_array_equal(shown, content[..., :3].transpose(2, 1, 0, 3))


def test_components_and_times_are_volumes(tmp_path: Path) -> None:
    content = np.random.default_rng(3).integers(0, 900, (5, 6, 4, 3)).astype(np.int16)
    times = pixels(write(tmp_path / "t.nii", content), "MR")
    components = pixels(write(tmp_path / "c.nii", content[:, :, :, None, :]), "MR")
    assert times.shape == (12, 6, 5)
    np.testing.assert_array_equal(components, times)


def test_no_number_is_no_water(tmp_path: Path) -> None:
    """NaN in CT is black and told of; elsewhere it is left out of the range."""
    content = np.full((8, 8, 3), np.nan, np.float32)
    content[2:6, 2:6] = 40.0
    content[3, 3] = 80.0
    path = write(tmp_path / "p.nii.gz", content)
    for image in rendered(path, "CT"):
        assert image.display.rendering == "ct-rgb-3window"
        assert "values-not-finite" in image.display.warnings
        assert not image.display.values[0, 0].any()
    for image in rendered(path, "MR"):
        assert image.display.params["low"] == 40.0
        assert "values-not-finite" in image.display.warnings


def test_an_affine_that_is_none_is_not_used(tmp_path: Path, plain: Any) -> None:
    path = write(tmp_path / "p.nii", values())
    content = bytearray(path.read_bytes())
    content[280:328] = bytes(48)  # srow_x, srow_y and srow_z (nifti1.h): the qform is left
    path.write_bytes(content)
    np.testing.assert_array_equal(pixels(path), plain)
    content[252:256] = bytes(4)  # nor a qform
    path.write_bytes(content)
    np.testing.assert_array_equal(pixels(path), plain)


def test_nothing_that_the_library_says_of_a_header_is_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path / "p.nii", values())
    content = bytearray(path.read_bytes())
    content[76:80] = np.array([0.0], "<f4").tobytes()  # pixdim[0], which must be 1 or -1
    content[254:256] = b"\x63\0"  # an unknown sform_code
    path.write_bytes(content)
    caplog.set_level(logging.DEBUG)
    rendered(path)
    assert caplog.records == []
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("name", ["shear_small.nii", "n2.nii", "ct_nan.nii.gz"])
def test_a_case(tmp_path: Path, test_cases: Path, name: str) -> None:
    cases = json.loads((test_cases / "dicom" / "expected.json").read_text("utf-8"))
    folder = test_cases / "dicom" / "inputs" / "nifti"
    said = cases[f"nifti/{name}"]["expected"]
    if name == "ct_nan.nii.gz":
        assert "NaN is not water; (0,0,0) and warning values-not-finite" in said
        content = np.asarray(nibabel.load(folder / name).dataobj)
        for z, image in enumerate(rendered(folder / name, "CT")):
            assert "values-not-finite" in image.display.warnings
            missing = np.isnan(content[..., z])
            shown = image.display.values
            # The plane is axial whichever way its axes run.
            assert (shown == 0).all(axis=-1).sum() >= missing.sum() > 0
            assert any(
                not shown[turned].any() for turned in (missing.T[::a, ::b] for a in (1, -1) for b in (1, -1))
            )
        return
    assert "plain.nii" in said
    np.testing.assert_array_equal(pixels(folder / name), pixels(folder / "plain.nii"))


def test_other_dimensions_are_refused(tmp_path: Path) -> None:
    for number, shape in enumerate([(5,), (4, 4, 2, 3, 2), (4, 4, 2, 1, 1, 2)]):
        path = write(tmp_path / f"{number}.nii", np.zeros(shape, np.int16))
        (found,) = found_files(path)
        scanned = scan_file(found, KEY)
        assert isinstance(scanned, Rejected)
        assert scanned.code == "undecodable-volume"
    shutil.rmtree(tmp_path)
