"""Decoded values that are not kept until the percentiles are known are decoded again: the pictures stay."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK

from medsiglip.ingest.header.header import Header
from medsiglip.ingest.render import histogram
from medsiglip.ingest.render.attributes import PixelAttributes
from medsiglip.ingest.workers import unit_rendering
from tests.ingest.read_files import images_of


def pictures(path: Any) -> Any:
    return [(one.frame, one.rendering_params, one.warnings, one.pixels.tolist()) for one in images_of([path])]


def write_cine(folder: Any, write_dicom: Any) -> None:
    frames = np.random.default_rng(0).integers(0, 4000, (7, 9, 8), dtype=np.uint16)
    write_dicom(folder / "cine.dcm", frames, Modality="US", NumberOfFrames=7, BitsStored=12)


def write_volume(folder: Any) -> None:
    values = np.random.default_rng(1).normal(size=(6, 9, 8)).astype(np.float32)
    SimpleITK.WriteImage(SimpleITK.GetImageFromArray(values), str(folder / "v.nii.gz"))


@pytest.mark.parametrize("held", [0, 9 * 8 * 2 * 3])
@pytest.mark.parametrize("kind", ["series", "cine", "volume"])
def test_a_second_look_gives_the_same_pictures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write_dicom: Any, write_series: Any, kind: Any, held: Any
) -> None:
    if kind == "series":
        write_series(tmp_path, 6, "MR")
    elif kind == "cine":
        write_cine(tmp_path, write_dicom)
    else:
        write_volume(tmp_path)
    at_once = pictures(tmp_path)
    assert len({str(params) for _, params, _, _ in at_once}) == 1
    opened: list[str] = []
    real = unit_rendering._open

    def counted(header: Header) -> Any:
        opened.append(header.path)
        return real(header)

    monkeypatch.setattr(unit_rendering, "MAX_HELD_BYTES", held)
    monkeypatch.setattr(unit_rendering, "_open", counted)
    assert pictures(tmp_path) == at_once
    assert max(map(opened.count, opened)) == 2


def test_percentiles_of_many_slices_are_those_of_all_their_values(monkeypatch: pytest.MonkeyPatch) -> None:
    """However often equal values were counted together."""
    slices = np.random.default_rng(2).normal(300, 90, (30, 20, 20)).astype(np.int16)
    slices[3, :4] = 5000
    monkeypatch.setattr(histogram, "_MAX_LOOSE", 100)
    counted, others = histogram.ValueHistogram(), histogram.ValueHistogram()
    for n, stored in enumerate(slices):
        (counted if n % 3 else others).add(stored, PixelAttributes())
    counted.extend(others)
    assert counted.limits((0.5, 99.5)) == pytest.approx(tuple(np.percentile(slices, [0.5, 99.5])))
    assert sum(part.size for part in counted._values) <= 100 + np.unique(slices).size


def test_percentiles_of_fractions_are_taken_of_an_even_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = np.random.default_rng(3).normal(0, 1, (5, 64, 64)).astype(np.float32)
    SimpleITK.WriteImage(SimpleITK.GetImageFromArray(values), str(tmp_path / "v.nrrd"))
    monkeypatch.setattr(unit_rendering, "MAX_COUNTED_FRACTIONS", 1024)
    params: Any = images_of([tmp_path])[0].rendering_params
    expected = np.percentile(values[:, ::2, ::2], [0.5, 99.5])
    np.testing.assert_allclose([params["low"], params["high"]], expected, rtol=1e-5)
