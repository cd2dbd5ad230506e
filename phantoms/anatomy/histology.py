"""Breast tissue stained with haematoxylin and eosin: lobules and ducts, or invasive carcinoma."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medsiglip.phantoms.anatomy.shapes import Canvas, Plane, Points, blur, smoothstep, wobbly_outline
from medsiglip.phantoms.anatomy.texture import apart, paint, specks, split, to_rgb
from medsiglip.phantoms.study import Finding, PhantomSeries

NAME = "histology"
FINDINGS = ("carcinoma",)

_SIZE = 256
_FIELD_MM = 0.5
_GLASS = (0.96, 0.95, 0.96)


@dataclass(frozen=True, slots=True)
class _Stain:
    """Colours of one laboratory: stroma, cytoplasm and nuclei, RGB 0 to 1."""

    stroma: tuple[float, float, float]
    cytoplasm: tuple[float, float, float]
    nuclei: tuple[float, float, float]


def synthesise(
    patient: np.random.Generator, study: np.random.Generator, findings: Sequence[str], size: int | None = None
) -> PhantomSeries:
    """Synthesise one field of 0.5 mm, uint8 RGB [1, size, size, 3] (256 pixels by default).

    `findings` holds names of `FINDINGS`; empty is benign tissue.
    """
    rows = size or _SIZE
    (tissue,) = split(patient, 1)
    posing, staining, ground, growth = split(study, 4)
    canvas = Canvas((rows, rows), angle=posing.uniform(0, 2 * math.pi), scale=posing.uniform(0.85, 1.25))
    stain = _sample_stain(staining)
    picture = _stroma(canvas, stain, tissue.uniform(0.2, 1.0), ground)
    found: tuple[Finding, ...] = ()
    if "carcinoma" in findings:
        severity = str(growth.choice(("moderately differentiated", "poorly differentiated")))
        found = (Finding("carcinoma", severity=severity),)
        _add_carcinoma(picture, canvas, stain, severity, growth)
    else:
        _add_glands(picture, canvas, stain, growth)
    spacing = _FIELD_MM / rows
    return PhantomSeries(
        anatomy=NAME,
        modality="SM",
        body_part_examined="BREAST",
        pixels=to_rgb(_expose(picture, rows, staining)),
        photometric_interpretation="RGB",
        findings=found,
        image_findings=(found,),
        series_description="Breast biopsy H&E",
        bits_stored=8,
        pixel_spacing=(spacing, spacing),
    )


def _sample_stain(rng: np.random.Generator) -> _Stain:
    pink, purple = rng.uniform(-0.05, 0.05), rng.uniform(-0.06, 0.06)
    return _Stain(
        stroma=(0.91 + pink / 2, 0.70 + pink, 0.80 + pink / 2),
        cytoplasm=(0.82 + pink / 2, 0.60 + pink, 0.76 + pink / 2),
        nuclei=(0.36 + purple, 0.22 + purple, 0.52 + purple / 2),
    )


def _stroma(canvas: Canvas, stain: _Stain, fat: float, rng: np.random.Generator) -> Plane:
    """Wavy collagen with spindle cells, and fat cells in part of the field."""
    picture = np.empty((3, *canvas.shape), dtype=np.float32)
    swirl = canvas.noise(rng, 3)
    fibres = np.sin(60 * canvas.y + 7 * swirl + 3 * canvas.noise(rng, 9)) * (0.6 + 0.5 * canvas.noise(rng, 5))
    shade = 1 + np.float32(0.035) * fibres + np.float32(0.03) * canvas.noise(rng, 7, 3)
    for plane, value in zip(picture, stain.stroma, strict=True):
        plane[...] = np.float32(value) * shade
    cracks = smoothstep(1.5, 2.0, canvas.noise(rng, 6, 2) + np.float32(0.3) * fibres)
    paint(picture, _GLASS, np.float32(0.8) * cracks)
    if rng.random() < fat * 0.6:
        outlines = [
            wobbly_outline(rng, (float(x), float(y)), (0.12, 0.11), roughness=0.08, lobes=4)
            for x, y in _spaced(rng, 60, 0.25) + rng.uniform(-1, 1, 2)
            if x > 0.35
        ]
        paint(picture, _GLASS, canvas.polygons(outlines, blur_pixels=0.5))
    spindles: list[tuple[Points, float]] = []
    for x, y in rng.uniform(-1.5, 1.5, (90, 2)):
        heading = rng.normal(0, 0.35)
        along = np.array([math.cos(heading), math.sin(heading)]) * rng.uniform(0.015, 0.035)
        spindles.append((np.array([x, y]) + np.stack([-along, along]), 0.014))
    paint(picture, stain.nuclei, np.float32(0.75) * canvas.strokes(spindles))
    return picture


def _spaced(rng: np.random.Generator, count: int, spacing: float) -> NDArray[np.float64]:
    """Choose up to `count` points in -1.4 to 1.4 that keep their distance."""
    return np.asarray(apart(rng.uniform(-1.4, 1.4, (count * 3, 2)), spacing)[:count])


def _add_glands(picture: Plane, canvas: Canvas, stain: _Stain, rng: np.random.Generator) -> None:
    """Round acini and ducts: an open lumen in a regular row of small nuclei."""
    spacing = rng.uniform(0.33, 0.52)
    outer, inner, nuclei = [], [], []
    for x, y in _spaced(rng, int(rng.integers(18, 45)), spacing):
        radius = spacing * rng.uniform(0.33, 0.44) * (1.5 if rng.random() < 0.1 else 1.0)
        radii, turn = (radius, radius * rng.uniform(0.75, 1.0)), rng.uniform(0, math.pi)
        rim = wobbly_outline(rng, (float(x), float(y)), radii, roughness=0.05, lobes=4, angle=turn)
        middle = np.array([x, y])
        outer.append(middle + (rim - middle) * 1.1)
        inner.append(middle + (rim - middle) * rng.uniform(0.42, 0.6))
        count = int(2 * math.pi * radius / 0.052)
        at = (np.arange(count) * len(rim) // count) % len(rim)
        nuclei.append(middle + (rim[at] - middle) * rng.normal(0.86, 0.025, (count, 1)))
    paint(picture, stain.cytoplasm, canvas.polygons(outer, blur_pixels=0.6))
    paint(picture, _GLASS, canvas.polygons(inner, blur_pixels=0.6))
    centres = np.concatenate(nuclei)
    _add_nuclei(picture, canvas, stain, centres, rng.uniform(0.019, 0.025, len(centres)), 0.8)


def _add_carcinoma(
    picture: Plane, canvas: Canvas, stain: _Stain, severity: str, rng: np.random.Generator
) -> None:
    """Ragged nests and cords of crowded, large, dark and unequal nuclei that invade the stroma."""
    poor = severity == "poorly differentiated"
    field = canvas.noise(rng, int(rng.integers(3, 6)), 3)
    cords = np.float32(0.9) - np.abs(canvas.noise(rng, int(rng.integers(4, 7)), 2)) * np.float32(2.2)
    level = rng.uniform(-0.5, 0.1) if poor else rng.uniform(-0.3, 0.3)
    nests = smoothstep(level, level + 0.3, np.maximum(field, cords))
    paint(picture, tuple(0.94 * value for value in stain.cytoplasm), np.float32(0.85) * nests)
    if not poor:
        holes = smoothstep(1.5, 1.7, canvas.noise(rng, 9, 2)) * nests
        paint(picture, _GLASS, holes)
    rows, columns = canvas.shape
    points = rng.uniform(-1.45, 1.45, (int(rng.integers(1300, 1900)), 2))
    column, row = np.floor(canvas.to_pixels(points)).astype(int).T
    seen = (row >= 0) & (row < rows) & (column >= 0) & (column < columns)
    inside = np.zeros(len(points), dtype=bool)
    inside[seen] = nests[row[seen], column[seen]] > 0.6
    centres = points[inside]
    radii = np.clip(rng.lognormal(math.log(0.030), 0.32, len(centres)), 0.016, 0.065)
    # Two discs, a little apart, make a nucleus of irregular outline.
    twins = centres + rng.normal(0, 0.35, centres.shape) * radii[:, None]
    _add_nuclei(
        picture,
        canvas,
        stain,
        np.concatenate([centres, twins]),
        np.concatenate([radii, radii * 0.85]),
        0.9,
        rng,
    )
    stray = points[seen & ~inside]
    stray = stray[: int(0.25 * len(stray))]
    _add_nuclei(picture, canvas, stain, stray, np.full(len(stray), 0.018), 0.8)


def _add_nuclei(
    picture: Plane,
    canvas: Canvas,
    stain: _Stain,
    centres: Points,
    radii: NDArray[np.floating],
    strength: float,
    rng: np.random.Generator | None = None,
) -> None:
    """Paint nuclei with a darker rim; with `rng`, some of them much darker than the others."""
    cover = blur(specks(canvas, centres, radii), 0.4)
    core = blur(specks(canvas, centres, radii * 0.55), 0.4)
    dark = tuple(0.82 * value for value in stain.nuclei)
    paint(picture, dark, np.float32(strength) * cover)
    paint(picture, tuple(1.25 * value for value in stain.nuclei), np.float32(0.45) * core)
    if rng is not None:
        chosen = rng.random(len(centres)) < 0.3
        black = tuple(0.62 * value for value in stain.nuclei)
        paint(picture, black, np.float32(0.8) * specks(canvas, centres[chosen], radii[chosen] * 0.9))


def _expose(picture: Plane, rows: int, rng: np.random.Generator) -> Plane:
    focus = rng.uniform(0.0, 0.5) * rows / _SIZE
    light, deviation = rng.uniform(0.93, 1.05), rng.uniform(0.008, 0.02)
    noise = np.float32(deviation) * rng.standard_normal((rows, rows), dtype=np.float32)
    return np.stack([blur(plane, focus) * np.float32(light) + noise for plane in picture])
