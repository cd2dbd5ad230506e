"""Ultrasound phantoms: form, and stones that are bright with a shadow behind them."""

from __future__ import annotations

import numpy as np
import pytest

from medsiglip.phantoms.anatomy import ultrasound
from medsiglip.phantoms.study import PhantomSeries

SIZE = 192
SEEDS = range(12)


def phantom(seed: int, *findings: str) -> PhantomSeries:
    return ultrasound.synthesise(
        np.random.default_rng(seed), np.random.default_rng([seed, 1]), findings, SIZE
    )


def test_the_same_seeds_give_the_same_picture() -> None:
    np.testing.assert_array_equal(phantom(5, "gallstones").pixels, phantom(5, "gallstones").pixels)
    assert not np.array_equal(phantom(5, "gallstones").pixels, phantom(6, "gallstones").pixels)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_phantom_is_a_grey_sector_in_rgb(seed: int) -> None:
    series = phantom(seed, "gallstones")
    assert series.pixels.dtype == np.uint8
    assert series.pixels.shape == (1, SIZE, SIZE, 3)
    assert (series.modality, series.body_part_examined) == ("US", "ABDOMEN")
    assert [finding.name for finding in series.findings] == ["gallstones"]
    assert series.image_findings == (series.findings,)
    assert phantom(seed).image_findings == ((),)
    picture = series.pixels[0]
    assert np.ptp(picture, axis=-1).max() == 0
    assert picture[: SIZE // 8, : SIZE // 8].max() == 0
    assert picture[SIZE // 2, SIZE // 2 - 20 : SIZE // 2 + 20].max() > 0


@pytest.mark.parametrize("seed", SEEDS)
def test_a_stone_is_bright_and_what_lies_behind_it_dark(seed: int) -> None:
    change = phantom(seed, "gallstones").pixels[0, :, :, 0].astype(float) - phantom(seed).pixels[0, :, :, 0]
    bright, dark = change > 70, change < -25
    assert bright.sum() > 8
    assert dark.sum() > 5 * bright.sum()
    assert np.nonzero(dark)[0].mean() > np.nonzero(bright)[0].mean() + SIZE * 0.1
