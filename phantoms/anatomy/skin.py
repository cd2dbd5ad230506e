"""Close photographs of one pigmented spot of skin: a benign naevus, or a melanoma."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from medsiglip.phantoms.anatomy.shapes import Canvas, Plane, Points, blur, smoothstep
from medsiglip.phantoms.anatomy.texture import oval, paint, soft, specks, split, to_rgb, uneven
from medsiglip.phantoms.study import Finding, PhantomSeries

NAME = "skin"
FINDINGS = ("melanoma",)

_SIZE = 256
_TONES = np.array(
    [
        (0.96, 0.80, 0.72),
        (0.92, 0.73, 0.62),
        (0.85, 0.65, 0.52),
        (0.74, 0.54, 0.40),
        (0.58, 0.40, 0.29),
        (0.43, 0.29, 0.21),
    ]
)
"""Skin colours from Fitzpatrick type I to VI, RGB 0 to 1."""


@dataclass(frozen=True, slots=True)
class _Skin:
    tone: tuple[float, float, float]
    darkness: float
    redness: float
    hairs: int
    hair_colour: tuple[float, float, float]
    coarseness: int


def synthesise(
    patient: np.random.Generator, study: np.random.Generator, findings: Sequence[str], size: int | None = None
) -> PhantomSeries:
    """Synthesise one photograph, uint8 RGB [1, size, size, 3] (256 pixels by default).

    `findings` holds names of `FINDINGS`; empty is a benign naevus.
    """
    rows = size or _SIZE
    (anatomy,) = split(patient, 1)
    posing, exposure, surface, growth = split(study, 4)
    skin = _sample_skin(anatomy)
    canvas = Canvas(
        (rows, rows),
        centre=(posing.normal(0, 0.09), posing.normal(0, 0.09)),
        angle=posing.uniform(0, 2 * math.pi),
        scale=posing.uniform(0.9, 1.1),
    )
    picture = _skin_surface(skin, canvas, surface)
    found: tuple[Finding, ...] = ()
    if "melanoma" in findings:
        severity = str(growth.choice(("small", "moderate", "large"), p=(0.2, 0.4, 0.4)))
        found = (Finding("melanoma", severity=severity),)
        _add_melanoma(picture, canvas, skin, severity, growth)
    else:
        _add_naevus(picture, canvas, skin, growth)
    _add_hairs(picture, canvas, skin, surface)
    return PhantomSeries(
        anatomy=NAME,
        modality="XC",
        body_part_examined="SKIN",
        pixels=to_rgb(_expose(picture, rows, exposure)),
        photometric_interpretation="RGB",
        findings=found,
        image_findings=(found,),
        series_description="Skin lesion photograph",
        bits_stored=8,
    )


def _sample_skin(rng: np.random.Generator) -> _Skin:
    kind = rng.uniform(0, len(_TONES) - 1.01) if rng.random() < 0.4 else rng.uniform(0, 2.6)
    low = int(kind)
    tone = _TONES[low] + (kind - low) * (_TONES[low + 1] - _TONES[low])
    hair = rng.uniform(0.05, 0.35)
    return _Skin(
        tone=(float(tone[0]), float(tone[1]), float(tone[2])),
        darkness=kind / (len(_TONES) - 1),
        redness=rng.uniform(0.0, 0.06) * (1 - kind / len(_TONES)) ** 2,
        hairs=int(rng.integers(0, 22)) if rng.random() < 0.6 else 0,
        hair_colour=(hair, hair * 0.75, hair * 0.55),
        coarseness=int(rng.integers(22, 44)),
    )


def _skin_surface(skin: _Skin, canvas: Canvas, rng: np.random.Generator) -> Plane:
    """Skin colour with blotches and the fine net of furrows."""
    blotch = canvas.noise(rng, 3, 4)
    furrows = smoothstep(0.0, 0.35, np.abs(canvas.noise(rng, skin.coarseness)))
    pores = canvas.noise(rng, 60)
    shade = 1 + np.float32(0.025) * blotch - np.float32(0.045) * (1 - furrows) + np.float32(0.012) * pores
    picture = np.empty((3, *canvas.shape), dtype=np.float32)
    red = np.float32(skin.redness) * np.clip(blotch, 0, 2)
    for channel in range(3):
        picture[channel] = np.float32(skin.tone[channel]) * shade - (red if channel else 0)
    return picture


def _around(canvas: Canvas, centre: tuple[float, float], radii: tuple[float, float]) -> tuple[Plane, Plane]:
    """Return elliptical distance (1 on the ellipse) and angle about `centre`."""
    dx = (canvas.x - np.float32(centre[0])) * np.float32(1 / radii[0])
    dy = (canvas.y - np.float32(centre[1])) * np.float32(1 / radii[1])
    return np.hypot(dx, dy), np.arctan2(dy, dx)


def _pigment(skin: _Skin, factors: tuple[float, float, float]) -> tuple[float, float, float]:
    """Return the colour of pigmented skin: a share of the skin's own, which dark skin shows less."""
    depth = 1 - 0.25 * skin.darkness
    return (
        skin.tone[0] * (1 - (1 - factors[0]) * depth),
        skin.tone[1] * (1 - (1 - factors[1]) * depth),
        skin.tone[2] * (1 - (1 - factors[2]) * depth),
    )


