"""Head CT phantoms: form, Hounsfield units of tissues, and blood where it is said to be."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from medsiglip.phantoms.anatomy import head_ct
from medsiglip.phantoms.study import PhantomSeries

SIZE = 96
SEEDS = range(10)


def phantom(seed: int, *findings: str) -> PhantomSeries:
    return head_ct.synthesise(np.random.default_rng(seed), np.random.default_rng([seed, 1]), findings, SIZE)


def hounsfield(series: PhantomSeries) -> np.ndarray:
    slope, intercept = series.rescale
    return series.pixels.astype(float) * slope + intercept


def test_the_same_seeds_give_the_same_series() -> None:
    np.testing.assert_array_equal(phantom(5, "haemorrhage").pixels, phantom(5, "haemorrhage").pixels)
    assert phantom(5).series_description == phantom(6).series_description
    assert not np.array_equal(phantom(5).pixels[:10], phantom(6).pixels[:10])


@pytest.mark.parametrize("seed", SEEDS)
def test_a_series_has_the_form_of_axial_ct(seed: int) -> None:
    series = phantom(seed, "haemorrhage")
    count = len(series.pixels)
    assert 10 <= count <= 12
    assert series.pixels.dtype == np.uint16
    assert series.pixels.shape == (count, SIZE, SIZE)
    assert series.pixels.max() < 4096
    assert len(series.image_positions) == len(series.image_findings) == count
    (finding,) = series.findings
    assert all(findings in ((), (finding,)) for findings in series.image_findings)
    assert any(series.image_findings)
    assert set(phantom(seed).image_findings) == {()}


@pytest.mark.parametrize("seed", SEEDS)
def test_tissues_have_their_hounsfield_units(seed: int) -> None:
    """Air -1000, brain 20 to 45, bone above 300 (usual textbook ranges)."""
    middle = hounsfield(phantom(seed))[6]
    assert middle[:6, :6].mean() == pytest.approx(-1000, abs=10)
    brain = middle[SIZE // 2 - 12 : SIZE // 2 + 12, SIZE // 2 + 8 : SIZE // 2 + 20]
    assert 20 < np.median(brain) < 45
    assert np.percentile(middle, 99) > 300


@pytest.mark.parametrize("seed", SEEDS)
def test_blood_is_dense_and_on_the_side_it_is_said_to_be(seed: int) -> None:
    normal, bleeding = phantom(seed), phantom(seed, "haemorrhage")
    before, after = hounsfield(normal), hounsfield(bleeding)
    blood = (after - before > 18) & (after > 45) & (after < 100) & (before < 60)
    # Sulci that the blood pushes aside change too, but they are thin.
    blood = ndimage.binary_opening(blood, np.ones((1, 2, 2)))
    seen = np.array([bool(findings) for findings in bleeding.image_findings])
    area = blood.sum(axis=(1, 2))
    assert area[seen].max() > 4 * area[~seen].max(initial=0)
    strongest = int(area.argmax())
    assert seen[strongest]
    assert 50 < np.median(after[strongest][blood[strongest]]) < 85
    on_the_right = np.median(np.nonzero(blood[strongest])[1]) > SIZE / 2
    assert on_the_right == (bleeding.findings[0].side == "left")
