"""Skin phantoms: form, and a melanoma darker, larger and more ragged than the naevus of the same seeds."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from medsiglip.phantoms.anatomy import skin
from medsiglip.phantoms.study import PhantomSeries

SIZE = 128
SEEDS = range(12)


def phantom(seed: int, *findings: str) -> PhantomSeries:
    return skin.synthesise(np.random.default_rng(seed), np.random.default_rng([seed, 1]), findings, SIZE)


def test_the_same_seeds_give_the_same_skin() -> None:
    np.testing.assert_array_equal(phantom(5, "melanoma").pixels, phantom(5, "melanoma").pixels)
    assert not np.array_equal(phantom(5, "melanoma").pixels, phantom(6, "melanoma").pixels)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_phantom_has_the_form_of_a_photograph(seed: int) -> None:
    series = phantom(seed, "melanoma")
    assert series.pixels.dtype == np.uint8
    assert series.pixels.shape == (1, SIZE, SIZE, 3)
    assert (series.modality, series.body_part_examined, series.photometric_interpretation) == (
        "XC",
        "SKIN",
        "RGB",
    )
    assert [finding.name for finding in series.findings] == ["melanoma"]
    assert series.image_findings == (series.findings,)
    assert phantom(seed).image_findings == ((),)


def test_patients_differ_in_skin_tone() -> None:
    tones = [float(np.median(phantom(seed).pixels[0, :, :, 0].astype(float))) for seed in range(30)]
    assert max(tones) > 1.6 * min(tones)


def spot(series: PhantomSeries) -> tuple[np.ndarray, np.ndarray]:
    """Return the lesion's mask and the brightness, hairs closed, both without the picture's margin."""
    grey = ndimage.grey_closing(series.pixels[0].astype(float).mean(axis=-1), 5)[12:-12, 12:-12]
    labels, _ = ndimage.label(ndimage.binary_opening(grey < 0.86 * np.percentile(grey, 80), iterations=2))
    middle = np.hypot(*(np.indices(grey.shape) - np.array(grey.shape)[:, None, None] / 2)) < 30
    counts = np.bincount(labels[middle], minlength=2)
    counts[0] = 0
    return labels == counts.argmax(), grey


def raggedness(mask: np.ndarray) -> float:
    """Return perimeter squared over area, about 1 for a disc."""
    edge = mask & ~ndimage.binary_erosion(mask)
    return float(edge.sum() ** 2 / (4 * np.pi * mask.sum()))


def test_a_melanoma_is_darker_and_more_ragged_than_a_naevus() -> None:
    darker, rougher, larger = [], [], []
    for seed in range(24):
        naevus, melanoma = spot(phantom(seed)), spot(phantom(seed, "melanoma"))
        darker.append(
            np.percentile(melanoma[1][melanoma[0]], 5) < 0.75 * np.percentile(naevus[1][naevus[0]], 5)
        )
        rougher.append(raggedness(melanoma[0]) > 1.1 * raggedness(naevus[0]))
        larger.append(melanoma[0].sum() > naevus[0].sum())
    assert np.mean(darker) > 0.85
    assert np.mean(rougher) > 0.75
    assert np.mean(larger) > 0.6
