"""Colour photographs of the retina, with or without diabetic retinopathy.

Everything is laid out as a right eye (optic disc on the right, the nasal side) and mirrored for a left one;
coordinates have the centre of the photograph at 0 and its round field reaching to about 0.95.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from medsiglip.phantoms.anatomy.shapes import Canvas, Plane, Point, Points, blur, wobbly_outline
from medsiglip.phantoms.anatomy.texture import oval, paint, soft, specks, split, to_rgb
from medsiglip.phantoms.study import Finding, PhantomSeries

NAME = "fundus"
FINDINGS = ("diabetic-retinopathy",)

_SIZE = 256


@dataclass(frozen=True, slots=True)
class _Eye:
    """What stays the same in one patient's eyes."""

    disc: Point
    disc_radius: float
    cup: float
    macula: Point
    red: float
    pigment: float
    vein: float
    arcade: float


@dataclass(slots=True)
class _Vessels:
    arteries: list[tuple[Points, float]]
    veins: list[tuple[Points, float]]


def synthesise(
    patient: np.random.Generator, study: np.random.Generator, findings: Sequence[str], size: int | None = None
) -> PhantomSeries:
    """Synthesise one fundus photograph, uint8 RGB [1, size, size, 3] (256 pixels by default).

    `findings` holds names of `FINDINGS`; empty is a healthy retina.
    """
    rows = size or _SIZE
    anatomy, branching, tissue = split(patient, 3)
    posing, exposure, disease = split(study, 3)
    eye = _sample_eye(anatomy)
    side = "left" if posing.random() < 0.5 else "right"
    canvas = Canvas(
        (rows, rows),
        centre=(posing.normal(0, 0.02), posing.normal(0, 0.02)),
        angle=posing.normal(0, 0.06),
        scale=posing.uniform(0.92, 1.06),
    )
    looking = canvas.x - np.float32(posing.normal(0, 0.05)), canvas.y - np.float32(posing.normal(0, 0.05))
    picture = _retina(eye, canvas, tissue)
    found: tuple[Finding, ...] = ()
    severity = str(disease.choice(("mild", "moderate", "severe"), p=(0.25, 0.4, 0.35)))
    diseased = "diabetic-retinopathy" in findings
    if diseased:
        found = (Finding("diabetic-retinopathy", side=side, severity=severity),)
        _add_deep_lesions(picture, canvas, eye, severity, disease)
    covered = _add_vessels(picture, canvas, eye, _grow_vessels(eye, branching))
    _add_disc(picture, canvas, eye, covered)
    if diseased:
        _add_haemorrhages(picture, canvas, eye, severity, disease)

    photograph = _expose(picture, looking, rows, exposure)
    if side == "left":
        photograph = np.ascontiguousarray(photograph[:, :, ::-1])
    return PhantomSeries(
        anatomy=NAME,
        modality="OP",
        body_part_examined="EYE",
        pixels=to_rgb(photograph),
        photometric_interpretation="RGB",
        findings=found,
        image_findings=(found,),
        series_description=f"Color fundus {'OD' if side == 'right' else 'OS'}",
        bits_stored=8,
        laterality=side[0].upper(),
        extra={"HorizontalFieldOfView": 45.0, "PupilDilated": "YES" if posing.random() < 0.7 else "NO"},
    )


def _sample_eye(rng: np.random.Generator) -> _Eye:
    disc = (rng.uniform(0.44, 0.58), rng.normal(0, 0.04))
    return _Eye(
        disc=disc,
        disc_radius=rng.uniform(0.125, 0.16),
        cup=rng.uniform(0.25, 0.55),
        macula=(disc[0] - rng.uniform(0.58, 0.68), disc[1] + rng.uniform(0.02, 0.09)),
        red=rng.uniform(0.70, 0.90),
        pigment=rng.uniform(0.0, 1.0),
        vein=rng.uniform(0.026, 0.034),
        arcade=rng.uniform(0.42, 0.58),
    )


