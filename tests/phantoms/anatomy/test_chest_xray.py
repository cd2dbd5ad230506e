from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from medsiglip.phantoms.anatomy import chest_xray
from medsiglip.phantoms.study import PhantomSeries

pytestmark = pytest.mark.long

SIZE = 192


def phantom(seed: int, *findings: str) -> PhantomSeries:
    return chest_xray.synthesise(
        np.random.default_rng([1, seed]), np.random.default_rng([2, seed]), findings, SIZE
    )


def displayed(series: PhantomSeries) -> NDArray[np.float64]:
    """The picture as a viewer shows it, 0 black to 1 white."""
    values = series.pixels[0].astype(np.float64)
    if series.window:
        centre, width = series.window
        shown: NDArray[np.float64] = np.clip((values - (centre - width / 2)) / width, 0, 1)
    else:
        shown = values / 4095
    return 1 - shown if series.photometric_interpretation == "MONOCHROME1" else shown


def cardiothoracic_ratio(series: PhantomSeries) -> float:
    """Greatest width of the heart over the inner width of the rib cage, by the steepest edges."""
    shown = ndimage.gaussian_filter(displayed(series), (4.0, 2.0))[int(0.48 * SIZE) : int(0.63 * SIZE)]
    middle = SIZE // 2
    heart, chest = 0.0, 0.0
    for half in (shown[:, middle:], shown[:, middle::-1]):
        slope = np.diff(half, axis=1)
        near, far = int(0.03 * SIZE), int(0.24 * SIZE)
        rising = slope[:, far : int(0.42 * SIZE)]
        wall = far + np.argmax(rising > 0.6 * rising.max(axis=1, keepdims=True), axis=1)
        border = [near + np.argmin(line[near:end]) for line, end in zip(slope, wall, strict=True)]
        heart += float(np.percentile(border, 90))
        chest += float(np.percentile(wall, 75))
    return heart / chest


def test_the_same_seeds_give_the_same_picture_and_another_study_seed_another() -> None:
    first, again = phantom(3, "nodule"), phantom(3, "nodule")
    assert np.array_equal(first.pixels, again.pixels)
    assert first.findings == again.findings
    other = chest_xray.synthesise(
        np.random.default_rng([1, 3]), np.random.default_rng([2, 4]), ["nodule"], SIZE
    )
    assert not np.array_equal(first.pixels, other.pixels)


def test_stored_values_are_twelve_bits_of_the_asked_size() -> None:
    series = phantom(0)
    assert series.pixels.shape == (1, SIZE, SIZE)
    assert series.pixels.dtype == np.uint16
    assert series.pixels.max() <= 4095
    assert series.pixel_spacing == (round(400 / SIZE, 4),) * 2
    assert chest_xray.synthesise(np.random.default_rng(0), np.random.default_rng(0), []).pixels.shape == (
        1,
        320,
        320,
    )


def test_findings_are_those_asked_for() -> None:
    for seed in range(10):
        series = phantom(seed, "pleural-effusion", "nodule")
        assert [finding.name for finding in series.findings] == ["pleural-effusion", "nodule"]
        assert series.image_findings == (series.findings,)
        assert {finding.side for finding in series.findings} == {"left", "right"}
    assert phantom(0).findings == ()


def test_an_unknown_finding_is_refused() -> None:
    with pytest.raises(ValueError, match="fracture"):
        phantom(0, "fracture")


def test_both_photometric_interpretations_show_air_black() -> None:
    seen = set()
    for seed in range(25):
        series = phantom(seed)
        shown = displayed(series)
        assert (
            shown[: SIZE // 10, : SIZE // 8].mean()
            < 0.35
            < shown[-SIZE // 8 :, SIZE // 3 : -SIZE // 3].mean()
        )
        seen.add(series.photometric_interpretation)
    assert seen == {"MONOCHROME1", "MONOCHROME2"}


def test_a_digital_radiograph_for_presentation_has_a_window() -> None:
    series = [phantom(seed) for seed in range(40)]
    assert {one.modality for one in series} == {"DX", "CR"}
    assert all(one.window for one in series if one.modality == "DX")
    assert any(one.window is None for one in series)


def test_the_cardiothoracic_ratio_of_the_picture_tells_cardiomegaly_from_normal() -> None:
    normal = np.array([cardiothoracic_ratio(phantom(seed)) for seed in range(16)])
    enlarged = np.array([cardiothoracic_ratio(phantom(seed, "cardiomegaly")) for seed in range(16)])
    assert 0.33 < normal.min() < normal.max() < 0.5
    assert 0.5 < enlarged.min() < enlarged.max() < 0.75


@pytest.mark.parametrize(("side", "columns"), [("right", slice(20, 50)), ("left", slice(-50, -20))])
def test_an_effusion_whitens_the_costophrenic_angle_of_its_side_alone(side: str, columns: slice) -> None:
    checked = 0
    for seed in range(40):
        series = phantom(seed, "pleural-effusion")
        finding = series.findings[0]
        if finding.side == "bilateral":
            continue
        change = displayed(series) - displayed(phantom(seed))
        angle = change[int(0.60 * SIZE) : int(0.85 * SIZE), columns]
        if finding.side == side:
            assert np.percentile(angle, 95) > 0.15, (seed, finding)
            checked += 1
        elif finding.severity != "large":
            assert np.abs(np.percentile(angle, [2, 98])).max() < 0.1, (seed, finding)
    assert checked >= 5


def test_a_pneumothorax_darkens_the_apex_of_its_side() -> None:
    for seed in range(12):
        series = phantom(seed, "pneumothorax")
        change = displayed(series) - displayed(phantom(seed))
        apex = change[int(0.10 * SIZE) : int(0.35 * SIZE)]
        left, right = apex[:, SIZE // 2 + 10 :], apex[:, : SIZE // 2 - 10]
        affected = left if series.findings[0].side == "left" else right
        assert np.percentile(affected, 3) < -0.06, (seed, series.findings)


@pytest.mark.parametrize("name", ["consolidation", "nodule"])
def test_an_opacity_lies_in_the_lung_and_side_that_the_finding_names(name: str) -> None:
    for seed in range(12):
        series = phantom(seed, name)
        change = ndimage.gaussian_filter(displayed(series) - displayed(phantom(seed)), 1.0)
        assert change.max() > 0.12, (seed, series.findings)
        _, column = np.unravel_index(np.argmax(change), change.shape)
        assert (column > SIZE / 2) == (series.findings[0].side == "left")


def test_a_nodule_is_between_8_and_30_mm() -> None:
    for seed in range(12):
        change = displayed(phantom(seed, "nodule")) - displayed(phantom(seed))
        area = (change > change.max() / 2).sum() * (400 / SIZE) ** 2
        assert 6 < 2 * np.sqrt(area / np.pi) < 34
