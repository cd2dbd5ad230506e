"""The anatomy of a head in axial slices, shared by brain MR and head CT.

Coordinates are millimetres: x to the patient's left (right on the screen), y to the back, z upwards from
the level of the third ventricle's floor.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from medsiglip.phantoms.anatomy.shapes import Plane, smooth_noise
from medsiglip.phantoms.anatomy.texture import capsule, oval, soft

FIELD_OF_VIEW = 240.0
"""Side of the square field of view in millimetres."""


@dataclass(frozen=True, slots=True)
class Pose:
    """How the head lies in the field of view: turn in radians, shift in millimetres."""

    turn: float
    shift: tuple[float, float]


@dataclass(frozen=True, slots=True)
class Lesion:
    """Something that displaces brain: centre and radius in millimetres, and how far it pushes (0 to 1)."""

    centre: tuple[float, float, float]
    radius: float
    push: float
    midline_shift: float


@dataclass(frozen=True, slots=True)
class Head:
    """What stays the same in one patient. Lengths in millimetres."""

    width: float
    length: float
    height: float
    squareness: float
    scalp: float
    skull: float
    atrophy: float
    ventricle: float
    asymmetry: float
    gyri: int
    fold_seed: int


@dataclass(frozen=True, slots=True)
class Frame:
    """A head laid in the field of view: millimetres at every pixel, and the fields that slices share."""

    head: Head
    x: Plane
    y: Plane
    radius: Plane
    folds: list[Plane]


@dataclass(frozen=True, slots=True)
class Slice:
    """Coverage, 0 to 1, of each tissue in one axial slice, [rows, columns] each.

    `depth` is the distance in millimetres inside the brain's surface.
    """

    head: Plane
    skull: Plane
    marrow: Plane
    inside: Plane
    cistern: Plane
    brain: Plane
    depth: Plane
    white: Plane
    deep_grey: Plane
    fluid: Plane
    orbits: Plane
    globes: Plane
    air: Plane
    sinus: Plane


def sample_head(rng: np.random.Generator) -> Head:
    """Choose a patient's head."""
    age = rng.uniform(0, 1)
    return Head(
        width=rng.uniform(70, 80),
        length=rng.uniform(88, 100),
        height=rng.uniform(84, 94),
        squareness=rng.uniform(2.05, 2.5),
        scalp=rng.uniform(5, 9),
        skull=rng.uniform(5, 8),
        atrophy=age,
        ventricle=rng.uniform(0.8, 1.15) + 0.45 * age,
        asymmetry=rng.uniform(-0.12, 0.12),
        gyri=int(rng.integers(22, 29)),
        fold_seed=int(rng.integers(0, 2**63)),
    )


def sample_pose(rng: np.random.Generator) -> Pose:
    """Choose how the head lies."""
    return Pose(turn=rng.normal(0, 0.07), shift=(rng.normal(0, 3), rng.normal(0, 4)))


def slice_levels(rng: np.random.Generator, fewest: int, most: int) -> list[float]:
    """Choose evenly spaced slice heights in millimetres, from the orbits to near the vertex."""
    low, high = rng.uniform(-34, -26), rng.uniform(62, 72)
    return [float(z) for z in np.linspace(low, high, int(rng.integers(fewest, most + 1)))]


def brain_radii(head: Head, z: float) -> tuple[float, float]:
    """Return half width and half length of the brain at height `z`, skull and scalp taken off."""
    taper = _taper(head, z)
    rim = head.scalp + head.skull
    return max(head.width * taper - rim, 4.0), max(head.length * taper - rim, 4.0)


def _taper(head: Head, z: float) -> float:
    above = min(abs(z - 4) / (head.height - 4), 0.98) if z > 4 else min((4 - z) / 100, 0.9)
    return math.sqrt(1 - above**2.3)


