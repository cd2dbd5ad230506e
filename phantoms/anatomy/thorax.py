"""The projected anatomy of a thorax: outlines of lungs, heart and body, bones, airway and vessels.

Anatomical coordinates are those of a frontal radiograph as it is hung: the patient's right is on the left, at
negative x; one unit is 200 mm.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medsiglip.phantoms.anatomy.shapes import Canvas, Plane, blur, spline, trees

Path = tuple[NDArray[np.float64], float]
"""The points [n, 2] of a stroke and its width."""

SIDES = {"right": -1.0, "left": 1.0}
_SPINE_LEVELS = np.arange(-1.05, 1.05, 0.115)


@dataclass(frozen=True, slots=True)
class Thorax:
    """Anatomy of one patient; `shift` moves the mediastinum, positive to the patient's left."""

    build: float
    half_width: float
    apex: float
    dome: tuple[float, float]
    angle_depth: float
    cardiothoracic_ratio: float
    heart_axis: float
    knob: float
    breast: float
    rib_spacing: float
    rib_drop: float
    vessel_seed: int
    shift: float = 0.0


def sample_thorax(patient: np.random.Generator) -> Thorax:
    """The proportions of one patient's chest."""
    # The first random number: the catalogue takes the patient's sex from it too.
    female = patient.random() < 0.5
    dome = patient.uniform(0.30, 0.40)
    breast = patient.uniform(0.5, 1.0) if female else 0.0
    return Thorax(
        build=patient.uniform(0.0, 1.0),
        half_width=patient.uniform(0.64, 0.74) - (0.03 if female else 0.0),
        apex=patient.uniform(-0.84, -0.74),
        dome=(dome, dome + patient.uniform(0.03, 0.08)),
        angle_depth=patient.uniform(0.22, 0.28),
        cardiothoracic_ratio=patient.uniform(0.40, 0.475),
        heart_axis=patient.uniform(0.66, 0.74),
        knob=patient.uniform(0.05, 0.09),
        breast=breast,
        rib_spacing=patient.uniform(0.112, 0.13),
        rib_drop=patient.uniform(0.16, 0.28),
        vessel_seed=int(patient.integers(2**32)),
    )


def lung(thorax: Thorax, side: str) -> NDArray[np.float64]:
    """Return the outline of a lung [n, 2]; the heart lies over its medial part."""
    w, top, dome = thorax.half_width, thorax.apex, thorax.dome[0 if side == "right" else 1]
    depth = dome + thorax.angle_depth
    points = [
        (0.27, top),
        (0.15, top + 0.07),
        (0.105, top + 0.30),
        (0.10, -0.15),
        (0.10, 0.15),
        (0.12, dome + 0.06),
        (0.30, dome + 0.005),
        (w * 0.66, dome + 0.02),
        (w * 0.88, dome + 0.11),
        (w * 0.985, depth),
        (w, depth - 0.10),
        (w, 0.20),
        (w * 0.95, -0.12),
        (w * 0.83, -0.42),
        (w * 0.64, top + 0.16),
        (w * 0.52, top + 0.035),
    ]
    return spline(np.array(points) * [SIDES[side], 1.0], closed=True, per_span=7)


