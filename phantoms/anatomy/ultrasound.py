"""Ultrasound of the gallbladder in a curved sector, with or without gallstones.

Echoes are worked out along the beams, where speckle and shadows are made, and then scan-converted.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from medsiglip.phantoms.anatomy.shapes import Plane, blur, smooth_noise, smoothstep
from medsiglip.phantoms.anatomy.texture import oval, soft, split, to_rgb
from medsiglip.phantoms.study import Finding, PhantomSeries

NAME = "ultrasound"
FINDINGS = ("gallstones",)

_SIZE = 256
_TOP = -0.95
_DEPTH = 1.9


@dataclass(frozen=True, slots=True)
class _Body:
    """What stays the same in one patient; lengths in units of half the picture."""

    wall: float
    liver: float
    length: float
    width: float
    thickness: float


@dataclass(frozen=True, slots=True)
class _Beams:
    """The samples along the beams, [depth, beam]: where they lie, and the geometry for scan conversion."""

    x: Plane
    y: Plane
    depth: Plane
    apex: float
    first: float
    half_angle: float


@dataclass(frozen=True, slots=True)
class _Gallbladder:
    centre: tuple[float, float]
    radii: tuple[float, float]
    angle: float


def synthesise(
    patient: np.random.Generator, study: np.random.Generator, findings: Sequence[str], size: int | None = None
) -> PhantomSeries:
    """Synthesise one picture of the gallbladder, uint8 RGB [1, size, size, 3] (256 pixels by default).

    `findings` holds names of `FINDINGS`; empty is a gallbladder without stones.
    """
    rows = size or _SIZE
    (anatomy,) = split(patient, 1)
    posing, exposure, surroundings, growth = split(study, 4)
    body = _Body(
        wall=anatomy.uniform(0.10, 0.22),
        liver=anatomy.uniform(0.30, 0.42),
        length=anatomy.uniform(0.36, 0.5),
        width=anatomy.uniform(0.17, 0.25),
        thickness=anatomy.uniform(0.012, 0.022),
    )
    beams = _aim(rows, posing)
    gallbladder = _Gallbladder(
        centre=(posing.normal(0, 0.12), posing.uniform(-0.25, 0.05)),
        radii=(body.length * posing.uniform(0.85, 1.1), body.width * posing.uniform(0.85, 1.15)),
        angle=posing.choice((-1, 1)) * posing.uniform(0.1, 0.75),
    )
    echo = _tissue(body, beams, surroundings)
    lumen = _add_gallbladder(echo, body, beams, gallbladder)
    found: tuple[Finding, ...] = ()
    if "gallstones" in findings:
        severity = str(growth.choice(("small", "moderate", "large"), p=(0.3, 0.35, 0.35)))
        found = (Finding("gallstones", severity=severity),)
        _add_stones(echo, beams, gallbladder, lumen, severity, growth)
    speckled = _speckle(echo, rows, exposure)
    picture = _scan_convert(speckled * _gain(beams, exposure), beams, rows)
    return PhantomSeries(
        anatomy=NAME,
        modality="US",
        body_part_examined="ABDOMEN",
        pixels=to_rgb(np.broadcast_to(picture, (3, rows, rows))),
        photometric_interpretation="RGB",
        findings=found,
        image_findings=(found,),
        series_description="US ABDOMEN GALLBLADDER",
        bits_stored=8,
        extra={"UltrasoundColorDataPresent": 0, "TransducerType": "CURVED LINEAR"},
    )


def _aim(rows: int, rng: np.random.Generator) -> _Beams:
    first, half_angle = rng.uniform(0.35, 0.6), rng.uniform(0.52, 0.68)
    apex = _TOP - first
    radius = np.linspace(first, first + _DEPTH, round(rows * 0.95), dtype=np.float32)[:, None]
    angle = np.linspace(-half_angle, half_angle, round(rows * 0.6), dtype=np.float32)[None, :]
    x, y = radius * np.sin(angle), np.float32(apex) + radius * np.cos(angle)
    depth = np.broadcast_to(radius - np.float32(first), x.shape)
    return _Beams(x, y, depth, apex, first, half_angle)


def _tissue(body: _Body, beams: _Beams, rng: np.random.Generator) -> Plane:
    """Echo strength, 0 to 1, of abdominal wall, liver with vessels, kidney, diaphragm and bowel gas."""
    x, y, depth = beams.x, beams.y, beams.depth
    echo = np.float32(body.liver) * (1 + np.float32(0.10) * smooth_noise(rng, x.shape, 5, 3))
    layers = np.float32(0.5) + np.float32(0.22) * np.sin(depth * np.float32(rng.uniform(70, 110)))
    wall = soft(np.float32(body.wall) - depth, 0.03)
    echo += wall * (layers - echo)
    for _ in range(int(rng.integers(2, 6))):
        centre = (rng.uniform(-0.8, 0.8), rng.uniform(-0.6, 0.7))
        radii = (rng.uniform(0.04, 0.14), rng.uniform(0.018, 0.035))
        vessel = oval(x, y, centre, radii, rng.uniform(-1.2, 1.2))
        echo += soft(vessel + 0.014, 0.02) * (np.float32(0.6) - echo) * np.float32(0.6)
        echo += soft(vessel, 0.02) * (np.float32(0.05) - echo)
    if rng.random() < 0.5:
        side = rng.choice((-1, 1))
        centre, tilt = (side * rng.uniform(0.45, 0.6), rng.uniform(0.4, 0.55)), side * rng.uniform(0.2, 0.6)
        kidney = oval(x, y, centre, (0.34, 0.18), tilt)
        echo += soft(kidney, 0.03) * (np.float32(0.20) - echo)
        echo += soft(oval(x, y, centre, (0.2, 0.07), tilt), 0.08) * (np.float32(0.62) - echo)
    centre_y = rng.uniform(-0.35, -0.15)
    arc = np.hypot(x - np.float32(rng.uniform(-0.2, 0.2)), y - np.float32(centre_y)) - np.float32(
        rng.uniform(0.95, 1.1)
    )
    echo += soft(np.float32(0.018) - np.abs(arc), 0.02) * smoothstep(0.2, 0.5, y) * (np.float32(0.95) - echo)
    return np.asarray(echo, dtype=np.float32)


def _pear(beams: _Beams, gallbladder: _Gallbladder) -> Plane:
    """Signed distance inside an oval that is narrower at its neck."""
    cx, cy = gallbladder.centre
    along = math.cos(gallbladder.angle), math.sin(gallbladder.angle)
    length, width = gallbladder.radii
    body = oval(beams.x, beams.y, (cx, cy), (length, width), gallbladder.angle)
    neck = (cx - along[0] * length * 0.75, cy - along[1] * length * 0.75)
    return np.maximum(body, oval(beams.x, beams.y, neck, (length * 0.55, width * 0.5), gallbladder.angle))


def _add_gallbladder(echo: Plane, body: _Body, beams: _Beams, gallbladder: _Gallbladder) -> Plane:
    """Add wall, black lumen and the brighter tissue behind it; return the lumen's coverage."""
    inside = _pear(beams, gallbladder)
    lumen = soft(inside, 0.025)
    behind = np.cumsum(lumen, axis=0) * np.float32(_DEPTH / len(lumen))
    echo *= 1 + np.float32(0.9) * np.minimum(behind, np.float32(0.5)) * (1 - lumen)
    wall = soft(np.float32(body.thickness) - np.abs(inside + np.float32(body.thickness)), 0.02)
    echo += wall * (np.float32(0.72) - echo)
    echo += lumen * (np.float32(0.035) - echo)
    return lumen