def _retina(eye: _Eye, canvas: Canvas, rng: np.random.Generator) -> Plane:
    """The red reflex with choroidal mottling and the darker macula."""
    mottle = canvas.noise(rng, 5, 4)
    streaks = np.abs(canvas.noise(rng, 9, 2))
    green = 0.50 - 0.17 * eye.pigment
    blue = 0.24 - 0.10 * eye.pigment
    picture = np.empty((3, *canvas.shape), dtype=np.float32)
    shade = 1 + np.float32(0.035) * mottle - np.float32(0.05) * (1 - streaks) * np.float32(0.3 + eye.pigment)
    picture[0] = np.float32(eye.red) * shade
    picture[1] = np.float32(eye.red * green) * shade * shade
    picture[2] = np.float32(eye.red * blue) * shade * shade
    macula = canvas.gaussian(eye.macula, (0.17, 0.15))
    fovea = canvas.gaussian(eye.macula, (0.05, 0.05))
    dark = 1 - np.float32(0.25) * macula - np.float32(0.22) * fovea
    picture *= dark
    picture[1] *= 1 - np.float32(0.12) * macula
    return picture


def _grow_vessels(eye: _Eye, rng: np.random.Generator) -> _Vessels:
    """Four arcades, each an artery and a vein, with their branches."""
    vessels = _Vessels([], [])
    x, y = eye.disc
    far = x + 1.0
    for up in (-1, 1):
        for kind, calibre in ((vessels.veins, eye.vein), (vessels.arteries, eye.vein * 0.72)):
            reach = up * eye.arcade * rng.uniform(0.9, 1.15) + (0.05 if kind is vessels.veins else -0.02) * up
            temporal = _bezier(
                rng,
                (x, y + 0.03 * up),
                (x - 0.06, y + 1.55 * reach),
                (x - far, y + reach * rng.uniform(0.75, 1.1)),
            )
            nasal = _bezier(
                rng,
                (x, y + 0.03 * up),
                (x + 0.16, y + 0.4 * up),
                (x + 0.65, y + up * rng.uniform(0.45, 0.85)),
            )
            kind.extend(_taper(temporal, calibre))
            kind.extend(_taper(nasal, calibre * 0.75))
            _branch(kind, temporal, calibre, eye, rng, int(rng.integers(4, 7)), 2)
            _branch(kind, nasal, calibre * 0.75, eye, rng, int(rng.integers(2, 4)), 1)
    for kind in (vessels.veins, vessels.arteries):
        for up in (-1, 1):
            end = (eye.macula[0] + rng.uniform(0.12, 0.2), eye.macula[1] + up * rng.uniform(0.07, 0.16))
            small = _bezier(rng, (x - 0.08, y + 0.04 * up), ((x + end[0]) / 2, y + 0.16 * up), end)
            kind.extend(_taper(small, eye.vein * 0.38))
    return vessels


def _bezier(rng: np.random.Generator, start: Point, control: Point, end: Point) -> Points:
    t = np.linspace(0, 1, 20)[:, None]
    curve = (1 - t) ** 2 * np.array(start) + 2 * t * (1 - t) * np.array(control) + t**2 * np.array(end)
    waver = np.cumsum(rng.normal(0, 0.008, (20, 2)), axis=0)
    return np.asarray(curve + waver * np.sin(math.pi * t), dtype=np.float64)


def _taper(line: Points, width: float) -> list[tuple[Points, float]]:
    """Cut a line in four pieces of falling width."""
    cuts = np.linspace(0, len(line) - 1, 5).astype(int)
    return [(line[a : b + 1], width * (1 - 0.17 * i)) for i, (a, b) in enumerate(pairwise(cuts))]


