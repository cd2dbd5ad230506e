"""Brain MR phantoms: form, determinism, and a tumour that is seen where it is said to be."""

from __future__ import annotations

import numpy as np
import pytest

from medsiglip.phantoms.anatomy import brain_mr
from medsiglip.phantoms.study import PhantomSeries

pytestmark = pytest.mark.long

SIZE = 96
SEEDS = range(10)


def phantom(seed: int, *findings: str) -> PhantomSeries:
    return brain_mr.synthesise(np.random.default_rng(seed), np.random.default_rng([seed, 1]), findings, SIZE)


def test_the_same_seeds_give_the_same_series() -> None:
    once, again, other = phantom(3, "brain-tumour"), phantom(3, "brain-tumour"), phantom(4, "brain-tumour")
    np.testing.assert_array_equal(once.pixels, again.pixels)
    assert (once.findings, once.extra) == (again.findings, again.extra)
    assert once.pixels.shape != other.pixels.shape or not np.array_equal(once.pixels, other.pixels)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_series_has_the_form_of_axial_mr(seed: int) -> None:
    series = phantom(seed, "brain-tumour")
    count = len(series.pixels)
    assert 10 <= count <= 16
    assert series.pixels.dtype == np.uint16
    assert series.pixels.shape == (count, SIZE, SIZE)
    assert series.pixels.max() < 2**series.bits_stored
    assert (series.modality, series.photometric_interpretation) == ("MR", "MONOCHROME2")
    assert series.body_part_examined in {"HEAD", "BRAIN"}
    assert series.image_orientation == (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
    heights = np.array([position[2] for position in series.image_positions])
    assert len(heights) == count
    step = series.extra["SpacingBetweenSlices"]
    assert isinstance(step, float)
    np.testing.assert_allclose(np.diff(heights), step, atol=0.002)
    assert {"SequenceName", "EchoTime", "RepetitionTime"} <= series.extra.keys()
    assert ("ContrastBolusAgent" in series.extra) == ("POST GD" in series.series_description)
    assert series.pixel_spacing == (240 / SIZE, 240 / SIZE)


@pytest.mark.parametrize("seed", SEEDS)
def test_slices_that_show_the_tumour_are_consecutive_and_agree_with_the_series(seed: int) -> None:
    series = phantom(seed, "brain-tumour")
    (finding,) = series.findings
    seen = np.array([bool(findings) for findings in series.image_findings])
    assert len(seen) == len(series.pixels)
    assert all(findings in ((), (finding,)) for findings in series.image_findings)
    assert 1 <= seen.sum() < len(seen)
    assert np.count_nonzero(np.diff(seen.astype(int))) <= 2
    normal = phantom(seed)
    assert normal.findings == ()
    assert set(normal.image_findings) == {()}


@pytest.mark.parametrize("seed", SEEDS)
def test_a_tumour_changes_the_slices_that_show_it_on_its_own_side(seed: int) -> None:
    normal, tumour = phantom(seed), phantom(seed, "brain-tumour")
    change = np.abs(tumour.pixels.astype(float) - normal.pixels) / normal.pixels.std()
    seen = np.array([bool(findings) for findings in tumour.image_findings])
    by_slice = change.mean(axis=(1, 2))
    assert by_slice[seen].max() > 3 * by_slice[~seen].min()
    # An axial picture is seen from the feet: the patient's left is on the right.
    strongest = change[int(by_slice.argmax())]
    _, columns = np.nonzero(strongest > 0.6 * strongest.max())
    on_the_right = float(np.median(columns)) > SIZE / 2
    assert on_the_right == (tumour.findings[0].side == "left")


def test_an_enhancing_tumour_is_brighter_than_white_matter() -> None:
    enhancing = [seed for seed in range(30) if "GD" in phantom(seed).series_description][:4]
    assert enhancing
    for seed in enhancing:
        normal, tumour = phantom(seed), phantom(seed, "brain-tumour")
        middle = max(
            range(len(tumour.pixels)),
            key=lambda i: np.abs(tumour.pixels[i].astype(float) - normal.pixels[i]).sum(),
        )
        brain = (slice(SIZE // 4, 3 * SIZE // 4),) * 2
        gain = tumour.pixels[middle].astype(float) - normal.pixels[middle]
        white = np.median(normal.pixels[middle][brain])
        assert gain.max() > 0.4 * white
