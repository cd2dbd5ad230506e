"""Histology phantoms: form, stain, and carcinoma that holds more and larger nuclei than benign tissue."""

from __future__ import annotations

import numpy as np
import pytest

from medsiglip.phantoms.anatomy import histology
from medsiglip.phantoms.study import PhantomSeries

SIZE = 128
SEEDS = range(12)


def phantom(seed: int, *findings: str) -> PhantomSeries:
    return histology.synthesise(np.random.default_rng(seed), np.random.default_rng([seed, 1]), findings, SIZE)


def nuclear_fraction(series: PhantomSeries) -> float:
    """Share of the field that haematoxylin stains: dark, and more blue than red."""
    red, green, blue = np.moveaxis(series.pixels[0].astype(float), -1, 0)
    return float(((red < 140) & (blue > red + 10) & (green < 120)).mean())


def test_the_same_seeds_give_the_same_field() -> None:
    np.testing.assert_array_equal(phantom(5, "carcinoma").pixels, phantom(5, "carcinoma").pixels)
    assert not np.array_equal(phantom(5, "carcinoma").pixels, phantom(6, "carcinoma").pixels)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_phantom_has_the_form_of_a_microscopic_field(seed: int) -> None:
    series = phantom(seed, "carcinoma")
    assert series.pixels.dtype == np.uint8
    assert series.pixels.shape == (1, SIZE, SIZE, 3)
    assert (series.modality, series.photometric_interpretation) == ("SM", "RGB")
    assert [finding.name for finding in series.findings] == ["carcinoma"]
    assert series.image_findings == (series.findings,)
    assert phantom(seed).image_findings == ((),)


@pytest.mark.parametrize("seed", SEEDS)
def test_benign_tissue_is_mostly_pink(seed: int) -> None:
    red, green, blue = phantom(seed).pixels[0].reshape(-1, 3).astype(float).mean(axis=0)
    assert red > green
    assert blue > green


@pytest.mark.parametrize("seed", SEEDS)
def test_carcinoma_holds_more_nuclei_than_benign_tissue(seed: int) -> None:
    benign, malignant = nuclear_fraction(phantom(seed)), nuclear_fraction(phantom(seed, "carcinoma"))
    assert 0.01 < benign < 0.25
    assert malignant > 1.3 * benign
