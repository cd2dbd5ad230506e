"""Axial chest CT series in Hounsfield units, from the upper abdomen to the lung apices.

In a slice the patient's right is on the left and anterior is up; one anatomical unit is half the field of
view. The level of a slice runs from 0 (upper abdomen) to 1 (apices). Stored values are Hounsfield units plus
1024.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medsiglip.phantoms.anatomy.shapes import Canvas, Plane, blur, smoothstep, trees, wobbly_outline
from medsiglip.phantoms.study import Finding, PhantomSeries

__all__ = ["FINDINGS", "NAME", "synthesise"]

NAME = "chest-ct"
FINDINGS: tuple[str, ...] = ("nodule", "pleural-effusion")

_AIR, _LUNG, _FAT, _MUSCLE, _LIVER = -1000.0, -860.0, -105.0, 50.0, 62.0
_SIDES = {"right": -1.0, "left": 1.0}
_LOBES = {"lower lobe": (0.42, 0.60), "upper lobe": (0.60, 0.86)}


@dataclass(frozen=True, slots=True)
class _Chest:
    """Anatomy of one patient in anatomical units; the field of view is in millimetres."""

    field_of_view: float
    width: float
    depth: float
    fat: float
    heart: float
    aorta: float
    dome: tuple[float, float]
    vessel_seed: int


@dataclass(frozen=True, slots=True)
class _Lesions:
    """What disease adds: nodules (x, y, level, radius) and for each side the depth and height of fluid."""

    nodules: list[tuple[float, float, float, float]]
    nodule_seed: int
    fluid: dict[str, tuple[float, float]]


@dataclass(frozen=True, slots=True)
class _Slice:
    """One slice being synthesised: its level, canvas, cavity radii and the middle of the cavity."""

    canvas: Canvas
    level: float
    radii: tuple[float, float]
    middle: tuple[float, float]


def synthesise(
    patient: np.random.Generator, study: np.random.Generator, findings: Sequence[str], size: int | None = None
) -> PhantomSeries:
    """Synthesise a series of 16 to 24 slices [n, size, size] uint16, ordered from feet to head.

    `patient` decides the anatomy and `study` pose, dose, noise, side and severity of `findings`.
    """
    size = size or 192
    chest = _Chest(
        field_of_view=patient.uniform(340, 400),
        width=patient.uniform(0.66, 0.72),
        depth=patient.uniform(0.47, 0.54),
        fat=patient.uniform(0.03, 0.10),
        heart=patient.uniform(0.9, 1.08),
        aorta=patient.uniform(0.068, 0.088),
        dome=(patient.uniform(0.30, 0.36), patient.uniform(0.24, 0.30)),
        vessel_seed=int(patient.integers(2**32)),
    )
    count = int(study.integers(16, 25))
    levels = (np.arange(count) + 0.5) / count
    extent = study.uniform(235, 265)
    # A generator of its own: the same study with and without findings differs by the findings alone.
    disease = np.random.default_rng(study.integers(2**32, size=2))
    plan, lesions = _lesions(disease, chest, findings, levels)
    pose = (float(study.normal() * 0.02), float(study.normal() * 0.02))
    canvas = Canvas((size, size), centre=pose, scale=study.uniform(0.95, 1.03), angle=study.normal() * 0.03)
    blood = float(study.uniform(150, 220)) if study.random() < 0.5 else 42.0
    grain = study.uniform(10, 26)
    volume = np.empty((count, size, size), dtype=np.uint16)
    seen: list[tuple[Finding, ...]] = []
    for index, level in enumerate(levels):
        hounsfield, present = _slice(canvas, chest, float(level), lesions, blood)
        hounsfield += grain * blur(study.standard_normal((size, size), dtype=np.float32), 0.6) / 0.45
        volume[index] = np.clip(np.round(hounsfield) + 1024, 0, 4095).astype(np.uint16)
        seen.append(tuple(finding for finding in plan if finding.name in present))
    spacing = round(chest.field_of_view / size, 4)
    step = round(extent / count, 2)
    corner = -chest.field_of_view / 2
    return PhantomSeries(
        anatomy=NAME,
        modality="CT",
        body_part_examined="CHEST",
        pixels=volume,
        photometric_interpretation="MONOCHROME2",
        findings=tuple(plan),
        image_findings=tuple(seen),
        series_description="Chest axial" + (" with contrast" if blood > 100 else ""),
        pixel_spacing=(spacing, spacing),
        rescale=(1.0, -1024.0),
        window=(-600.0, 1500.0) if study.random() < 0.5 else (40.0, 400.0),
        slice_thickness=step,
        image_orientation=(1.0, 0.0, 0.0, 0.0, 1.0, 0.0),
        image_positions=tuple(
            (round(corner, 3), round(corner, 3), round(-350.0 + index * step, 3)) for index in range(count)
        ),
        extra={"ContrastBolusAgent": "Iodinated contrast"} if blood > 100 else {},
    )


def _lesions(
    disease: np.random.Generator, chest: _Chest, names: Sequence[str], levels: NDArray[np.float64]
) -> tuple[list[Finding], _Lesions]:
    """Choose side, severity and place of each finding."""
    plan: list[Finding] = []
    nodules: list[tuple[float, float, float, float]] = []
    fluid = {}
    for name in names:
        side = str(disease.choice(["left", "right"]))
        if name == "nodule":
            lobe = str(disease.choice(list(_LOBES)))
            count = int(disease.integers(1, 5))
            nodules += [_place_nodule(disease, chest, side, levels, lobe) for _ in range(count)]
            plan.append(Finding(name, side, None, lobe))
        elif name == "pleural-effusion":
            severity = str(disease.choice(["small", "moderate", "large"]))
            side = "bilateral" if disease.random() < 0.35 else side
            low, high = {"small": (0.10, 0.15), "moderate": (0.2, 0.3), "large": (0.38, 0.52)}[severity]
            top = {"small": 0.55, "moderate": 0.75, "large": 0.95}[severity]
            for each in _SIDES if side == "bilateral" else (side,):
                fluid[each] = (float(disease.uniform(low, high)), top)
            plan.append(Finding(name, side, severity))
        else:
            raise ValueError(f"{NAME} has no finding {name!r}; there are {', '.join(FINDINGS)}.")
    return plan, _Lesions(nodules, int(disease.integers(2**32)), fluid)


def _place_nodule(
    disease: np.random.Generator, chest: _Chest, side: str, levels: NDArray[np.float64], lobe: str
) -> tuple[float, float, float, float]:
    """Return x, y, level and radius of a nodule of 14 to 38 mm, centred in a slice, clear of the heart."""
    low, high = _LOBES[lobe]
    level = float(disease.choice(levels[(levels > low) & (levels < high)]))
    radius = (14 + 24 * disease.beta(2.0, 1.2)) / chest.field_of_view
    away = disease.uniform(0.60, 0.74) if level > 0.55 or side == "right" else 0.80
    turn = disease.uniform(-0.75, 0.75)
    narrow = 1.0 - 0.4 * max(0.0, level - 0.55)
    x, y = _SIDES[side] * away * narrow * np.cos(turn), 0.7 * np.sin(turn)
    return float(x * chest.width), float(y * chest.depth), level, float(radius)


def _slice(
    canvas: Canvas, chest: _Chest, level: float, lesions: _Lesions, blood: float
) -> tuple[Plane, set[str]]:
    """Return a slice in Hounsfield units without noise, and the names of the findings to see in it."""
    taper = 1.0 - 0.62 * max(0.0, (level - 0.55) / 0.45) ** 2.2
    here = _Slice(
        canvas, level, (chest.width * taper, chest.depth * (0.35 + 0.65 * taper)), (0.0, 0.05 * (1 - taper))
    )
    picture = _wall(here, chest)
    present: set[str] = set()
    cavity = canvas.radius(here.middle, here.radii)
    middle = _mediastinum_mask(here, chest)
    lungs = smoothstep(1.01, 0.98, cavity) * (1 - middle)
    rng = np.random.default_rng([chest.vessel_seed, int(level * 1000)])
    air = _LUNG + 45.0 * canvas.y + 25.0 * canvas.noise(rng, 12, 2) + _vessels(here, rng)
    for number, nodule in enumerate(lesions.nodules):
        air, visible = _nodule(here, chest, nodule, lesions.nodule_seed + number, air)
        present |= visible
    picture += lungs * (air - picture)
    _abdomen(here, chest, cavity, lungs, picture)
    for side, (thickness, top) in lesions.fluid.items():
        depth = thickness * (1 - (level / top) ** 2) if level < top else 0.0
        if depth > 0.05:
            _effuse(here, side, depth, lungs, picture)
            present.add("pleural-effusion")
    _great_vessels(here, chest, blood, picture)
    _bones(here, chest, picture)
    return picture, present


def _wall(here: _Slice, chest: _Chest) -> Plane:
    """Return air, table, skin, fat and muscle of the chest wall, wider and flatter at the shoulders."""
    canvas, level = here.canvas, here.level
    shoulder = smoothstep(0.72, 1.0, np.full((1, 1), level, dtype=np.float32)).item()
    a = chest.width + 0.11 + chest.fat + 0.10 * shoulder
    b = chest.depth + 0.11 + chest.fat - 0.10 * shoulder
    dx, dy = canvas.x / np.float32(a), (canvas.y - np.float32(0.02)) / np.float32(b)
    dx *= dx
    dy *= dy
    r = np.sqrt(np.sqrt(dx * dx + dy * dy + 1.2 * dx * dy))
    body = smoothstep(1.012, 0.988, r)
    picture = _AIR + body * (_FAT - _AIR)
    skin = smoothstep(0.965, 0.985, r) * body
    muscle = smoothstep(1.0 - chest.fat * 1.1 + 0.01, 1.0 - chest.fat * 1.1 - 0.02, r)
    picture += np.maximum(skin, muscle) * (_MUSCLE - picture)
    # The planes of fat between the muscles of the wall.
    planes = smoothstep(0.025, 0.0, np.abs(r - np.float32(0.88 - chest.fat))) * smoothstep(
        0.2, 0.5, np.abs(canvas.x)
    )
    picture -= 90.0 * planes * body
    table = np.abs(canvas.y - b - 0.06 + 0.05 * canvas.x * canvas.x) < 0.012
    picture[table & (np.abs(canvas.x) < 0.7)] = -650.0
    return np.asarray(picture, dtype=np.float32)


def _mediastinum_mask(here: _Slice, chest: _Chest) -> Plane:
    """Return what parts the lungs: spine, heart or great vessels with the fat around them."""
    canvas, level = here.canvas, here.level
    spine = canvas.ellipse((0.0, 0.33), (0.15, 0.19), softness=0.12)
    column = canvas.ellipse((0.02, -0.06), (0.17, 0.42), softness=0.10)
    mask = np.maximum(spine, column)
    size = float(np.sqrt(max(0.0, 1 - ((level - 0.38) / 0.24) ** 2)))
    if size > 0:
        radii = (0.33 * chest.heart * size**0.7, 0.26 * chest.heart * size**0.7)
        mask = np.maximum(mask, canvas.ellipse((0.11, -0.13), radii, angle=0.5, softness=0.06))
    return mask


def _vessels(here: _Slice, rng: np.random.Generator) -> Plane:
    """Return what the pulmonary vessels add to the lungs, with the oblique fissures as faint lines."""
    canvas, level = here.canvas, here.level
    count = 10
    sign = np.where(np.arange(count) % 2 == 0, -1.0, 1.0)
    starts = np.stack([sign * rng.uniform(0.16, 0.24, count), rng.uniform(-0.12, 0.12, count)], axis=1)
    fan = rng.uniform(-1.2, 1.2, count)
    headings = np.where(sign > 0, fan, np.pi - fan)
    branches = trees(rng, starts, headings, length=0.19, width=0.030, depth=2, spread=0.45, waver=0.15)
    keep = rng.random(len(branches)) < 0.75
    spots = rng.uniform([-0.65, -0.4], [0.65, 0.4], (40, 2))
    dots = [
        (np.array([p, p + 0.012]), float(w)) for p, w in zip(spots, rng.uniform(0.008, 0.02, 40), strict=True)
    ]
    bright = canvas.strokes([b for b, k in zip(branches, keep, strict=True) if k] + dots, blur_pixels=0.5)
    y = 0.32 - 0.75 * (1 - level)
    fissures = [
        (np.array([(s * 0.2, -y * 0.4), (s * 0.45, -y * 0.6 + 0.03), (s * 0.7, -y)]), 0.008) for s in (-1, 1)
    ]
    return np.asarray(620.0 * bright + 110.0 * canvas.strokes(fissures, blur_pixels=0.5), dtype=np.float32)


def _nodule(
    here: _Slice, chest: _Chest, nodule: tuple[float, float, float, float], seed: int, air: Plane
) -> tuple[Plane, set[str]]:
    """Return `air` with the cut through a soft-tissue nodule, if this slice meets it."""
    x, y, level, radius = nodule
    height = (here.level - level) * 500 / chest.field_of_view
    cut = float(np.sqrt(max(0.0, radius**2 - height**2)))
    if cut < 0.35 * radius:
        return air, set()
    rng = np.random.default_rng(seed)
    outline = wobbly_outline(rng, (x, y), (cut, cut * 0.92), roughness=0.07, lobes=7, angle=rng.uniform(0, 3))
    disc = here.canvas.polygon(outline, blur_pixels=0.5)
    return air + disc * (38.0 - air), {"nodule"}


def _abdomen(here: _Slice, chest: _Chest, cavity: Plane, lungs: Plane, picture: Plane) -> None:
    """Add liver, spleen and stomach where the diaphragm reaches this level; lung stays around them."""
    canvas, level = here.canvas, here.level
    for side, top in zip(("right", "left"), chest.dome, strict=True):
        if level >= top:
            continue
        sign = _SIDES[side]
        part = 1 - (level / top) ** 2
        share = min(0.97, part**0.5 * 1.02)
        centre = (sign * (0.36 - 0.04 * share), -0.05 + 0.02 * share)
        dome = canvas.ellipse(centre, (0.40 * share, 0.46 * share), softness=0.06)
        dome *= smoothstep(0.985, 0.955, cavity)
        if side == "left":
            dome *= smoothstep(-0.16, -0.10, canvas.x)
        picture += dome * ((_LIVER if side == "right" else 48.0) - picture)
        if side == "left" and part > 0.3:
            stomach = canvas.ellipse((0.34, -0.16), (0.22 * share, 0.18 * share), softness=0.1)
            gas = stomach * smoothstep(-0.16, -0.18, canvas.y)
            picture += stomach * (20.0 - picture)
            picture += gas * (-960.0 - picture)


def _effuse(here: _Slice, side: str, depth: float, lungs: Plane, picture: Plane) -> None:
    """Lay a crescent of fluid, 12 HU, along the posterior pleura, with a rim of pressed lung before it."""
    canvas = here.canvas
    half = smoothstep(0.0, 0.05, _SIDES[side] * canvas.x)
    inner = canvas.radius((here.middle[0], here.middle[1] - depth), here.radii)
    low = smoothstep(-0.15, 0.05, canvas.y)
    pressed = smoothstep(0.80, 1.0, inner) * lungs * half * low
    picture += 0.5 * pressed * np.maximum(-350.0 - picture, 0.0)
    fluid = smoothstep(0.985, 1.015, inner) * lungs * half * low
    picture += fluid * (12.0 - picture)


def _great_vessels(here: _Slice, chest: _Chest, blood: float, picture: Plane) -> None:
    """Add mediastinal fat, heart, aorta and its arch, pulmonary trunk, trachea, bronchi and oesophagus."""
    canvas, level, r = here.canvas, here.level, chest.aorta
    column = canvas.ellipse((0.02, -0.14), (0.15, 0.28), softness=0.15)
    picture += column * ((_FAT + 20 if level > 0.26 else _LIVER - 6) - picture)

    def put(
        centre: tuple[float, float], radii: tuple[float, float], value: float, angle: float = 0.0
    ) -> None:
        nonlocal picture
        picture += canvas.ellipse(centre, radii, angle=angle, softness=0.12) * (np.float32(value) - picture)

    size = float(np.sqrt(max(0.0, 1 - ((level - 0.38) / 0.23) ** 2)))
    if size > 0:
        a, b = 0.31 * chest.heart * size**0.7, 0.24 * chest.heart * size**0.7
        put((0.11, -0.13), (a, b), 45.0, 0.5)
        put((0.19, -0.10), (a * 0.42, b * 0.5), blood, 0.5)
        put((-0.02, -0.16), (a * 0.40, b * 0.6), 0.9 * blood, 0.5)
    if level < 0.72:
        put((0.085, 0.19), (r, r), blood)
    if 0.55 < level < 0.72:
        put((-0.04, -0.17), (r * 1.2, r * 1.2), blood)
        put((-0.10, -0.10), (r * 0.7, r * 0.7), blood)
    if 0.55 < level < 0.64:
        put((0.07, -0.13), (0.10, 0.055), blood, -0.5)
    if 0.72 <= level < 0.79:
        put((0.05, -0.02), (r * 0.95, 0.21), blood, 0.25)
    if level >= 0.79:
        for x, y in ((-0.09, -0.14), (-0.02, -0.12), (0.06, -0.07), (0.09, -0.15)):
            put((x, y), (0.034, 0.034), blood)
    put((0.03, 0.13), (0.03, 0.022), 35.0)
    if level > 0.66:
        put((0.0, 0.05), (0.05, 0.055), _AIR)
    elif level > 0.56:
        for sign in (-1.0, 1.0):
            put((sign * (0.03 + (0.66 - level) * 1.2), 0.03), (0.045, 0.034), _AIR, sign * 0.4)


def _bones(here: _Slice, chest: _Chest, picture: Plane) -> None:
    """Add ribs as oblique cuts around the cavity, spine, sternum, scapulae and clavicles."""
    canvas, level = here.canvas, here.level
    theta = np.linspace(-0.16, 0.16, 6)
    a, b = here.radii[0] + 0.045, here.radii[1] + 0.045
    ribs = []
    for turn in np.arange(-1.15, 1.2, 0.46) + (level * 7.3 % 0.46) - 0.23:
        for sign in (-1.0, 1.0):
            angle = turn + theta
            arc = np.stack([sign * a * np.cos(angle), here.middle[1] + b * np.sin(angle)], axis=1)
            ribs.append((arc, 0.036))
    spine_y = 0.33
    ribs += [(np.array([(x, spine_y + 0.12), (2.8 * x, spine_y + 0.16)]), 0.05) for x in (-0.06, 0.06)]
    ribs.append((np.array([(0.0, spine_y + 0.14), (0.0, spine_y + 0.27)]), 0.045))
    if level > 0.6:
        for sign in (-1.0, 1.0):
            reach = chest.width * 0.98
            ribs.append((np.array([(sign * 0.38, 0.50), (sign * 0.56, 0.43), (sign * reach, 0.22)]), 0.035))
    if level > 0.88:
        ribs += [
            (np.array([(s * 0.10, -0.33), (s * 0.4, -0.36), (s * 0.62, -0.22)]), 0.055) for s in (-1.0, 1.0)
        ]
    cortex = canvas.strokes(ribs)
    marrow = canvas.strokes([(points, width * 0.45) for points, width in ribs])
    picture += cortex * (520.0 - picture)
    picture -= 260.0 * marrow
    vertebra = canvas.radius((0.0, spine_y - 0.01), (0.105, 0.085))
    picture += smoothstep(1.04, 0.96, vertebra) * (170.0 + 300.0 * smoothstep(0.8, 0.95, vertebra) - picture)
    canal = canvas.ellipse((0.0, spine_y + 0.115), (0.045, 0.035), softness=0.2)
    picture += canal * (30.0 - picture)
    if 0.3 < level < 0.9:
        sternum = canvas.ellipse((0.0, -here.radii[1] - 0.02), (0.09, 0.03), softness=0.2)
        picture += sternum * (330.0 - picture)
