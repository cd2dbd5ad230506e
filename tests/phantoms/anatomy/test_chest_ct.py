from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from medsiglip.phantoms.anatomy import chest_ct
from medsiglip.phantoms.study import PhantomSeries

pytestmark = pytest.mark.long

SIZE = 96


def phantom(seed: int, *findings: str, size: int = SIZE) -> PhantomSeries:
    return chest_ct.synthesise(
        np.random.default_rng([1, seed]), np.random.default_rng([2, seed]), findings, size
    )


def hounsfield(series: PhantomSeries) -> NDArray[np.float64]:
    slope, intercept = series.rescale
    return series.pixels.astype(float) * slope + intercept


def test_the_same_seeds_give_the_same_series() -> None:
    first, again = phantom(5, "nodule"), phantom(5, "nodule")
    assert np.array_equal(first.pixels, again.pixels)
    assert first.image_findings == again.image_findings


def test_slices_are_evenly_spaced_from_feet_to_head() -> None:
    for seed in range(4):
        series = phantom(seed)
        count = len(series.pixels)
        assert 16 <= count <= 24
        assert len(series.image_positions) == len(series.image_findings) == count
        positions = np.array(series.image_positions)
        steps = np.diff(positions, axis=0)
        assert np.allclose(steps[:, :2], 0)
        assert series.slice_thickness is not None
        assert np.allclose(steps[:, 2], series.slice_thickness, atol=2e-3)
        assert series.image_orientation == (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
        assert series.pixel_spacing is not None
        assert 340 <= series.pixel_spacing[0] * SIZE <= 400.1


def test_tissues_have_their_hounsfield_units() -> None:
    values = hounsfield(phantom(1))
    corner = values[:, :8, :8]
    assert np.median(corner) == pytest.approx(-1000, abs=15)
    middle = values[len(values) // 2]
    lungs = middle[(middle > -950) & (middle < -700)]
    assert 0.08 < lungs.size / middle.size < 0.5
    assert np.median(lungs) == pytest.approx(-860, abs=40)
    liver = values[0, 40:56, 24:36]
    assert np.median(liver) == pytest.approx(62, abs=10)
    assert values.max() > 350


def test_lungs_are_largest_between_abdomen_and_apex() -> None:
    values = hounsfield(phantom(2))
    air = ((values > -950) & (values < -600)).sum(axis=(1, 2))
    middle = air[len(air) // 3 : 3 * len(air) // 4].min()
    assert air[0] < middle > air[-1]


@pytest.mark.parametrize("name", chest_ct.FINDINGS)
def test_image_findings_name_exactly_the_slices_that_differ_from_the_normal_study(name: str) -> None:
    for seed in range(6):
        series = phantom(seed, name)
        assert [finding.name for finding in series.findings] == [name]
        differs = (series.pixels != phantom(seed).pixels).any(axis=(1, 2))
        named = np.array([bool(found) for found in series.image_findings])
        assert named.any()
        assert not (named & ~differs).any()
        # A sliver at the edge of a lesion may be in the picture without being called visible.
        assert (named ^ differs).sum() <= 2


def test_a_nodule_is_soft_tissue_in_lung_on_its_side() -> None:
    size = 256
    for seed in range(4):
        series = phantom(seed, "nodule", size=size)
        normal = hounsfield(phantom(seed, size=size))
        change = hounsfield(series) - normal
        index, _, column = np.unravel_index(np.argmax(change), change.shape)
        assert series.image_findings[index]
        assert (column > size / 2) == (series.findings[0].side == "left")
        core = ndimage.binary_erosion(change[index] > 300)
        assert np.median(hounsfield(series)[index][core]) == pytest.approx(38, abs=15)
        assert np.median(normal[index][core]) < -400


def test_an_effusion_is_water_in_the_back_of_its_side_and_tapers_upwards() -> None:
    for seed in range(8):
        series = phantom(seed, "pleural-effusion")
        values, normal = hounsfield(series), hounsfield(phantom(seed))
        fluid = (values - normal > 600) & (normal < -700)
        assert 0 < np.median(values[fluid]) < 25
        _, rows, columns = np.nonzero(fluid)
        assert np.mean(rows) > SIZE / 2
        if series.findings[0].side != "bilateral":
            assert (np.mean(columns) > SIZE / 2) == (series.findings[0].side == "left")
        seen = np.flatnonzero([bool(found) for found in series.image_findings])
        assert np.array_equal(seen, np.arange(len(seen)))
        assert fluid[-1].sum() == 0
