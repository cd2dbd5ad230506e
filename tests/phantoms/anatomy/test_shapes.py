from __future__ import annotations

import numpy as np
import pytest

from medsiglip.phantoms.anatomy import shapes
from medsiglip.phantoms.anatomy.shapes import Canvas


def test_canvas_coordinates_and_pixel_positions_are_inverse() -> None:
    canvas = Canvas((40, 60), centre=(0.1, -0.2), scale=1.3, angle=0.4)
    points = np.stack([canvas.x.ravel(), canvas.y.ravel()], axis=1)
    columns, rows = canvas.to_pixels(points).T
    assert np.allclose(columns.reshape(40, 60), np.arange(60)[None, :] + 0.5, atol=1e-4)
    assert np.allclose(rows.reshape(40, 60), np.arange(40)[:, None] + 0.5, atol=1e-4)


def test_an_ellipse_has_its_area_wherever_it_lies() -> None:
    canvas = Canvas((200, 200), angle=0.3)
    ellipse = canvas.ellipse((0.1, -0.1), (0.4, 0.2), angle=0.7, softness=0.1)
    assert ellipse.sum() * canvas.pixel**2 == pytest.approx(np.pi * 0.4 * 0.2, rel=0.01)
    whole = shapes.smoothstep(1.05, 0.95, canvas.radius((0.1, -0.1), (0.4, 0.2), angle=0.7))
    assert np.array_equal(ellipse, whole)


def test_polygons_and_strokes_cover_their_area() -> None:
    canvas = Canvas((200, 200))
    square = np.array([(-0.5, -0.5), (0.5, -0.5), (0.5, 0.5), (-0.5, 0.5)])
    assert canvas.polygon(square).sum() * canvas.pixel**2 == pytest.approx(1.0, rel=0.03)
    line = canvas.strokes([(np.array([(-0.5, 0.0), (0.5, 0.0)]), 0.1)])
    assert line.sum() * canvas.pixel**2 == pytest.approx(0.1, rel=0.1)
    assert canvas.strokes([]).sum() == 0


@pytest.mark.parametrize("sigma", [0.7, 1.0, 1.58, 3.0, 8.2])
def test_blur_spreads_a_point_as_a_gaussian_does(sigma: float) -> None:
    image = np.zeros((129, 129), dtype=np.float32)
    image[64, 64] = 1
    spread = shapes.blur(image, sigma)
    assert spread.sum() == pytest.approx(1, rel=1e-3)
    assert np.array_equal(spread, spread[::-1, ::-1])
    distance = np.arange(129) - 64
    assert np.sqrt((spread.sum(0) * distance**2).sum()) == pytest.approx(sigma, rel=0.06)
    assert np.sqrt((spread.sum(1) * distance**2).sum()) == pytest.approx(sigma, rel=0.06)


def test_smooth_noise_has_unit_variance_and_few_cells_vary_slowly() -> None:
    fine = shapes.smooth_noise(np.random.default_rng(0), (256, 256), 40, 3)
    assert fine.std() == pytest.approx(1, abs=0.1)
    slow = shapes.smooth_noise(np.random.default_rng(0), (256, 256), 8)
    assert np.abs(np.diff(slow)).max() < 0.15


def test_a_spline_passes_through_its_points() -> None:
    points = np.array([(0.0, 0.0), (1.0, 0.5), (0.5, 1.0), (-0.2, 0.4)])
    for closed in (False, True):
        curve = shapes.spline(points, closed=closed)
        nearest = np.abs(curve[:, None] - points[None]).sum(2).min(0)
        assert np.allclose(nearest, 0, atol=1e-12)


def test_trees_double_at_every_level() -> None:
    rng = np.random.default_rng(1)
    branches = shapes.trees(rng, np.zeros((2, 2)), np.zeros(2), length=0.2, width=0.03, depth=3)
    assert len(branches) == 2 * (1 + 2 + 4 + 8)
    assert max(width for _, width in branches) == 0.03
    starts = {tuple(np.round(points[0], 9)) for points, _ in branches}
    ends = {tuple(np.round(points[-1], 9)) for points, _ in branches}
    assert starts - ends == {(0.0, 0.0)}