def _add_stones(
    echo: Plane,
    beams: _Beams,
    gallbladder: _Gallbladder,
    lumen: Plane,
    severity: str,
    rng: np.random.Generator,
) -> None:
    """Lay stones on the back wall: bright on the near side, with a clean shadow behind."""
    low, high = {"small": (0.045, 0.06), "moderate": (0.06, 0.085), "large": (0.085, 0.12)}[severity]
    darkness = rng.uniform(0.82, 0.95)
    count = int(rng.integers(2, 5)) if severity == "small" else int(rng.integers(1, 4))
    for _ in range(count):
        radius = min(rng.uniform(low, high), gallbladder.radii[1] * 0.6)
        along = rng.uniform(-0.45, 0.6) * gallbladder.radii[0]
        x = gallbladder.centre[0] + along * math.cos(gallbladder.angle)
        beam = int(np.argmin(np.abs(beams.x[len(echo) // 2] - x)))
        filled = np.flatnonzero(lumen[:, beam] > 0.5)
        if not len(filled):
            continue
        # The stone lies on the far wall, at its last dark sample on this beam.
        bottom = int(filled[-1])
        centre = float(beams.x[bottom, beam]), float(beams.y[bottom, beam]) - radius * 0.85
        inside = oval(beams.x, beams.y, centre, (radius * rng.uniform(0.9, 1.25), radius))
        stone = soft(inside, 0.02)
        passed = np.cumsum(stone, axis=0) * np.float32(_DEPTH / len(stone))
        shadow = smoothstep(radius * 0.25, radius * 0.8, passed)
        echo *= 1 - np.float32(darkness) * shadow
        front = stone * (1 - smoothstep(radius * 0.2, radius * 0.9, passed))
        echo += front * (np.float32(1.15) - echo)


def _speckle(echo: Plane, rows: int, rng: np.random.Generator) -> Plane:
    """Multiply by the envelope of smoothed complex noise, as coherent waves make it."""
    scale = rows / _SIZE
    sigma = (rng.uniform(0.7, 1.1) * scale, rng.uniform(0.9, 1.5) * scale)
    waves = rng.standard_normal((2, *echo.shape), dtype=np.float32)
    real, imaginary = (ndimage.gaussian_filter(wave, sigma, truncate=2.5) for wave in waves)
    envelope = np.hypot(real, imaginary)
    envelope *= np.float32(1 / envelope.mean())
    return np.asarray(blur(echo, 0.5 * scale) * envelope ** np.float32(0.6), dtype=np.float32)


def _gain(beams: _Beams, rng: np.random.Generator) -> Plane:
    overall, fall, focus = rng.uniform(0.9, 1.35), rng.uniform(0.0, 0.25), rng.uniform(0.5, 1.1)
    shape = (
        1
        - np.float32(fall) * beams.depth / _DEPTH
        + np.float32(0.12) * np.exp(-(((beams.depth - np.float32(focus)) * 4) ** 2))
    )
    return np.asarray(np.float32(overall) * shape, dtype=np.float32)


def _scan_convert(samples: Plane, beams: _Beams, rows: int) -> Plane:
    """Resample from beams to the screen; black outside the sector."""
    line = (np.arange(rows, dtype=np.float32) + 0.5) * np.float32(2 / rows) - 1
    x, y = line[None, :], line[:, None] - np.float32(beams.apex)
    radius, angle = np.hypot(x, y), np.arctan2(x, y)
    count, across = samples.shape
    at = np.stack(
        [
            (radius - np.float32(beams.first)) * np.float32((count - 1) / _DEPTH),
            (angle / np.float32(beams.half_angle) + 1) * np.float32((across - 1) / 2),
        ]
    )
    picture = ndimage.map_coordinates(samples, at, order=1, mode="constant", cval=0.0)
    return np.asarray(np.clip(picture, 0, 1), dtype=np.float32)