def lay_out(head: Head, pose: Pose, size: int) -> Frame:
    """Work out what all slices of a series on `size` x `size` pixels share."""
    x, y = _patient_coordinates(pose, size)
    rng = np.random.default_rng(head.fold_seed)
    folds = [smooth_noise(rng, x.shape, 6) for _ in range(4)]
    return Frame(head, x, y, _superellipse(x, y, (head.width, head.length), head.squareness), folds)


def slice_tissues(frame: Frame, z: float, lesion: Lesion | None = None) -> Slice:
    """Compute the tissues of the slice at height `z`."""
    head, x, y = frame.head, frame.x, frame.y
    edge = max(1.6, 1.2 * FIELD_OF_VIEW / len(x))
    taper = _taper(head, z)
    outer = (taper - frame.radius) * np.float32(0.5 * (head.width + head.length))
    if z < -4:
        outer = np.maximum(outer, oval(x, y, (0, -head.length * taper - 2), (9, (-4 - z) * 0.6)))
    skull_in = outer - np.float32(head.scalp)
    depth = skull_in - np.float32(head.skull)
    bx, by = (x, y) if lesion is None else _pushed(x, y, z, lesion, depth)
    warps = frame.folds
    blend = z / 34
    warp = math.cos(blend) * warps[0] + math.sin(blend) * warps[1]
    reach = math.cos(blend * 1.3 + 1) * warps[2] + math.sin(blend * 1.3 + 1) * warps[3]

    globes = np.zeros_like(x)
    air = np.zeros_like(x)
    orbits = np.zeros_like(x)
    if z < -6:
        brain_depth, bone = _skull_base(head, bx, by, z, depth, taper)
        orbits, globes, air = _face(head, x, y, z, taper, edge)
    else:
        brain_depth, bone = depth - np.float32(1.2 + 2.0 * head.atrophy), None
    brain = soft(brain_depth, edge)

    white_depth, sulci = _cortex(head, bx, by, z, brain_depth, warp, reach)
    fluid = np.maximum(soft(sulci, edge), soft(_ventricles(head, bx, by, z), edge))
    inside = soft(depth, edge)
    skull = soft(skull_in, edge) - inside
    marrow = soft(head.skull * 0.2 - np.abs(skull_in - np.float32(head.skull * 0.5)), edge)
    if bone is not None:
        bone = bone * inside
        skull = np.maximum(skull, bone)
        inside = inside - bone
        brain = brain * (1 - bone)
        skull = skull * (1 - orbits)
        marrow = marrow * (1 - orbits)
    sinus = soft(capsule(x, y, (0, head.length * taper - 15), (0, head.length * taper - 11), 2.6), edge)
    return Slice(
        head=soft(outer, edge),
        skull=np.clip(skull, 0, 1),
        marrow=marrow,
        inside=inside,
        cistern=inside if bone is None else inside * soft(brain_depth + 2.5, edge),
        brain=brain,
        depth=brain_depth,
        white=soft(white_depth, edge * 1.4),
        deep_grey=_deep_grey(bx, by, z, edge),
        fluid=fluid,
        orbits=orbits,
        globes=globes,
        air=air,
        sinus=sinus * inside,
    )


def _patient_coordinates(pose: Pose, size: int) -> tuple[Plane, Plane]:
    line = (np.arange(size, dtype=np.float32) + 0.5) * (FIELD_OF_VIEW / size) - FIELD_OF_VIEW / 2
    across, down = line[None, :] - np.float32(pose.shift[0]), line[:, None] - np.float32(pose.shift[1])
    cos, sin = np.float32(math.cos(pose.turn)), np.float32(math.sin(pose.turn))
    return cos * across + sin * down, cos * down - sin * across