def _branch(
    kind: list[tuple[Points, float]],
    parent: Points,
    width: float,
    eye: _Eye,
    rng: np.random.Generator,
    count: int,
    depth: int,
) -> None:
    for at in rng.integers(3, len(parent) - 2, count):
        along = parent[at + 1] - parent[at]
        heading = math.atan2(float(along[1]), float(along[0]))
        to_macula = math.atan2(eye.macula[1] - float(parent[at][1]), eye.macula[0] - float(parent[at][0]))
        sign = 1 if math.sin(to_macula - heading) > 0 else -1
        sign = sign if rng.random() < 0.55 else -sign
        # What heads for the macula stays short: the fovea itself has no vessels.
        gap = math.hypot(float(parent[at][0]) - eye.macula[0], float(parent[at][1]) - eye.macula[1])
        length = rng.uniform(0.2, 0.5) * (1.0 if depth > 1 else 0.6)
        length = min(length, max(gap - 0.16, 0.08))
        turns = (
            heading
            + sign * rng.uniform(0.5, 0.95)
            + np.cumsum(rng.normal(0, 0.13, 9))
            - sign * 0.05 * np.arange(9)
        )
        steps = np.stack([np.cos(turns), np.sin(turns)], axis=1) * (length / 9)
        line = np.concatenate([parent[at][None], parent[at] + np.cumsum(steps, axis=0)])
        calibre = width * rng.uniform(0.4, 0.6)
        kind.append((line[:5], calibre))
        kind.append((line[4:], calibre * 0.75))
        if depth > 1:
            _branch(kind, line, calibre, eye, rng, 2, depth - 1)


def _add_vessels(picture: Plane, canvas: Canvas, eye: _Eye, vessels: _Vessels) -> Plane:
    """Paint the vessels and return their coverage."""
    soften = 0.35 * canvas.shape[0] / _SIZE
    veins = canvas.strokes(vessels.veins, blur_pixels=soften)
    arteries = canvas.strokes(vessels.arteries, blur_pixels=soften)
    red = eye.red
    paint(picture, (red * 0.80, red * 0.22, red * 0.12), np.float32(0.72) * arteries)
    paint(picture, (red * 0.52, red * 0.11, red * 0.09), np.float32(0.85) * veins)
    return np.maximum(veins, arteries)


def _add_disc(picture: Plane, canvas: Canvas, eye: _Eye, covered: Plane) -> None:
    radii = (eye.disc_radius * 0.93, eye.disc_radius * 1.05)
    disc = soft(oval(canvas.x, canvas.y, eye.disc, radii), 0.035)
    cup = soft(oval(canvas.x, canvas.y, eye.disc, (radii[0] * eye.cup, radii[1] * eye.cup)), 0.06)
    open_disc = disc * (1 - np.float32(0.6) * covered)
    paint(picture, (min(eye.red + 0.14, 1.0), 0.66, 0.38), np.float32(0.92) * open_disc)
    paint(picture, (1.0, 0.86, 0.62), np.float32(0.8) * cup * (1 - np.float32(0.5) * covered))


def _scatter(rng: np.random.Generator, eye: _Eye, count: int, reach: float, keep_off: float) -> Points:
    """Choose points over the fundus, off the disc and at least `keep_off` from the fovea."""
    angle, radius = rng.uniform(0, 2 * math.pi, count * 3), reach * np.sqrt(rng.uniform(0, 1, count * 3))
    points = np.stack([radius * np.cos(angle) - 0.05, radius * np.sin(angle)], axis=1)
    from_disc = np.hypot(*(points - np.array(eye.disc)).T) > eye.disc_radius * 1.25
    from_fovea = np.hypot(*(points - np.array(eye.macula)).T) > keep_off
    return np.asarray(points[from_disc & from_fovea][:count])


def _add_deep_lesions(
    picture: Plane, canvas: Canvas, eye: _Eye, severity: str, rng: np.random.Generator
) -> None:
    """Hard exudates (yellow, sharp, clustered round the macula) and cotton wool spots (white, fluffy)."""
    if severity == "mild":
        return
    groups = int(rng.integers(1, 3)) if severity == "moderate" else int(rng.integers(2, 5))
    centres, radii = [], []
    for _ in range(groups):
        angle, distance = rng.uniform(0, 2 * math.pi), rng.uniform(0.16, 0.38)
        middle = np.array(eye.macula) + distance * np.array([math.cos(angle), math.sin(angle)])
        count = int(rng.integers(12, 30))
        centres.append(middle + rng.normal(0, rng.uniform(0.035, 0.075), (count, 2)))
        radii.append(rng.uniform(0.007, 0.022, count))
    exudates = specks(canvas, np.concatenate(centres), np.concatenate(radii))
    paint(picture, (1.0, 0.88, 0.42), np.float32(0.9) * exudates)
    if severity == "severe" or rng.random() < 0.3:
        count = int(rng.integers(3, 7)) if severity == "severe" else 2
        outlines = []
        for x, y in _scatter(rng, eye, count, 0.62, 0.25):
            radius = rng.uniform(0.035, 0.065)
            outlines.append(wobbly_outline(rng, (float(x), float(y)), (radius, radius * 0.8), roughness=0.25))
        wool = canvas.polygons(outlines, blur_pixels=1.8 * canvas.shape[0] / _SIZE)
        paint(picture, (0.98, 0.90, 0.72), np.float32(0.8) * wool)


