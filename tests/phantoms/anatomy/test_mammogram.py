"""Mammogram phantoms: form, hanging, and findings that stand out from the same breast without them."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from medsiglip.phantoms.anatomy import mammogram
from medsiglip.phantoms.study import PhantomSeries

SIZE = 256
SEEDS = range(12)


def phantom(seed: int, *findings: str) -> PhantomSeries:
    return mammogram.synthesise(np.random.default_rng(seed), np.random.default_rng([seed, 1]), findings, SIZE)


def brightness(series: PhantomSeries) -> NDArray[np.float64]:
    values: NDArray[np.float64] = series.pixels[0].astype(np.float64)
    return 4095 - values if series.photometric_interpretation == "MONOCHROME1" else values


def test_the_same_seeds_give_the_same_breast() -> None:
    np.testing.assert_array_equal(phantom(5, "mass").pixels, phantom(5, "mass").pixels)
    assert not np.array_equal(phantom(5, "mass").pixels, phantom(6, "mass").pixels)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_phantom_has_the_form_of_a_mammogram(seed: int) -> None:
    series = phantom(seed, "mass", "calcifications")
    assert series.pixels.dtype == np.uint16
    assert series.pixels.shape == (1, SIZE, 205)
    assert series.pixels.max() < 4096
    assert series.modality == "MG"
    assert series.view_position in {"CC", "MLO"}
    assert series.laterality in {"L", "R"}
    assert [finding.name for finding in series.findings] == ["mass", "calcifications"]
    assert series.image_findings == (series.findings,)
    assert {finding.side for finding in series.findings} == {{"L": "left", "R": "right"}[series.laterality]}
    assert phantom(seed).image_findings == ((),)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_chest_wall_is_at_the_left_edge_of_a_left_breast(seed: int) -> None:
    series = phantom(seed)
    across = brightness(series).mean(axis=0)
    wall, air = (across[:20], across[-20:]) if series.laterality == "L" else (across[-20:], across[:20])
    assert wall.mean() > 5 * air.mean()


def test_both_polarities_and_both_views_occur() -> None:
    phantoms = [phantom(seed) for seed in range(30)]
    assert {series.photometric_interpretation for series in phantoms} == {"MONOCHROME1", "MONOCHROME2"}
    assert {series.view_position for series in phantoms} == {"CC", "MLO"}


@pytest.mark.parametrize("seed", SEEDS)
def test_a_mass_is_one_bright_region_of_the_size_it_is_said_to_have(seed: int) -> None:
    series = phantom(seed, "mass")
    more = brightness(series) - brightness(phantom(seed))
    assert more.min() > -50
    labels, _ = ndimage.label(more > 0.35 * more.max())
    area = np.bincount(labels.ravel())[1:].max()
    radius = np.sqrt(area / np.pi) / (SIZE / 2)
    low, high = {"small": (0.03, 0.11), "moderate": (0.04, 0.16), "large": (0.06, 0.23)}[
        str(series.findings[0].severity)
    ]
    assert low < radius < high
    assert more.max() > 400


@pytest.mark.parametrize("seed", SEEDS)
def test_calcifications_are_many_specks_above_their_surroundings(seed: int) -> None:
    with_specks, without = brightness(phantom(seed, "calcifications")), brightness(phantom(seed))
    more = with_specks - without
    _, count = ndimage.label(more > 0.5 * more.max())
    assert count >= 6
    specks = more > 0.5 * more.max()
    around = ndimage.binary_dilation(specks, iterations=6) & (more < 0.05 * more.max()) & (without > 100)
    assert with_specks[specks].mean() > without[around].mean() + 700