def _wall(thorax: Thorax, y: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the half width of the rib cage at each `y`."""
    w = thorax.half_width + 0.012
    levels = [thorax.apex - 0.06, thorax.apex + 0.03, thorax.apex + 0.16, -0.42, -0.12, 0.2, 0.9]
    return np.interp(y, levels, [0.2, w * 0.54, w * 0.68, w * 0.85, w * 0.96, w, w])


def heart(thorax: Thorax) -> NDArray[np.float64]:
    """Return the outline of the heart, whose greatest width is the ratio times the thoracic width."""
    width = thorax.cardiothoracic_ratio * 2 * thorax.half_width
    left, right = width * thorax.heart_axis, -width * (1 - thorax.heart_axis)
    top = -0.26 - 0.25 * max(0.0, thorax.cardiothoracic_ratio - 0.48)
    floor = max(thorax.dome) + 0.10
    bottom = floor - 0.13
    points = [
        (-0.105, top),
        (right * 0.72, top + 0.20),
        (right, (top + floor) / 2 + 0.08),
        (right * 0.9, bottom + 0.06),
        (-0.06, floor),
        (left * 0.55, floor + 0.03),
        (left * 0.93, bottom + 0.05),
        (left, bottom - 0.05),
        (left * 0.90, (top + bottom) / 2 + 0.08),
        (left * 0.62, top + 0.21),
        (0.155, top + 0.08),
        (0.11, top - 0.02),
    ]
    outline = spline(np.array(points), closed=True, per_span=6)
    scaled = (outline[:, 0] - outline[:, 0].min()) / np.ptp(outline[:, 0])
    outline[:, 0] = right + scaled * width + thorax.shift
    return outline


def mediastinum(thorax: Thorax) -> list[NDArray[np.float64]]:
    """Return outlines of the superior mediastinum with the aortic knob, and of the descending aorta."""
    k, s = thorax.knob, thorax.shift
    right = [
        (-0.10, -1.2),
        (-0.085, -0.8),
        (-0.11, -0.55),
        (-0.115, -0.2),
        (0.0, 0.2),
        (0.12, -0.05),
        (0.12, -0.2),
    ]
    knob = [(0.10 + 0.4 * k, -0.28), (0.10 + k, -0.37), (0.10 + 0.7 * k, -0.45), (0.10, -0.52), (0.095, -0.8)]
    upper = np.array([*right, *knob, (0.10, -1.2)])
    upper[2:11, 0] += s
    aorta = np.array([(0.0, -0.35), (0.115, -0.35), (0.13, 0.1), (0.09, 0.7), (-0.05, 0.7)])
    return [spline(upper, closed=True, per_span=6), aorta + np.array([s * 0.7, 0.0])]


def body(thorax: Thorax) -> NDArray[np.float64]:
    """The outline of the trunk and arms, as points in units of half the picture's width."""
    wall = thorax.half_width + 0.05 + 0.13 * thorax.build
    half = [
        (0.20, -1.3),
        (0.22, -0.98),
        (0.40, -0.87),
        (0.80, -0.78),
        (1.02, -0.62),
        (1.12, -0.3),
        (1.16, 0.1),
    ]
    half += [(1.02, 0.1), (wall + 0.10, -0.12), (wall, 0.12), (wall - 0.005, 0.5), (wall + 0.03, 1.4)]
    outline = np.array(half + [(-x, y) for x, y in reversed(half)])
    return spline(outline, closed=True, per_span=5)


def bones(canvas: Canvas, thorax: Thorax, *, anterior_to_posterior: bool) -> Plane:
    """Return what ribs with brighter cortex, clavicles, scapulae, humeral heads and vertebrae add."""
    back, front, cortex = [], [], []
    rod, edge, blade = _girdle(thorax, anterior_to_posterior=anterior_to_posterior)
    t = np.linspace(0, 1, 14)
    levels = thorax.apex - 0.02 + thorax.rib_spacing * np.arange(11)
    ends = levels + thorax.rib_drop * (0.6 + 0.05 * np.arange(11))
    reaches = _wall(thorax, ends)
    for sign in (-1.0, 1.0):
        for index, (level, end, reach) in enumerate(zip(levels, ends, reaches, strict=True)):
            x = 0.05 + (reach - 0.05) * np.sin(t * np.pi / 2) ** 0.95
            y = level - 0.03 * np.sin(np.pi * t) + (end - level) * t**2.4
            back.append((np.stack([sign * x, y], axis=1), 0.040))
            cortex.append((np.stack([sign * x, y + 0.019], axis=1), 0.007))
            if index < 8:
                inner = 0.26 + 0.025 * index
                x = reach - (reach - inner) * t
                y = end + (0.17 + 0.022 * index) * t**0.8 + 0.02 * np.sin(np.pi * t)
                front.append((np.stack([sign * x, y], axis=1), 0.042))
    total = 0.085 * canvas.strokes(back) + 0.06 * canvas.strokes(front)
    total += (
        0.05 * canvas.strokes([*cortex, *edge]) + 0.11 * canvas.strokes(rod) + 0.05 * canvas.polygons(blade)
    )
    return blur(total + 0.04 * canvas.polygons(_vertebrae()), 0.6)


def _girdle(
    thorax: Thorax, *, anterior_to_posterior: bool
) -> tuple[list[Path], list[Path], list[NDArray[np.float64]]]:
    """Return the clavicles, the edges of clavicles and scapulae, and the scapulae with the humeral heads."""
    lift = -0.05 if anterior_to_posterior else 0.0
    inward = -0.16 if anterior_to_posterior else 0.0
    rod: list[Path] = []
    edge: list[Path] = []
    blade = []
    for sign in (-1.0, 1.0):
        course = [(0.06, -0.575), (0.20, -0.625), (0.38, -0.685), (0.55, -0.73), (0.75, -0.745)]
        points = spline(np.array(course) * [sign, 1.0] + [thorax.shift * 0.3, lift])
        rod.append((points, 0.052))
        edge += [(points + np.array([0.0, y]), 0.008) for y in (-0.024, 0.024)]
        w = thorax.half_width + 0.035 + inward
        border = np.array([(w - 0.02, -0.62), (w + 0.02, -0.35), (w + 0.07, -0.08), (w + 0.13, -0.10)])
        blade.append(
            spline(np.concatenate([border, [(w + 0.2, -0.35), (w + 0.24, -0.6)]]) * [sign, 1], closed=True)
        )
        edge.append((spline(border[:3] * [sign, 1.0]), 0.010))
        blade.append(
            np.array([(0.93, -0.70), (1.02, -0.64), (1.05, -0.5), (1.2, 0.0), (1.1, 0.0)]) * [sign, 1.0]
        )
    return rod, edge, blade


def _vertebrae() -> list[NDArray[np.float64]]:
    side = np.array([(0.065, 0.0), (0.058, 0.045), (0.065, 0.09)])
    half = np.concatenate([side, side[::-1] * [-1.0, 1.0]])
    return [half + np.array([0.0, level]) for level in _SPINE_LEVELS]


def airway(canvas: Canvas, shift: float) -> Plane:
    """Trachea and main bronchi, moved sideways by `shift`."""
    carina = (0.01 + shift, -0.27)
    trachea = np.array([(0.0, -1.1), (shift * 0.5, -0.6), carina])
    right = np.array([carina, (-0.07 + shift, -0.18), (-0.13 + shift, -0.10)])
    left = np.array([carina, (0.09 + shift, -0.17), (0.18 + shift, -0.11)])
    return canvas.strokes([(trachea, 0.075), (right, 0.05), (left, 0.044)], blur_pixels=0.9)


def vessels(canvas: Canvas, thorax: Thorax, squeeze: Mapping[str, float]) -> Plane:
    """Return the hila and pulmonary vessels, `squeeze` times their length where the lung has collapsed."""
    paths: list[tuple[NDArray[np.float64], float]] = []
    for side, sign in SIDES.items():
        rng = np.random.default_rng([thorax.vessel_seed, int(sign > 0)])
        hilum = np.array([0.155 * sign + thorax.shift, -0.07 if side == "left" else -0.03])
        fan = np.deg2rad([-78, -48, -20, 12, 36, 58, 78]) + rng.standard_normal(7) * 0.1
        starts = hilum + rng.standard_normal((7, 2)) * [0.012, 0.03]
        headings = fan if sign > 0 else np.pi - fan
        paths += trees(
            rng, starts, headings, length=0.19 * squeeze[side], width=0.026, depth=3, spread=0.45, waver=0.16
        )
        paths.append((hilum + np.array([(0.0, -0.05), (0.0, 0.0), (0.02 * sign, 0.11)]), 0.06))
    return canvas.strokes(paths, blur_pixels=1.0)
