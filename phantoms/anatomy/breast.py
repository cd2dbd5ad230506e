"""The breast as a mammogram shows it: outline, pectoral muscle and fibroglandular tissue.

The chest wall is at the left edge, as a left breast hangs; coordinates are those of a canvas whose rows span
-1 to 1.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from medsiglip.phantoms.anatomy.shapes import Canvas, Plane, Points, smoothstep
from medsiglip.phantoms.anatomy.texture import oval, soft


@dataclass(frozen=True, slots=True)
class Breast:
    """What stays the same in one patient; `reach` from the chest wall and `half_height` are in canvas units.

    `density` 0 to 3 stands for the composition categories a to d of ACR BI-RADS, 5th edition.
    """

    reach: float
    half_height: float
    density: int
    fat: float
    gland: float
    lumps: int


@dataclass(frozen=True, slots=True)
class Projection:
    """One view: coverage of breast and muscle, `depth` inside the skin, brightness 0 to 1 before noise."""

    breast: Plane
    muscle: Plane
    depth: Plane
    gland: Plane
    picture: Plane
    nipple: tuple[float, float]


def sample_breast(rng: np.random.Generator) -> Breast:
    """Choose a patient's breast."""
    return Breast(
        reach=rng.uniform(0.75, 1.2),
        half_height=rng.uniform(0.62, 0.9),
        density=int(rng.choice(4, p=(0.2, 0.35, 0.3, 0.15))),
        fat=rng.uniform(0.20, 0.28),
        gland=rng.uniform(0.22, 0.32),
        lumps=int(rng.integers(5, 9)),
    )


def project(
    breast: Breast, canvas: Canvas, view: str, texture: np.random.Generator, pose: np.random.Generator
) -> Projection:
    """Project the breast in view "CC" or "MLO"; `texture` decides its tissue, `pose` how it is compressed."""
    left = float(canvas.x.min())
    u, v = canvas.x - np.float32(left), canvas.y
    reach = breast.reach * pose.uniform(0.92, 1.06)
    depth, middle = _outline(breast, u, v, view, reach, pose)
    nipple = (left + reach, middle + pose.uniform(-0.03, 0.03))
    pixel = canvas.pixel
    bump = oval(canvas.x, canvas.y, (nipple[0] - 0.02, nipple[1]), (0.055, 0.055))
    skin = np.maximum(depth, bump)
    cover = soft(skin, 3 * pixel)

    gland = _gland(breast, canvas, texture, depth, nipple, reach)
    thickness = 1 - np.exp(-np.maximum(skin, 0) / np.float32(0.10))
    picture = np.float32(0.10) + np.float32(breast.fat) * thickness
    picture += np.float32(0.035) * canvas.noise(texture, 9, 3) * thickness
    picture += np.float32(breast.gland) * gland
    picture += np.float32(0.12) * _strands(canvas, texture, nipple, reach) * smoothstep(0.03, 0.12, depth)
    picture += np.float32(0.09) * _vessels(canvas, texture, nipple, reach) * smoothstep(0.02, 0.06, depth)
    # The film's shoulder: dense tissue never reaches the white of a mass or of calcium.
    picture = np.minimum(picture, np.float32(0.50) + np.float32(0.5) * (picture - np.float32(0.50)))
    line = np.float32(0.20) * soft(np.float32(0.012) - np.abs(skin - np.float32(0.010)), 0.02)
    picture = np.maximum(picture, np.float32(0.18) + line)
    picture += np.float32(0.08) * soft(bump, 0.06)
    muscle = np.zeros_like(picture)
    if view == "MLO":
        muscle = _muscle(u, v, pose)
        fibres = np.float32(0.02) * canvas.noise(texture, 14)
        picture += muscle * (np.maximum(picture, np.float32(0.56) + fibres) - picture)
    return Projection(
        cover, muscle * cover, depth, gland, np.asarray(picture * cover, dtype=np.float32), nipple
    )