def _superellipse(x: Plane, y: Plane, radii: tuple[float, float], power: float) -> Plane:
    """Return the distance from the centre, 1 on the head's outline at its widest."""
    u, v = np.abs(x * np.float32(1 / radii[0])), np.abs(y * np.float32(1 / radii[1]))
    # The back of a head is broader than its forehead.
    u = u * (1 + np.float32(0.10) * np.clip(y * np.float32(-1 / radii[1]), -1, 1))
    return np.asarray((u**power + v**power) ** np.float32(1 / power), dtype=np.float32)


def _pushed(x: Plane, y: Plane, z: float, lesion: Lesion, depth: Plane) -> tuple[Plane, Plane]:
    """Return where the brain at (x, y) lay before the lesion grew; tissue at the skull stays in place."""
    cx, cy, cz = lesion.centre
    reach = 1.9 * lesion.radius
    dx, dy = x - np.float32(cx), y - np.float32(cy)
    near = np.exp(-(dx * dx + dy * dy) / np.float32(2 * reach**2)) * np.float32(
        math.exp(-((z - cz) ** 2) / (2 * reach**2))
    )
    free = np.clip(depth / 12, 0, 1)
    pull = np.float32(lesion.push) * near * free
    midline = np.exp(-((x / 26) ** 2) - ((y - np.float32(cy * 0.6)) / 48) ** 2) * free
    shift = np.float32(
        -math.copysign(lesion.midline_shift, cx) * math.exp(-((z - cz) ** 2) / (2 * (reach + 10) ** 2))
    )
    return np.asarray(x - pull * dx - shift * midline, dtype=np.float32), y - pull * dy


def _cortex(
    head: Head, x: Plane, y: Plane, z: float, depth: Plane, warp: Plane, reach: Plane
) -> tuple[Plane, Plane]:
    """Return signed distances to white matter and to the fluid of sulci and fissures."""
    theta = np.arctan2(y * np.float32(head.width / head.length), np.abs(x) + np.float32(2))
    level = 0.55 + 0.45 * math.sqrt(max(0.05, 1 - (max(z, 0) / 80) ** 2))
    half_gyri = head.gyri * level / 2
    radius = np.hypot(x, y)
    tangential = np.float32(half_gyri) * theta + np.float32(1.6) * warp
    turn = tangential * np.float32(1 / math.pi)
    lateral = np.abs(turn - np.rint(turn)) * np.float32(math.pi / half_gyri) * radius
    sulcus_depth = np.float32(15 if z >= -6 else 8) + np.float32(6 if z >= -6 else 3) * reach
    to_sulcus = np.hypot(lateral, np.maximum(depth - sulcus_depth, 0))
    to_midline = np.abs(x)
    callosum = _callosum_extent(z)
    if callosum is not None:
        to_midline = to_midline + np.maximum(0, 1 - np.abs((y - callosum[0]) / callosum[1])) * 30
    open_by = np.float32(0.75 + 0.95 * head.atrophy)
    fluid = open_by - np.minimum(to_sulcus, to_midline + np.float32(0.2))
    fluid = np.minimum(fluid, depth + 1)
    grey = np.minimum(np.minimum(to_sulcus - open_by, to_midline - open_by), depth)
    return grey - np.float32(3.3), fluid


def _callosum_extent(z: float) -> tuple[float, float] | None:
    """Centre and half length along y of what bridges the midline; None above the corpus callosum."""
    if z > 36:
        return None
    return (2.0, 40.0) if z > 18 else (4.0, 50.0)


