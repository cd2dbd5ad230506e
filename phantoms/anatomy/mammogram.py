"""Mammograms in craniocaudal and mediolateral oblique view, with or without a mass or calcifications."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from medsiglip.phantoms.anatomy.breast import Projection, project, sample_breast
from medsiglip.phantoms.anatomy.shapes import Canvas, Plane, Points, blur
from medsiglip.phantoms.anatomy.texture import apart, soft, specks, split, uneven
from medsiglip.phantoms.study import Finding, PhantomSeries

NAME = "mammogram"
FINDINGS = ("mass", "calcifications")

_SIZE = 256
_ASPECT = 0.8
_HEIGHT_MM = 240.0
_WHITE = 4095


def synthesise(
    patient: np.random.Generator, study: np.random.Generator, findings: Sequence[str], size: int | None = None
) -> PhantomSeries:
    """Synthesise one mammogram, uint16 [1, size, 0.8 size], 12 bits, some MONOCHROME1; size 256 by default.

    `findings` holds names of `FINDINGS`; empty is a normal breast.
    """
    rows = size or _SIZE
    anatomy, tissue = split(patient, 2)
    posing, exposure, lump, grains = split(study, 4)
    canvas = Canvas((rows, round(rows * _ASPECT)))
    breast = sample_breast(anatomy)
    view = "CC" if posing.random() < 0.5 else "MLO"
    side = "left" if posing.random() < 0.5 else "right"
    projection = project(breast, canvas, view, tissue, posing)
    picture = projection.picture
    found = []
    if "mass" in findings:
        found.append(_add_mass(picture, canvas, projection, view, side, lump))
    if "calcifications" in findings:
        found.append(_add_calcifications(picture, canvas, projection, view, side, grains))

    picture = blur(picture, exposure.uniform(0.0, 0.5) * rows / _SIZE)
    contrast, lift = exposure.uniform(0.85, 1.15), exposure.uniform(-0.03, 0.04)
    deviation = exposure.uniform(0.008, 0.022)
    noisy = picture * np.float32(contrast) + projection.breast * np.float32(lift)
    noise = exposure.standard_normal(canvas.shape, dtype=np.float32)
    noisy += np.float32(deviation) * noise * (np.float32(0.15) + projection.breast)
    values = np.clip(np.asarray(noisy, dtype=np.float32) * 3900 + 20, 0, _WHITE)
    if side == "right":
        values = values[:, ::-1]
    inverted = exposure.random() < 0.2
    if inverted:
        values = _WHITE - values
    spacing = _HEIGHT_MM / rows
    return PhantomSeries(
        anatomy=NAME,
        modality="MG",
        body_part_examined="BREAST",
        pixels=np.ascontiguousarray(values + 0.5, dtype=np.uint16)[None],
        photometric_interpretation="MONOCHROME1" if inverted else "MONOCHROME2",
        findings=tuple(found),
        image_findings=(tuple(found),),
        series_description=f"{side[0].upper()} {view}",
        pixel_spacing=(spacing, spacing),
        window=(2048.0, 4096.0),
        view_position=view,
        laterality=side[0].upper(),
        extra={
            "KVP": float(exposure.integers(26, 33)),
            "BreastImplantPresent": "NO",
            "PresentationIntentType": "FOR PRESENTATION",
        },
    )


def _place(
    rng: np.random.Generator, canvas: Canvas, projection: Projection, margin: float
) -> tuple[float, float]:
    """Return a point at least `margin` inside the skin, off the muscle, likelier in glandular tissue."""
    rows, columns = canvas.shape
    inner = np.abs(canvas.x) < columns / rows - 0.6 * margin
    allowed = (
        (projection.depth > margin) & (projection.muscle < 0.1) & inner & (np.abs(canvas.y) < 0.98 - margin)
    )
    weight = (allowed * (np.float32(0.25) + np.clip(projection.gland, 0, 1))).ravel().cumsum(dtype=np.float64)
    at = int(np.searchsorted(weight, rng.uniform(0, weight[-1])))
    return float(canvas.x.flat[min(at, weight.size - 1)]), float(canvas.y.flat[min(at, weight.size - 1)])


def _location(point: tuple[float, float], projection: Projection, view: str, side: str) -> str:
    """Name the part of the breast.

    A craniocaudal view hangs with the outer breast at the top on either side, an oblique view with the
    upper breast.
    """
    offset = point[1] - projection.nipple[1]
    if abs(offset) < 0.08:
        return "retroareolar region" if point[0] > projection.nipple[0] - 0.35 else "central breast"
    if view == "CC":
        return "outer breast" if offset < 0 else "inner breast"
    return "upper breast" if offset < 0 else "lower breast"


def _add_mass(
    picture: Plane, canvas: Canvas, projection: Projection, view: str, side: str, rng: np.random.Generator
) -> Finding:
    severity = str(rng.choice(("small", "moderate", "large"), p=(0.25, 0.4, 0.35)))
    low, high = {"small": (0.065, 0.085), "moderate": (0.085, 0.12), "large": (0.12, 0.17)}[severity]
    radius = rng.uniform(low, high)
    x, y = _place(rng, canvas, projection, radius + 0.06)
    spiculated = rng.random() < 0.6
    dx, dy = canvas.x - np.float32(x), canvas.y - np.float32(y)
    distance, theta = np.hypot(dx, dy), np.arctan2(dy, dx)
    orders, amplitude = ((3, 5, 7, 9), 0.22) if spiculated else ((2, 3, 5), 0.24)
    inside = np.float32(radius) * uneven(rng, theta, amplitude, orders) - distance
    cover = soft(inside, radius * (0.7 if spiculated else 0.4))
    if spiculated:
        rays = canvas.strokes(_spicules(rng, (x, y), radius), blur_pixels=0.5)
        cover = np.maximum(
            cover, np.float32(0.55) * rays * np.exp(-np.maximum(-inside, 0) / np.float32(radius * 0.9))
        )
    dense = np.float32(rng.uniform(0.82, 0.92)) + np.float32(0.02) * canvas.noise(rng, 24)
    strength = np.float32(rng.uniform(0.8, 0.95))
    picture += strength * cover * np.maximum(dense - picture, 0) * projection.breast
    return Finding("mass", side=side, severity=severity, location=_location((x, y), projection, view, side))


def _spicules(
    rng: np.random.Generator, centre: tuple[float, float], radius: float
) -> list[tuple[Points, float]]:
    paths: list[tuple[Points, float]] = []
    count = int(rng.integers(16, 26))
    for heading in np.linspace(0, 2 * math.pi, count, endpoint=False) + rng.normal(0, 0.12, count):
        reach = radius * rng.uniform(1.5, 2.6)
        along = np.linspace(0.3 * radius, reach, 5)
        bent = heading + np.linspace(0, rng.normal(0, 0.15), 5)
        points = np.stack([np.cos(bent) * along, np.sin(bent) * along], axis=1) + np.array(centre)
        paths.append((points, rng.uniform(0.010, 0.018)))
    return paths


def _add_calcifications(
    picture: Plane, canvas: Canvas, projection: Projection, view: str, side: str, rng: np.random.Generator
) -> Finding:
    severity = str(rng.choice(("few", "numerous"), p=(0.4, 0.6)))
    count = int(rng.integers(18, 25)) if severity == "few" else int(rng.integers(28, 50))
    spread = rng.uniform(0.08, 0.12) if severity == "few" else rng.uniform(0.12, 0.18)
    x, y = _place(rng, canvas, projection, spread + 0.05)
    stretch, turn = rng.uniform(0.6, 1.0), rng.uniform(0, math.pi)
    scatter = rng.normal(0, 0.6, (4 * count, 2)) * np.array([spread, spread * stretch])
    rotation = np.array([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]])
    offsets = apart(scatter, 0.036)[:count] @ rotation.T
    cover = specks(canvas, offsets + np.array([x, y]), rng.uniform(0.012, 0.020, len(offsets)))
    picture += cover * np.maximum(np.float32(rng.uniform(0.98, 1.08)) - picture, 0) * projection.breast
    return Finding(
        "calcifications", side=side, severity=severity, location=_location((x, y), projection, view, side)
    )
