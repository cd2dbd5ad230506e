"""Fundus phantoms: form, side, and lesions that grow with severity."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from medsiglip.phantoms.anatomy import fundus
from medsiglip.phantoms.study import PhantomSeries

pytestmark = pytest.mark.long

SIZE = 256
SEEDS = range(12)


def phantom(seed: int, *findings: str) -> PhantomSeries:
    return fundus.synthesise(np.random.default_rng(seed), np.random.default_rng([seed, 1]), findings, SIZE)


def test_the_same_seeds_give_the_same_retina() -> None:
    name = "diabetic-retinopathy"
    np.testing.assert_array_equal(phantom(5, name).pixels, phantom(5, name).pixels)
    assert not np.array_equal(phantom(5, name).pixels, phantom(6, name).pixels)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_phantom_has_the_form_of_a_fundus_photograph(seed: int) -> None:
    series = phantom(seed, "diabetic-retinopathy")
    assert series.pixels.dtype == np.uint8
    assert series.pixels.shape == (1, SIZE, SIZE, 3)
    assert (series.modality, series.photometric_interpretation, series.bits_stored) == ("OP", "RGB", 8)
    assert series.image_findings == (series.findings,)
    (finding,) = series.findings
    assert finding.side == {"L": "left", "R": "right"}[str(series.laterality)]
    assert phantom(seed).findings == ()


@pytest.mark.parametrize("seed", SEEDS)
def test_a_red_disc_lies_on_black(seed: int) -> None:
    picture = phantom(seed).pixels[0].astype(float)
    corner, middle = picture[:8, :8], picture[96:160, 96:160]
    assert corner.mean() < 3
    red, green, blue = middle.mean(axis=(0, 1))
    assert red > green > blue
    assert red > 80


@pytest.mark.parametrize("seed", SEEDS)
def test_the_optic_disc_is_on_the_nasal_side(seed: int) -> None:
    """The disc, brightest and nearest to white, is on the right of a right eye's photograph."""
    series = phantom(seed)
    green = ndimage.uniform_filter(series.pixels[0, :, :, 1].astype(float), 9)
    column = int(np.unravel_index(green.argmax(), green.shape)[1])
    assert (column > SIZE / 2) == (series.laterality == "R")


@pytest.mark.parametrize("seed", SEEDS)
def test_haemorrhages_are_darker_and_still_red(seed: int) -> None:
    normal = phantom(seed).pixels[0].astype(float)
    diseased = phantom(seed, "diabetic-retinopathy").pixels[0].astype(float)
    blood = (normal - diseased)[..., 0] > 25
    assert blood.sum() > 25
    red, green, _ = diseased[blood].mean(axis=0)
    assert red > 1.8 * green
    assert diseased[blood].mean() < 0.75 * normal[blood].mean()


def test_the_area_of_lesions_grows_with_severity() -> None:
    areas: dict[str, list[int]] = {"mild": [], "moderate": [], "severe": []}
    for seed in range(24):
        series = phantom(seed, "diabetic-retinopathy")
        change = np.abs(series.pixels[0].astype(float) - phantom(seed).pixels[0]).max(axis=-1)
        areas[str(series.findings[0].severity)].append(int((change > 25).sum()))
    mild, moderate, severe = (float(np.median(areas[name])) for name in ("mild", "moderate", "severe"))
    assert 2 * mild < moderate < severe


def test_exudates_are_yellow_and_absent_from_mild_disease() -> None:
    for seed in range(16):
        series = phantom(seed, "diabetic-retinopathy")
        change = series.pixels[0].astype(float) - phantom(seed).pixels[0]
        yellow = (change[..., 1] > 40) & (change[..., 2] < 0.8 * change[..., 1])
        assert (int(yellow.sum()) > 8) == (series.findings[0].severity != "mild")