def _ventricles(head: Head, x: Plane, y: Plane, z: float) -> Plane:
    side = np.abs(x) * (1 + np.float32(head.asymmetry) * np.sign(x))
    wide = head.ventricle
    fluid = np.full_like(x, -9)
    if 8 < z < 24:
        fluid = capsule(side, y, (4.5, -20), (13 + 3 * wide, -36), 3.4 * wide)
        horn = capsule(side, y, (21, 26), (25, 42), 3.4 * wide)
        fluid = np.maximum(np.maximum(fluid, horn), capsule(x, y, (0, -8), (0, 14), 1.5 * wide))
    elif 24 <= z < 44:
        bend = 1.0 - (z - 24) / 40
        fluid = capsule(side, y, (9, -28 * bend), (10, 8), 4.0 * wide * bend)
        fluid = np.maximum(fluid, capsule(side, y, (10, 8), (19, 32 * bend), 4.6 * wide * bend))
    elif -8 <= z <= 8:
        fluid = capsule(x, y, (0, -14), (0, 8), 1.7 * wide)
        fluid = np.maximum(fluid, capsule(side, y, (2, -16), (15, -19), 1.9))
        fluid = np.maximum(fluid, capsule(side, y, (2, 17), (12, 24), 2.3))
        fluid = np.maximum(fluid, capsule(side, y, (33, 2), (36, 14), 1.5 * wide))
    elif z < -8:
        fluid = oval(x, y, (0, 27), (6.5 * wide, 4.2 * wide))
        fluid = np.maximum(fluid, capsule(side, y, (4, 0), (14, 8), 1.8))
    return fluid


def _deep_grey(x: Plane, y: Plane, z: float, edge: float) -> Plane:
    if not -4 < z < 26:
        return np.zeros_like(x)
    side = np.abs(x)
    thalamus = oval(side, y, (10, 8), (7, 13), -0.35)
    lentiform = oval(side, y, (23, -7), (6, 15), -0.25)
    caudate = oval(side, y, (13, -22), (4.5, 8), -0.5)
    return soft(np.maximum(np.maximum(thalamus, lentiform), caudate), edge * 1.5)


def _skull_base(head: Head, x: Plane, y: Plane, z: float, depth: Plane, taper: float) -> tuple[Plane, Plane]:
    """Return the brain's signed distance and the coverage of bone between the three cranial fossae."""
    low = min(1.0, (-6 - z) / 24)
    side = np.abs(x)
    width, length = head.width * taper, head.length * taper
    temporal = oval(side, y, (width * 0.50, -length * 0.12), (width * 0.36, length * (0.42 - 0.10 * low)))
    posterior = oval(x, y, (0, length * 0.45), (width * (0.78 - 0.16 * low), length * (0.44 - 0.04 * low)))
    stem = oval(x, y, (0, length * 0.12), (16, 17))
    brain = np.maximum(np.maximum(temporal, posterior), stem)
    if low < 0.75:
        brain = np.maximum(
            brain, oval(x, y, (0, -length * 0.5), (width * 0.46 * (1 - 0.4 * low), length * 0.34))
        )
    brain = np.minimum(brain, depth - 2)
    petrous = capsule(side, y, (14, length * 0.04), (width * 0.72, length * 0.26), 4.5 + 2 * low)
    wing = capsule(side, y, (16, -length * 0.38), (width * 0.75, -length * 0.48), 2.5 + 2 * low)
    clivus = oval(x, y, (0, -length * 0.10), (13, 9))
    base = np.maximum(np.maximum(petrous, wing), clivus)
    brain = np.minimum(brain, -base - 0.5)
    return brain, soft(base, 3.0)


def _face(head: Head, x: Plane, y: Plane, z: float, taper: float, edge: float) -> tuple[Plane, Plane, Plane]:
    """Return coverage of the orbits' fat, of the eyes' globes and of air in nose and paranasal sinuses."""
    length = head.length * taper
    side = np.abs(x)
    section = 1 - ((z + 22) / 15) ** 2
    orbits, globes = np.zeros_like(x), np.zeros_like(x)
    if section > 0.05:
        wide = math.sqrt(section)
        # The orbit narrows towards its apex; the globe fills its front.
        orbits = soft(oval(side, y, (27, -length + 27), (16 * wide, 24), 0.25), edge)
        globes = soft(oval(side, y, (31, -length + 17), (12 * wide, 12 * wide)), edge)
    air = soft(oval(side, y, (6, -length + 26), (4.5, 16)), edge)
    return orbits, globes, air