def _add_haemorrhages(
    picture: Plane, canvas: Canvas, eye: _Eye, severity: str, rng: np.random.Generator
) -> None:
    """Microaneurysms and dot, blot and flame haemorrhages."""
    dots = {"mild": (24, 38), "moderate": (28, 44), "severe": (32, 58)}[severity]
    blots = {"mild": (6, 11), "moderate": (12, 20), "severe": (20, 36)}[severity]
    dot_points = _scatter(rng, eye, int(rng.integers(*dots)), 0.72, 0.05)
    dot_radii = rng.uniform(0.012, 0.020, len(dot_points))
    blot_points = _scatter(rng, eye, int(rng.integers(*blots)), 0.8, 0.07)
    largest = {"mild": 0.034, "moderate": 0.046, "severe": 0.058}[severity]
    blot_radii = rng.uniform(0.018, largest, len(blot_points))
    # A blot has no clean outline: three discs, slightly apart.
    lobes = np.repeat(blot_points, 3, axis=0) + rng.normal(0, 0.3, (3 * len(blot_points), 2)) * np.repeat(
        blot_radii, 3
    ).reshape(-1, 1)
    lobe_radii = np.repeat(blot_radii, 3) * rng.uniform(0.5, 0.95, 3 * len(blot_points))
    blood = specks(canvas, np.concatenate([dot_points, lobes]), np.concatenate([dot_radii, lobe_radii]))
    if severity != "mild":
        flames: list[tuple[Points, float]] = []
        for point in _scatter(rng, eye, int(rng.integers(2, 7)), 0.6, 0.2):
            away = point - np.array(eye.disc)
            heading = math.atan2(float(away[1]), float(away[0])) + rng.normal(0, 0.3)
            for _ in range(4):
                start = point + rng.normal(0, 0.010, 2)
                turned = heading + rng.normal(0, 0.15)
                end = start + rng.uniform(0.04, 0.09) * np.array([math.cos(turned), math.sin(turned)])
                flames.append((np.stack([start, end]), 0.014))
        blood = np.maximum(blood, canvas.strokes(flames))
    blood = blur(blood, 0.4 * canvas.shape[0] / _SIZE)
    red = eye.red
    paint(picture, (red * 0.46, red * 0.08, red * 0.07), np.float32(0.9) * blood)


def _expose(picture: Plane, looking: tuple[Plane, Plane], rows: int, rng: np.random.Generator) -> Plane:
    """Light, focus, colour cast and grain of the camera, and its round aperture."""
    focus = rng.uniform(0.0, 0.7) * rows / _SIZE
    light = np.float32(rng.uniform(0.78, 1.12)) * (
        1 - np.float32(rng.uniform(0.15, 0.4)) * (looking[0] ** 2 + looking[1] ** 2)
    )
    cast = (rng.uniform(0.94, 1.04), rng.uniform(0.88, 1.12), rng.uniform(0.8, 1.2))
    deviation = np.float32(rng.uniform(0.008, 0.022))
    y = (np.arange(rows, dtype=np.float32) + 0.5) * np.float32(2 / rows) - 1
    radius = rng.uniform(0.93, 0.985)
    aperture = np.float32(radius) - np.hypot(y[None, :], y[:, None])
    if rng.random() < 0.4:
        aperture = np.minimum(aperture, np.float32(rng.uniform(0.80, 0.88)) - np.abs(y[:, None]))
    cover = soft(aperture, 0.02)
    out = np.empty_like(picture)
    noise = rng.standard_normal(picture.shape[1:], dtype=np.float32)
    for channel in range(3):
        plane = blur(picture[channel], focus) * light * np.float32(cast[channel])
        out[channel] = (plane + deviation * noise) * cover
        noise = noise[::-1]
    return out
