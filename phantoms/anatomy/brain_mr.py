"""Axial brain MR: T1 after contrast, T2 or FLAIR, with or without a tumour."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
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

NAME = "brain-mr"
FINDINGS = ("brain-tumour",)

_SIZE = 256
_SMALLEST_VISIBLE = 4.0
"""Radius in millimetres of the smallest section through a tumour that counts as seen."""


@dataclass(frozen=True, slots=True)
class _Contrast:
    """One kind of sequence: what the scanner writes, and each tissue's signal (white matter about 500)."""

    description: str
    sequence_name: str
    scanning_sequence: str
    echo_time: tuple[float, float]
    repetition_time: tuple[float, float]
    contrast_agent: str | None
    signal: Mapping[str, float]


_CONTRASTS = (
    _Contrast(
        "AX T1 POST GD",
        "*se2d1",
        "SE",
        (8, 15),
        (450, 700),
        "Gadolinium",
        {"fat": 980, "skull": 70, "marrow": 330, "fluid": 130, "grey": 430, "white": 580, "deep": 460,
         "globe": 140, "muscle": 380, "sinus": 900, "rim": 1080, "solid": 980, "core": 210, "oedema": 370},
    ),
    _Contrast(
        "AX T2 TSE",
        "*tse2d1_15",
        "SE",
        (85, 110),
        (3500, 6000),
        None,
        {"fat": 620, "skull": 45, "marrow": 200, "fluid": 1050, "grey": 600, "white": 400, "deep": 480,
         "globe": 1080, "muscle": 230, "sinus": 60, "rim": 600, "solid": 760, "core": 1010, "oedema": 900},
    ),
    _Contrast(
        "AX FLAIR",
        "*tir2d1_16",
        "IR",
        (80, 130),
        (8000, 11000),
        None,
        {"fat": 600, "skull": 45, "marrow": 190, "fluid": 80, "grey": 520, "white": 410, "deep": 470,
         "globe": 90, "muscle": 260, "sinus": 80, "rim": 800, "solid": 830, "core": 300, "oedema": 960},
    ),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Tumour:
    lesion: Lesion
    solid: bool
    oedema: float
    shape_seed: int
    finding: Finding


def synthesise(
    patient: np.random.Generator, study: np.random.Generator, findings: Sequence[str], size: int | None = None
) -> PhantomSeries:
    """Synthesise 10 to 16 axial slices, uint16 [n, size, size], arbitrary units; size 256 by default.

    `findings` holds names of `FINDINGS`; empty is a normal brain.
    """
    rows = size or _SIZE
    anatomy, fields = split(patient, 2)
    posing, coils, noise, growth = split(study, 4)
    head = sample_head(anatomy)
    frame = lay_out(head, sample_pose(posing), rows)
    levels = slice_levels(posing, 10, 16)
    contrast = _CONTRASTS[int(posing.choice(len(_CONTRASTS), p=(0.45, 0.2, 0.35)))]
    gain = coils.uniform(0.35, 2.6)
    deviation = coils.uniform(10, 34)
    softness = coils.uniform(0.25, 0.75) * rows / _SIZE
    tumour = _place_tumour(growth, head) if "brain-tumour" in findings else None

    texture = int(fields.integers(0, 2**63))
    bias = np.exp(np.float32(coils.uniform(0.05, 0.13)) * smooth_noise(coils, (rows, rows), 1))
    slices = []
    seen: list[tuple[Finding, ...]] = []
    for z in levels:
        section = 0.0 if tumour is None else _section(tumour, z)
        visible = tumour if section >= _SMALLEST_VISIBLE else None
        signal = _signal(frame, z, contrast.signal, tumour, visible, texture)
        signal = blur(signal * bias, softness)
        real, imaginary = noise.standard_normal((2, rows, rows), dtype=np.float32) * np.float32(deviation)
        slices.append(np.hypot(signal + real, imaginary) * np.float32(gain))
        seen.append(() if visible is None else (visible.finding,))
    pixels = np.asarray(np.clip(np.stack(slices) + 0.5, 0, 4095), dtype=np.uint16)

    spacing = FIELD_OF_VIEW / rows
    step = levels[1] - levels[0]
    corner = -FIELD_OF_VIEW / 2 + spacing / 2
    extra: dict[str, object] = {
        "ScanningSequence": contrast.scanning_sequence,
        "SequenceVariant": "SK",
        "MRAcquisitionType": "2D",
        "SequenceName": contrast.sequence_name,
        "EchoTime": round(posing.uniform(*contrast.echo_time), 1),
        "RepetitionTime": round(posing.uniform(*contrast.repetition_time), 0),
        "MagneticFieldStrength": float(posing.choice((1.5, 3.0))),
        "SpacingBetweenSlices": round(step, 3),
    }
    if "IR" in contrast.scanning_sequence:
        extra["InversionTime"] = 2500.0
    if contrast.contrast_agent:
        extra["ContrastBolusAgent"] = contrast.contrast_agent
    return PhantomSeries(
        anatomy=NAME,
        modality="MR",
        body_part_examined="HEAD" if posing.random() < 0.4 else "BRAIN",
        pixels=pixels,
        photometric_interpretation="MONOCHROME2",
        findings=() if tumour is None else (tumour.finding,),
        image_findings=tuple(seen),
        series_description=contrast.description,
        pixel_spacing=(spacing, spacing),
        window=(round(520 * gain, 0), round(1040 * gain, 0)),
        slice_thickness=round(step * 0.85, 2),
        image_orientation=(1.0, 0.0, 0.0, 0.0, 1.0, 0.0),
        image_positions=tuple((corner, corner, round(z, 3)) for z in levels),
        extra=extra,
    )


def _place_tumour(rng: np.random.Generator, head: Head) -> _Tumour:
    """Place a tumour wholly inside one hemisphere."""
    severity = str(rng.choice(("small", "moderate", "large"), p=(0.3, 0.35, 0.35)))
    low, high = {"small": (12.5, 15.0), "moderate": (15.0, 19.5), "large": (19.5, 26.0)}[severity]
    radius = rng.uniform(low, high)
    lobe = str(rng.choice(("frontal", "parietal", "temporal", "occipital"), p=(0.35, 0.3, 0.2, 0.15)))
    heights = {"frontal": (14, 45), "parietal": (28, 50), "temporal": (-2, 14), "occipital": (8, 28)}[lobe]
    z = rng.uniform(*heights)
    half_width, half_length = brain_radii(head, z)
    across = {
        "frontal": (0.4, 0.68),
        "parietal": (0.4, 0.68),
        "temporal": (0.62, 0.8),
        "occipital": (0.36, 0.5),
    }[lobe]
    along = {
        "frontal": (-0.58, -0.28),
        "parietal": (0.1, 0.45),
        "temporal": (-0.2, 0.15),
        "occipital": (0.56, 0.7),
    }[lobe]
    side = str(rng.choice(("left", "right")))
    x = max(rng.uniform(*across) * half_width, radius * 0.75) * (1 if side == "left" else -1)
    y = rng.uniform(*along) * half_length
    fits = math.hypot(x / (half_width - 0.6 * radius), y / (half_length - 0.6 * radius))
    x, y = x / max(fits, 1), y / max(fits, 1)
    pushing = rng.uniform(0.5, 1.0)
    lesion = Lesion(
        (x, y, z), radius, push=0.42 * pushing, midline_shift=pushing * max(radius - 10, 1) * 0.55
    )
    return _Tumour(
        lesion=lesion,
        solid=bool(rng.random() < 0.45),
        oedema=rng.uniform(0.35, 1.0),
        shape_seed=int(rng.integers(0, 2**63)),
        finding=Finding("brain-tumour", side=side, severity=severity, location=f"{lobe} lobe"),
    )


def _section(tumour: _Tumour, z: float) -> float:
    """Radius in millimetres of the tumour's section at height `z`."""
    lesion = tumour.lesion
    return math.sqrt(max(lesion.radius**2 - (z - lesion.centre[2]) ** 2, 0))


def _signal(
    frame: Frame,
    z: float,
    signal: Mapping[str, float],
    tumour: _Tumour | None,
    visible: _Tumour | None,
    texture: int,
) -> Plane:
    """Signal of one slice without bias or noise, white matter about 500."""
    part = slice_tissues(frame, z, None if tumour is None else tumour.lesion)
    rng = np.random.default_rng([texture, round(z * 100) & 0xFFFF])
    picture = part.head * np.float32(signal["fat"])
    mix(picture, signal["skull"], part.skull)
    mix(picture, signal["marrow"], part.marrow * np.float32(0.8))
    mix(picture, signal["muscle"], part.inside)
    mix(picture, signal["fluid"], part.cistern)
    mix(picture, signal["grey"], part.brain)
    mix(picture, signal["white"], part.white * part.brain)
    mix(picture, signal["deep"], part.deep_grey * part.brain)
    if visible is not None:
        mix(picture, signal["oedema"], _oedema(visible, frame, part, z))
    mix(picture, signal["fluid"], part.fluid * part.brain)
    picture *= 1 + np.float32(0.025) * smooth_noise(rng, picture.shape, 24)
    mix(picture, signal["fat"], part.orbits * (1 - part.brain))
    mix(picture, signal["globe"], part.globes)
    mix(picture, 15, part.air)
    mix(picture, signal["sinus"], part.sinus)
    if visible is not None:
        _add_tumour(picture, frame, part, visible, z, signal)
    return picture


def _polar(frame: Frame, tumour: _Tumour) -> tuple[Plane, Plane]:
    dx, dy = frame.x - np.float32(tumour.lesion.centre[0]), frame.y - np.float32(tumour.lesion.centre[1])
    return np.hypot(dx, dy), np.arctan2(dy, dx)


def _oedema(tumour: _Tumour, frame: Frame, part: Slice, z: float) -> Plane:
    """Coverage of the finger-like swelling of white matter around the tumour."""
    distance, theta = _polar(frame, tumour)
    rng = np.random.default_rng(tumour.shape_seed + 1)
    section = _section(tumour, z)
    reach = section + (6 + 0.75 * section) * tumour.oedema * uneven(rng, theta, 0.75, (1, 2, 3, 5, 7))
    return soft(reach - distance, 4.0) * part.brain * (np.float32(0.12) + np.float32(0.88) * part.white)


def _add_tumour(
    picture: Plane, frame: Frame, part: Slice, tumour: _Tumour, z: float, signal: Mapping[str, float]
) -> None:
    distance, theta = _polar(frame, tumour)
    rng = np.random.default_rng(tumour.shape_seed)
    lesion = tumour.lesion
    section = _section(tumour, z)
    inside = section * uneven(rng, theta, 0.12 if tumour.solid else 0.24, (2, 3, 4, 5)) - distance
    within = soft(part.depth + 1, 3.0)
    coverage = soft(inside, 2.0) * within
    mottle = smooth_noise(rng, picture.shape, 20)
    if tumour.solid:
        mix(picture, signal["solid"], coverage)
        picture *= 1 + np.float32(0.07) * coverage * mottle
        return
    rim = max(2.6, lesion.radius * rng.uniform(0.16, 0.3))
    inner = inside - np.float32(rim) * (1 + np.float32(0.3) * mottle)
    mix(picture, signal["rim"], coverage)
    mix(picture, signal["core"], soft(np.minimum(inner, part.depth - 2), 2.4))