def _add_naevus(picture: Plane, canvas: Canvas, skin: _Skin, rng: np.random.Generator) -> None:
    """A round or oval spot with an even border and one or two shades of brown, darkest in the middle."""
    radius = rng.uniform(0.20, 0.46)
    stretch = rng.uniform(0.82, 1.0)
    distance, theta = _around(canvas, (0.0, 0.0), (radius, radius * stretch))
    inside = uneven(rng, theta, 0.05, (2, 3, 4)) - distance
    cover = soft(inside, rng.uniform(0.10, 0.28))
    brown = rng.uniform(0.0, 1.0)
    colour = _pigment(skin, (0.74 - 0.22 * brown, 0.58 - 0.22 * brown, 0.48 - 0.20 * brown))
    middle = tuple(0.82 * value for value in colour)
    paint(picture, colour, np.float32(rng.uniform(0.85, 0.96)) * cover)
    paint(picture, middle, np.float32(rng.uniform(0.2, 0.8)) * soft(inside - 0.45, 0.7))
    net = smoothstep(0.1, 0.5, np.abs(canvas.noise(rng, 26)))
    picture *= 1 - np.float32(rng.uniform(0.03, 0.12)) * cover * (1 - net)
    if rng.random() < 0.25:
        _add_freckles(picture, canvas, skin, rng)


def _add_freckles(picture: Plane, canvas: Canvas, skin: _Skin, rng: np.random.Generator) -> None:
    count = int(rng.integers(2, 6))
    spots = blur(specks(canvas, rng.uniform(-0.9, 0.9, (count, 2)), rng.uniform(0.02, 0.045, count)), 1.0)
    paint(picture, _pigment(skin, (0.8, 0.66, 0.56)), np.float32(0.7) * spots)


def _add_melanoma(
    picture: Plane, canvas: Canvas, skin: _Skin, severity: str, rng: np.random.Generator
) -> None:
    """An asymmetric spot with a notched border and several colours, some black, blue-grey, red or white."""
    low, high = {"small": (0.32, 0.40), "moderate": (0.40, 0.54), "large": (0.54, 0.72)}[severity]
    radius = rng.uniform(low, high)
    distance, theta = _around(canvas, (0.0, 0.0), (radius, radius * rng.uniform(0.6, 0.9)))
    edge = uneven(rng, theta, 0.36, (1, 2, 3, 4)) * uneven(rng, theta, 0.07, (5, 7, 9))
    inside = edge - distance + np.float32(0.06) * canvas.noise(rng, 8, 3)
    # The border is abrupt on one side and fades on the other.
    fading = 0.08 + 0.12 * (1 + np.cos(theta + np.float32(rng.uniform(0, 2 * math.pi))))
    ramp = np.clip(inside / fading + np.float32(0.5), 0, 1)
    cover = np.asarray(ramp * ramp * (3 - 2 * ramp), dtype=np.float32)
    paint(picture, _pigment(skin, (0.62, 0.44, 0.34)), np.float32(0.94) * cover)

    fields = [canvas.noise(rng, int(rng.integers(3, 6)), 3) for _ in range(4)]
    dark = smoothstep(-0.4, 0.5, fields[0])
    paint(picture, _pigment(skin, (0.34, 0.22, 0.18)), np.float32(0.9) * cover * dark)
    offset = (rng.uniform(-0.45, 0.45) * radius, rng.uniform(-0.45, 0.45) * radius)
    core = oval(
        canvas.x, canvas.y, offset, (radius * rng.uniform(0.28, 0.5), radius * rng.uniform(0.28, 0.5))
    )
    black = soft(core + np.float32(0.10 * radius) * fields[1], 0.10)
    paint(picture, (0.07, 0.05, 0.06), np.float32(0.93) * cover * black)
    blue = smoothstep(0.5, 1.3, fields[2])
    paint(
        picture,
        (0.27, 0.30, 0.40),
        np.float32(rng.uniform(0.4, 0.7)) * cover * blue * (1 - np.float32(0.6) * black),
    )
    if rng.random() < 0.6:
        patch = smoothstep(1.0, 1.6, fields[3])
        colour = (0.78, 0.34, 0.32) if rng.random() < 0.5 else _pigment(skin, (0.95, 0.98, 1.02))
        paint(picture, colour, np.float32(0.55) * cover * patch * (1 - np.float32(0.7) * black))
    if rng.random() < 0.6:
        _add_globules(picture, canvas, radius, rng)


