"""Head CT without contrast in Hounsfield units, with or without a haemorrhage."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from medsiglip.phantoms.anatomy.head import (
    FIELD_OF_VIEW,
    Frame,
    Head,
    Lesion,
    Slice,
    brain_radii,
    lay_out,
    sample_head,
    sample_pose,
    slice_levels,
    slice_tissues,
)
from medsiglip.phantoms.anatomy.shapes import Plane, blur, smooth_noise
from medsiglip.phantoms.anatomy.texture import mix, soft, split, uneven
from medsiglip.phantoms.study import Finding, PhantomSeries

NAME = "head-ct"
FINDINGS = ("haemorrhage",)

_SIZE = 256
_INTERCEPT = -1024.0
_SMALLEST_VISIBLE = 3.5
"""Millimetres: radius or thickness of the smallest section of blood that counts as seen."""


@dataclass(frozen=True, slots=True)
class _Bleed:
    """Blood within the brain (`kind` "intraparenchymal") or between brain and skull ("subdural", "epidural").

    `extent` is its half height along z in millimetres, `thickness` its radius or greatest thickness. Blood
    outside the brain is centred on the angle `bearing` and reaches `span` radians to either side.
    """

    kind: str
    lesion: Lesion
    extent: float
    thickness: float
    span: float
    bearing: float
    density: float
    shape_seed: int
    finding: Finding


def synthesise(
    patient: np.random.Generator, study: np.random.Generator, findings: Sequence[str], size: int | None = None
) -> PhantomSeries:
    """Synthesise 10 to 12 axial slices, uint16 [n, size, size], HU + 1024; size 256 by default.

    `findings` holds names of `FINDINGS`; empty is a normal head.
    """
    rows = size or _SIZE
    anatomy, fields = split(patient, 2)
    posing, exposure, noise, growth = split(study, 4)
    head = sample_head(anatomy)
    frame = lay_out(head, sample_pose(posing), rows)
    levels = slice_levels(posing, 10, 12)
    deviation, softness = exposure.uniform(3.0, 6.5), exposure.uniform(0.3, 0.8) * rows / _SIZE
    bleed = _place_bleed(growth, head) if "haemorrhage" in findings else None
    texture = int(fields.integers(0, 2**63))
    slices, seen = [], []
    for z in levels:
        visible = bleed if bleed is not None and _section(bleed, z) >= _SMALLEST_VISIBLE else None
        density = _density(frame, z, bleed, visible, texture)
        grain = blur(noise.standard_normal((rows, rows), dtype=np.float32), 0.6 * rows / _SIZE)
        slices.append(blur(density, softness) + grain * np.float32(deviation / grain.std()))
        seen.append(() if visible is None else (visible.finding,))
    stored = np.clip(np.stack(slices) - _INTERCEPT + 0.5, 0, 4095)
    spacing = FIELD_OF_VIEW / rows
    step = levels[1] - levels[0]
    corner = -FIELD_OF_VIEW / 2 + spacing / 2
    return PhantomSeries(
        anatomy=NAME,
        modality="CT",
        body_part_examined="HEAD",
        pixels=stored.astype(np.uint16),
        photometric_interpretation="MONOCHROME2",
        findings=() if bleed is None else (bleed.finding,),
        image_findings=tuple(seen),
        series_description="HEAD WITHOUT CONTRAST",
        pixel_spacing=(spacing, spacing),
        rescale=(1.0, _INTERCEPT),
        window=(40.0, 80.0),
        slice_thickness=round(step, 2),
        image_orientation=(1.0, 0.0, 0.0, 0.0, 1.0, 0.0),
        image_positions=tuple((corner, corner, round(z, 3)) for z in levels),
        extra={"KVP": 120.0, "ConvolutionKernel": "H31s", "SpacingBetweenSlices": round(step, 3)},
    )


def _place_bleed(rng: np.random.Generator, head: Head) -> _Bleed:
    kind = str(rng.choice(("intraparenchymal", "subdural", "epidural"), p=(0.5, 0.28, 0.22)))
    severity = str(rng.choice(("small", "moderate", "large"), p=(0.25, 0.4, 0.35)))
    grade = {"small": 0.0, "moderate": 1.0, "large": 2.0}[severity] + rng.uniform(0, 1)
    side = str(rng.choice(("left", "right")))
    sign = 1 if side == "left" else -1
    z = rng.uniform(12, 42)
    half_width, half_length = brain_radii(head, z)
    density, seed = rng.uniform(62, 80), int(rng.integers(0, 2**63))
    if kind == "intraparenchymal":
        location = str(rng.choice(("basal ganglia", "frontal lobe", "parietal lobe", "occipital lobe")))
        across, along = {
            "basal ganglia": ((0.3, 0.42), (-0.15, 0.1)),
            "frontal lobe": ((0.4, 0.6), (-0.55, -0.3)),
            "parietal lobe": ((0.4, 0.62), (0.1, 0.4)),
            "occipital lobe": ((0.32, 0.5), (0.5, 0.66)),
        }[location]
        z = rng.uniform(8, 24) if location == "basal ganglia" else z
        radius = 8.5 + 4.8 * grade
        x, y = sign * rng.uniform(*across) * half_width, rng.uniform(*along) * half_length
        lesion = Lesion((x, y, z), radius, push=0.35, midline_shift=max(radius - 10, 0) * 0.5)
        finding = Finding("haemorrhage", side=side, severity=severity, location=location)
        return _Bleed(kind, lesion, radius, radius, 0.0, 0.0, density, seed, finding)
    density = rng.uniform(56, 70)
    flat = kind == "subdural"
    thickness = (7.5 + 2.6 * grade) if flat else (9.0 + 4.5 * grade)
    span = rng.uniform(0.85, 1.3) if flat else rng.uniform(0.42, 0.62)
    bearing = rng.normal(0, 0.35) if sign > 0 else math.pi + rng.normal(0, 0.35)
    x, y = math.cos(bearing) * half_width, math.sin(bearing) * half_length
    lesion = Lesion((x, y, z), 20.0, push=0.12, midline_shift=thickness * 0.35)
    finding = Finding("haemorrhage", side=side, severity=severity, location=f"{kind} space")
    extent = rng.uniform(34, 48) if flat else rng.uniform(24, 34)
    return _Bleed(kind, lesion, extent, thickness, span, bearing, density, seed, finding)


def _section(bleed: _Bleed, z: float) -> float:
    """Radius or greatest thickness of the blood at height `z` in mm; at the base only the brain bleeds."""
    if z < -5 and bleed.kind != "intraparenchymal":
        return 0.0
    return bleed.thickness * math.sqrt(max(1 - ((z - bleed.lesion.centre[2]) / bleed.extent) ** 2, 0))


def _density(frame: Frame, z: float, bleed: _Bleed | None, visible: _Bleed | None, texture: int) -> Plane:
    """Hounsfield units of one slice without noise."""
    part = slice_tissues(frame, z, None if bleed is None else bleed.lesion)
    rng = np.random.default_rng([texture, round(z * 100) & 0xFFFF])
    density = np.full_like(part.head, -1000)
    mix(density, -20, part.head)
    mix(density, 950, part.skull)
    mix(density, 520, part.marrow * np.float32(0.6))
    mix(density, 45, part.inside)
    mix(density, 8, part.cistern)
    mix(density, 38, part.brain)
    mix(density, 28, part.white * part.brain)
    mix(density, 37, part.deep_grey * part.brain)
    mix(density, 6, part.fluid * part.brain)
    density += part.brain * smooth_noise(rng, density.shape, 24)
    mix(density, -80, part.orbits * (1 - part.brain))
    mix(density, 14, part.globes)
    mix(density, -950, part.air)
    mix(density, 52, part.sinus)
    if visible is not None:
        _add_blood(density, frame, part, visible, z)
    return density


def _add_blood(density: Plane, frame: Frame, part: Slice, bleed: _Bleed, z: float) -> None:
    rng = np.random.default_rng(bleed.shape_seed)
    section = _section(bleed, z)
    if bleed.kind == "intraparenchymal":
        dx = frame.x - np.float32(bleed.lesion.centre[0])
        dy = frame.y - np.float32(bleed.lesion.centre[1])
        edge = np.float32(section) * uneven(rng, np.arctan2(dy, dx), 0.22, (2, 3, 4, 6))
        inside = np.minimum(edge - np.hypot(dx, dy), part.depth - 1)
        mix(density, 20, soft(inside + 5, 5.0) * part.brain)
    else:
        theta = np.arctan2(frame.y, frame.x) - np.float32(bleed.bearing)
        away = np.arctan2(np.sin(theta), np.cos(theta)) * np.float32(1 / bleed.span)
        arch = (
            np.sqrt(np.maximum(1 - away * away, 0))
            if bleed.kind == "subdural"
            else np.maximum(1 - away * away, 0)
        )
        within_skull = (part.depth + np.float32(2)) * part.inside
        inside = np.minimum(np.float32(section) * arch - within_skull, within_skull + 1)
        inside = np.where(np.abs(away) < 1, inside, -9)
    mottle = np.float32(bleed.density) + np.float32(3) * smooth_noise(rng, density.shape, 10, 2)
    density += soft(np.asarray(inside, dtype=np.float32), 1.8) * part.inside * (mottle - density)
