"""What each change does to a picture, and that chance is the caller's."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from medsiglip.shifts.alterations import ALTERATIONS, Alteration
from medsiglip.shifts.chain import CHAIN

EVERY = {one.name: one for one in (*ALTERATIONS, *CHAIN)}


@pytest.fixture(scope="module")
def picture() -> NDArray[np.uint8]:
    """A grey ramp with a bright square left of the middle, and a black edge."""
    grey = np.tile(np.linspace(40, 200, 120), (90, 1))
    grey[30:60, 20:50] = 250
    grey[:5] = 0
    return np.repeat(grey.astype(np.uint8)[:, :, None], 3, axis=2)


@pytest.mark.parametrize("one", EVERY.values(), ids=lambda one: one.name)
def test_each_changes_the_picture_in_its_shape_by_the_given_chance(
    one: Alteration, picture: NDArray[np.uint8]
) -> None:
    kept = picture.copy()
    changed = one.change(picture, np.random.default_rng(1))
    assert changed.shape == picture.shape
    assert changed.dtype == np.uint8
    assert (changed != picture).mean() > 0.01
    np.testing.assert_array_equal(picture, kept)
    np.testing.assert_array_equal(changed, one.change(picture, np.random.default_rng(1)))
    np.testing.assert_array_equal(changed[:, :, 0], changed[:, :, 1], "a grey picture stays grey")
    correlation = np.corrcoef(changed[:, :, 0].ravel(), picture[:, :, 0].ravel())[0, 1]
    moved = one.name.startswith(("crop", "rotation"))
    assert correlation > (0.35 if moved else 0.8), "what it shows is still there"
    tiny = one.change(picture[:1, :1], np.random.default_rng(1))
    assert tiny.shape == (1, 1, 3)


def test_they_do_what_they_say(picture: NDArray[np.uint8]) -> None:
    rng = np.random.default_rng(2)
    level = np.full((64, 64, 3), 128, np.uint8)

    def of(name: str, pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
        return EVERY[name].change(pixels, rng).astype(np.float64)

    assert of("gamma-dark", level).mean() < 100 < 128 < of("gamma-bright", level).mean()
    assert of("noise", level).std() == pytest.approx(5, rel=0.1)
    assert of("noise-strong", level).std() == pytest.approx(20, rel=0.1)
    steps = np.repeat(np.array([[100, 150]], np.uint8)[:, :, None], 3, axis=2)
    assert np.diff(of("window-narrow", steps)[0, :, 0])[0] == pytest.approx(50 / 0.7, abs=1)
    assert np.diff(of("window-wide", steps)[0, :, 0])[0] == pytest.approx(50 / 1.4, abs=1)
    bright = (picture[:, :, 0] > 240).sum()
    assert (of("crop-strong", picture)[:, :, 0] > 240).sum() == pytest.approx(bright / 0.7**2, rel=0.15)
    error = [np.abs(of(name, picture) - picture).mean() for name in ("jpeg", "jpeg-strong")]
    assert error[0] < error[1]
    turned = of("rotation-strong", picture)
    assert turned[0, 0, 0] == 0 == turned[-1, -1, 0]


def test_the_chain_grows_stage_by_stage(picture: NDArray[np.uint8]) -> None:
    """Each entry begins with what the one before has done."""
    assert [one.name for one in CHAIN] == [
        "chain-1-acquisition",
        "chain-2-reconstruction",
        "chain-3-display",
        "chain-4-delivery",
    ]
    shares = []
    for one in CHAIN:
        changed = [one.change(picture, np.random.default_rng(seed)).astype(float) for seed in range(20)]
        shares.append(np.mean([np.abs(other - picture).mean() for other in changed]))
    assert shares[0] > 5
    assert shares[-1] > shares[0]