def _add_globules(picture: Plane, canvas: Canvas, radius: float, rng: np.random.Generator) -> None:
    """Dark dots at one stretch of the border."""
    count = int(rng.integers(6, 16))
    angle = rng.uniform(0, 2 * math.pi) + rng.normal(0, 0.6, count)
    away = radius * rng.uniform(0.6, 1.0, count)
    points = np.stack([np.cos(angle) * away, np.sin(angle) * away], axis=1)
    paint(
        picture,
        (0.16, 0.10, 0.09),
        np.float32(0.8) * specks(canvas, points, rng.uniform(0.012, 0.035, count)),
    )


def _add_hairs(picture: Plane, canvas: Canvas, skin: _Skin, rng: np.random.Generator) -> None:
    if not skin.hairs:
        return
    lean = rng.uniform(0, 2 * math.pi)
    paths: list[tuple[Points, float]] = []
    for _ in range(skin.hairs):
        heading = lean + rng.normal(0, 0.5)
        turns = heading + np.cumsum(rng.normal(rng.normal(0, 0.05), 0.03, 12))
        steps = np.stack([np.cos(turns), np.sin(turns)], axis=1) * (rng.uniform(0.5, 1.3) / 12)
        paths.append((rng.uniform(-1, 1, 2) + np.cumsum(steps, axis=0), rng.uniform(0.008, 0.016)))
    paint(picture, skin.hair_colour, np.float32(0.85) * canvas.strokes(paths))


def _expose(picture: Plane, rows: int, rng: np.random.Generator) -> Plane:
    """Light, vignetting, white balance, focus and grain; some pictures through a round dermatoscope."""
    line = (np.arange(rows, dtype=np.float32) + 0.5) * np.float32(2 / rows) - 1
    x, y = line[None, :], line[:, None]
    slope, turn = rng.uniform(0, 0.10), rng.uniform(0, 2 * math.pi)
    light = 1 + np.float32(slope * math.cos(turn)) * x + np.float32(slope * math.sin(turn)) * y
    radius2 = x * x + y * y
    light = light * np.float32(rng.uniform(0.88, 1.08)) * (1 - np.float32(rng.uniform(0.02, 0.22)) * radius2)
    if rng.random() < 0.3:
        light = light * soft(np.float32(rng.uniform(1.05, 1.25)) - np.sqrt(radius2), 0.06)
    balance = (rng.uniform(0.95, 1.04), 1.0, rng.uniform(0.92, 1.07))
    focus = rng.uniform(0.0, 0.6) * rows / _SIZE
    noise = np.float32(rng.uniform(0.006, 0.02)) * rng.standard_normal((rows, rows), dtype=np.float32)
    out = np.empty_like(picture)
    for channel in range(3):
        out[channel] = blur(picture[channel], focus) * light * np.float32(balance[channel]) + noise
        noise = noise[::-1]
    return out