def _outline(
    breast: Breast, u: Plane, v: Plane, view: str, reach: float, pose: np.random.Generator
) -> tuple[Plane, float]:
    """Return the distance inside the skin and the height of the nipple."""
    if view == "CC":
        middle = pose.uniform(-0.08, 0.08)
        return oval(u, v, (0.0, middle), (reach, breast.half_height * pose.uniform(0.95, 1.05))), middle
    middle = pose.uniform(0.12, 0.26)
    lower = min(breast.half_height * 0.95, 0.93 - middle)
    below = oval(u, v, (0.0, middle), (reach, lower))
    axilla = reach * pose.uniform(0.42, 0.6)
    up = np.clip((np.float32(middle) - v) * np.float32(1 / (1 + middle)), 0, 1)
    edge = np.float32(axilla) + np.float32(reach - axilla) * (1 - up**1.6) ** np.float32(1.3)
    above = (edge - u) * np.float32(0.8)
    blend = smoothstep(middle + 0.05, middle - 0.15, np.broadcast_to(v, u.shape))
    return np.asarray(below * (1 - blend) + above * blend, dtype=np.float32), middle


def _muscle(u: Plane, v: Plane, pose: np.random.Generator) -> Plane:
    width, height = pose.uniform(0.42, 0.68), pose.uniform(1.1, 1.6)
    down = np.clip((v + 1) * np.float32(1 / height), 0, 1)
    edge = np.float32(width) * (1 - down) * (1 + np.float32(0.35) * down)
    return soft(np.asarray(edge - u, dtype=np.float32), 0.05)


def _gland(
    breast: Breast,
    canvas: Canvas,
    rng: np.random.Generator,
    depth: Plane,
    nipple: tuple[float, float],
    reach: float,
) -> Plane:
    """Fibroglandular tissue, 0 to about 1: a cone behind the nipple, broken up by fat."""
    spread = (0.42, 0.55, 0.75, 0.95)[breast.density]
    cone = canvas.gaussian(
        (nipple[0] - 0.52 * reach, nipple[1]), (reach * 0.42 * spread + 0.06, 0.42 * spread + 0.06)
    )
    lumps = canvas.noise(rng, breast.lumps, 4)
    threshold = (0.95, 0.35, -0.35, -1.3)[breast.density]
    tissue = smoothstep(threshold - 0.6, threshold + 0.9, lumps + 1.1 * cone - np.float32(0.4))
    tissue *= smoothstep(0.05, 0.7, cone) * smoothstep(0.03, 0.14, depth)
    return np.asarray(tissue * (1 + np.float32(0.18) * lumps), dtype=np.float32)


def _strands(canvas: Canvas, rng: np.random.Generator, nipple: tuple[float, float], reach: float) -> Plane:
    """Ducts that fan out from the nipple and ligaments that cross the fat."""
    paths: list[tuple[Points, float]] = []
    for _ in range(int(rng.integers(14, 24))):
        heading = np.pi + rng.normal(0, 0.55)
        paths.append(
            (_waver(rng, nipple, heading, reach * rng.uniform(0.4, 0.95)), rng.uniform(0.006, 0.014))
        )
    for _ in range(int(rng.integers(16, 30))):
        start = (nipple[0] - reach * rng.uniform(0.1, 0.95), nipple[1] + rng.normal(0, 0.32))
        heading = rng.choice((-1, 1)) * rng.uniform(0.3, 1.4)
        paths.append((_waver(rng, start, heading, rng.uniform(0.15, 0.45)), rng.uniform(0.005, 0.010)))
    return canvas.strokes(paths, blur_pixels=0.5)


def _vessels(canvas: Canvas, rng: np.random.Generator, nipple: tuple[float, float], reach: float) -> Plane:
    paths: list[tuple[Points, float]] = []
    for _ in range(int(rng.integers(1, 4))):
        start = (nipple[0] - reach * rng.uniform(0.8, 1.0), nipple[1] + rng.uniform(-0.5, 0.4))
        paths.append(
            (_waver(rng, start, rng.normal(0, 0.4), reach * rng.uniform(0.5, 0.8)), rng.uniform(0.014, 0.022))
        )
    return canvas.strokes(paths, blur_pixels=0.5)


def _waver(rng: np.random.Generator, start: tuple[float, float], heading: float, length: float) -> Points:
    turns = heading + np.cumsum(rng.normal(0, 0.11, 10)) + rng.normal(0, 0.03) * np.arange(10)
    steps = np.stack([np.cos(turns), np.sin(turns)], axis=1) * (length / 10)
    return np.asarray(np.concatenate([np.zeros((1, 2)), np.cumsum(steps, axis=0)]) + np.array(start))
