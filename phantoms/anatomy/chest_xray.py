"""Frontal chest radiographs: a projected thorax and what disease adds to it or takes from it.

A picture is built in display values from 0 (air outside the body) to 1 (dense bone), then exposed and stored
as a detector would. Anatomical coordinates are those of `thorax`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from medsiglip.phantoms.anatomy import thorax as anatomy
from medsiglip.phantoms.anatomy.shapes import Canvas, Plane, blur, finish, smoothstep, spline, trees
from medsiglip.phantoms.anatomy.thorax import SIDES, Thorax
from medsiglip.phantoms.study import Finding, PhantomSeries

__all__ = ["FINDINGS", "NAME", "synthesise"]

NAME = "chest-xray"
FINDINGS: tuple[str, ...] = ("pleural-effusion", "pneumothorax", "cardiomegaly", "consolidation", "nodule")

_MILLIMETRES = 200.0
_DETECTOR_MM = 400.0
_AIR, _LUNG, _WATER, _HEART, _ABDOMEN = 0.03, 0.17, 0.72, 0.72, 0.72
_CONSOLIDATION_ZONES = {"upper zone": (-0.52, -0.36), "mid zone": (-0.22, -0.02), "lower zone": (0.10, 0.25)}


@dataclass(frozen=True, slots=True)
class _Lungs:
    """Both hemithoraces being synthesised: their mask and, where air has come in, what is left of each lung.

    `squeeze` is 1 for a lung that fills its side; `outlines` are those of the lungs, not of the sides.
    """

    mask: Plane
    aerated: Plane
    outlines: dict[str, NDArray[np.float64]]
    squeeze: dict[str, float]


def synthesise(
    patient: np.random.Generator, study: np.random.Generator, findings: Sequence[str], size: int | None = None
) -> PhantomSeries:
    """Synthesise one frontal radiograph, stored values [1, size, size] uint16 of 12 bits.

    `patient` decides the anatomy and `study` pose, exposure, noise, side and severity of `findings`.
    """
    size = size or 320
    thorax = anatomy.sample_thorax(patient)
    # A generator of its own: the same study with and without findings differs by the findings alone.
    disease = np.random.default_rng(study.integers(2**32, size=2))
    plan = _plan(disease, findings)
    thorax = _diseased(disease, _breathing(study, thorax), plan)
    supine = bool(study.random() < 0.3)
    canvas = Canvas(
        (size, size),
        centre=(study.normal() * 0.03, 0.06 + study.normal() * 0.03),
        scale=study.uniform(0.93, 1.06),
        angle=study.normal() * 0.025,
    )
    picture = _picture(canvas, disease, thorax, plan, supine=supine)
    return _series(study, _expose(canvas, study, picture), tuple(plan), supine=supine)


def _plan(disease: np.random.Generator, names: Sequence[str]) -> list[Finding]:
    """Choose side, severity and place of each finding; two findings of the lungs take opposite sides."""
    plan: list[Finding] = []
    free = [str(side) for side in disease.permutation(["left", "right"])]
    for name in names:
        side: str | None = free.pop() if free else str(disease.choice(["left", "right"]))
        grade = int(disease.choice(3, p=[0.3, 0.4, 0.3]))
        size = ("small", "moderate", "large")[grade]
        if name == "pleural-effusion":
            if disease.random() < 0.3 and len(names) == 1:
                side = "bilateral"
            plan.append(Finding(name, side, size))
        elif name == "pneumothorax":
            plan.append(Finding(name, side, size, "apical" if grade == 0 else None))
        elif name == "cardiomegaly":
            plan.append(Finding(name, None, ("mild", "moderate", "severe")[grade]))
        elif name == "consolidation":
            plan.append(Finding(name, side, None, str(disease.choice(list(_CONSOLIDATION_ZONES)))))
        elif name == "nodule":
            plan.append(
                Finding(name, side, None, str(disease.choice(["upper zone", "mid zone", "lower zone"])))
            )
        else:
            raise ValueError(f"{NAME} has no finding {name!r}; there are {', '.join(FINDINGS)}.")
    return plan


def _breathing(study: np.random.Generator, thorax: Thorax) -> Thorax:
    """Return the thorax at the depth of breath and turn of this exposure."""
    breath = study.normal() * 0.02
    return replace(
        thorax,
        cardiothoracic_ratio=min(0.48, thorax.cardiothoracic_ratio + study.normal() * 0.006),
        shift=study.normal() * 0.012,
        dome=(thorax.dome[0] + breath, thorax.dome[1] + breath),
    )


def _diseased(disease: np.random.Generator, thorax: Thorax, plan: Sequence[Finding]) -> Thorax:
    """Return the thorax with the heart enlarged or pushed aside."""
    ratio, shift = thorax.cardiothoracic_ratio, thorax.shift
    for finding in plan:
        large = finding.severity == "large"
        push = -SIDES[finding.side] if finding.side in SIDES else 0.0
        if finding.name == "cardiomegaly":
            low = {"mild": 0.56, "moderate": 0.60, "severe": 0.66}[str(finding.severity)]
            ratio = disease.uniform(low, low + 0.05)
        elif finding.name == "pleural-effusion" and large:
            shift += push * disease.uniform(0.02, 0.07)
        elif finding.name == "pneumothorax" and large:
            shift += push * disease.uniform(0.03, 0.11)
    return replace(thorax, cardiothoracic_ratio=ratio, shift=shift)


def _picture(
    canvas: Canvas, disease: np.random.Generator, thorax: Thorax, plan: Sequence[Finding], *, supine: bool
) -> Plane:
    body = canvas.polygon(anatomy.body(thorax), blur_pixels=1.0)
    picture = _soft_tissue(canvas, thorax, body)
    heart = canvas.polygon(anatomy.heart(thorax), blur_pixels=1.2)
    lungs = _lungs(canvas, disease, thorax, plan)
    air = _aeration(canvas, thorax, lungs)
    for finding in plan:
        if finding.name == "consolidation":
            air = _consolidate(canvas, disease, thorax, finding, air)
        elif finding.name == "nodule":
            air = _nodule(canvas, disease, lungs, heart, finding, air)
    picture += lungs.mask * (air - picture)
    chest = canvas.polygons(anatomy.mediastinum(thorax), blur_pixels=1.2)
    chest *= smoothstep(-1.3, -0.55, canvas.y) * 0.6 + 0.3
    picture += chest * np.maximum(0.70 - picture, 0.0)
    picture += 0.93 * heart * np.maximum(_HEART - 0.06 * np.abs(canvas.x) - picture, 0.0)
    for finding in plan:
        if finding.name == "pleural-effusion":
            for side in SIDES if finding.side == "bilateral" else (str(finding.side),):
                _effuse(canvas, disease, thorax, side, str(finding.severity), picture)
    picture += body * anatomy.bones(canvas, thorax, anterior_to_posterior=supine) * (1.15 - 0.95 * picture)
    picture -= 0.17 * anatomy.airway(canvas, thorax.shift) * smoothstep(0.35, 0.6, picture)
    if thorax.breast:
        _breasts(canvas, thorax, picture)
    return picture


def _soft_tissue(canvas: Canvas, thorax: Thorax, body: Plane) -> Plane:
    """Return body wall and abdomen, with the stomach bubble under the left dome."""
    wall = 0.44 + 0.10 * thorax.build
    below = smoothstep(thorax.dome[0] - 0.1, thorax.dome[0] + 0.2, canvas.y)
    tissue = wall + (_ABDOMEN - wall) * below - 0.16 * smoothstep(0.72, 1.1, np.abs(canvas.x)) * (1 - below)
    tissue += 0.10 * smoothstep(0.45, 0.12, np.abs(canvas.x)) * (1 - below)
    bubble = canvas.ellipse((0.36, thorax.dome[1] + 0.14), (0.15, 0.075), angle=-0.15, softness=0.35)
    tissue -= 0.24 * bubble
    return np.asarray(_AIR + body * (tissue - _AIR), dtype=np.float32)


def _lungs(canvas: Canvas, disease: np.random.Generator, thorax: Thorax, plan: Sequence[Finding]) -> _Lungs:
    outlines = {side: anatomy.lung(thorax, side) for side in SIDES}
    squeeze = dict.fromkeys(SIDES, 1.0)
    mask = canvas.polygons(outlines.values(), blur_pixels=0.9)
    free = next((finding for finding in plan if finding.name == "pneumothorax"), None)
    if free is None:
        return _Lungs(mask, mask, outlines, squeeze)
    side = str(free.side)
    retreat = {"small": (0.13, 0.20), "moderate": (0.26, 0.38), "large": (0.48, 0.64)}[str(free.severity)]
    amount = disease.uniform(*retreat)
    # Air rises: a small pneumothorax of an upright patient parts only the apex from the wall.
    foot, head = {"small": (0.25, -0.45), "moderate": (0.62, -0.2), "large": (1.3, 0.3)}[str(free.severity)]
    share = np.clip((outlines[side][:, 1] - foot) / (head - foot), 0.0, 1.0)
    hilum = np.array([0.14 * SIDES[side] + thorax.shift, 0.0])
    outlines[side] = hilum + (outlines[side] - hilum) * (1 - amount * share[:, None])
    squeeze[side] = 1 - 0.8 * amount
    return _Lungs(mask, canvas.polygons(outlines.values(), blur_pixels=0.6) * mask, outlines, squeeze)


def _aeration(canvas: Canvas, thorax: Thorax, lungs: _Lungs) -> Plane:
    """Return the values inside the rib cage: lung with vessels, free air and the pleural line between."""
    base = _LUNG + 0.05 * smoothstep(-0.3, 0.5, canvas.y) + 0.05 * smoothstep(-0.55, -0.85, canvas.y)
    base += 0.010 * canvas.noise(np.random.default_rng([thorax.vessel_seed, 2]), 24, 2)
    lung = base + 0.115 * anatomy.vessels(canvas, thorax, lungs.squeeze)
    collapsed = next((side for side, size in lungs.squeeze.items() if size < 1), None)
    if collapsed is None:
        return np.asarray(lung, dtype=np.float32)
    half = SIDES[collapsed] * canvas.x > 0
    lung += half * np.float32(0.34 * (1 - lungs.squeeze[collapsed]) ** 1.2)
    air = base - 0.13 * half
    outline = lungs.outlines[collapsed]
    line = canvas.strokes([(np.concatenate([outline, outline[:1]]), 0.011)], blur_pixels=0.5)
    return np.asarray(air + lungs.aerated * (lung - air) + 0.20 * line, dtype=np.float32)


def _consolidate(
    canvas: Canvas, disease: np.random.Generator, thorax: Thorax, finding: Finding, air: Plane
) -> Plane:
    """Return `air` with an ill-defined airspace opacity crossed by air bronchograms."""
    sign = SIDES[str(finding.side)]
    low, high = _CONSOLIDATION_ZONES[str(finding.location)]
    x = {"upper zone": 0.32, "mid zone": 0.40, "lower zone": 0.46 + 0.04 * sign}[str(finding.location)]
    x += disease.normal() * 0.03
    centre = (sign * x + thorax.shift, float(disease.uniform(low, high)))
    radii = (float(disease.uniform(0.16, 0.25)), float(disease.uniform(0.13, 0.24)))
    distance = canvas.radius(centre, radii) + 0.34 * canvas.noise(disease, 8, 3)
    opacity = smoothstep(1.45, 0.40, distance) * np.float32(disease.uniform(0.75, 0.95))
    opacity *= 1.0 - 0.22 * smoothstep(0.0, 1.5, canvas.noise(disease, 22, 2))
    if finding.location == "upper zone" and finding.side == "right" and disease.random() < 0.5:
        opacity *= smoothstep(0.01, -0.01, canvas.y - centre[1] - radii[1] * 0.6)
    start = np.array([[sign * 0.17 + thorax.shift, -0.05]])
    heading = np.arctan2([centre[1] - start[0, 1]], [centre[0] - start[0, 0]])
    bronchi = trees(disease, start, heading, length=0.16, width=0.02, depth=3, spread=0.4, waver=0.08)
    dense = 0.64 - 0.16 * canvas.strokes(bronchi, blur_pixels=0.7)
    return np.asarray(air + opacity * (dense - air), dtype=np.float32)


def _nodule(
    canvas: Canvas, disease: np.random.Generator, lungs: _Lungs, heart: Plane, finding: Finding, air: Plane
) -> Plane:
    """Return `air` with a round opacity of 12 to 34 mm, clear of the heart and the edge of the lung."""
    diameter = 12 + 22 * disease.beta(2.2, 1.2)
    radius = diameter / 2 / _MILLIMETRES
    low, high = {"upper zone": (-0.65, -0.38), "mid zone": (-0.35, -0.02), "lower zone": (0.0, 0.28)}[
        str(finding.location)
    ]
    room = blur(lungs.aerated * (1 - heart), max(1.0, (radius + 0.02) / canvas.pixel / 2)) > 0.93
    room &= SIDES[str(finding.side)] * canvas.x > 0.26
    zone = room & (canvas.y > low) & (canvas.y < high)
    rows, columns = np.nonzero(zone if zone.any() else room)
    pick = int(disease.random() * len(rows))
    centre = (float(canvas.x[rows[pick], columns[pick]]), float(canvas.y[rows[pick], columns[pick]]))
    radii = (radius * disease.uniform(0.88, 1.12), radius)
    disc = canvas.ellipse(centre, radii, angle=disease.uniform(0, 3), softness=0.45)
    dense = np.maximum(air, _LUNG + np.float32(disease.uniform(0.32, 0.42)))
    return np.asarray(air + disc * (dense - air), dtype=np.float32)


def _effuse(
    canvas: Canvas, disease: np.random.Generator, thorax: Thorax, side: str, severity: str, picture: Plane
) -> None:
    """Fill the base of a hemithorax with fluid, whose surface climbs the lateral wall as a meniscus."""
    sign, dome = SIDES[side], thorax.dome[0 if side == "right" else 1]
    lateral, middle = {
        "small": (dome - disease.uniform(0.0, 0.12), dome + disease.uniform(0.04, 0.12)),
        "moderate": (dome - disease.uniform(0.28, 0.42), dome - disease.uniform(0.08, 0.20)),
        "large": (dome - disease.uniform(0.62, 0.85), dome - disease.uniform(0.42, 0.60)),
    }[severity]
    w = thorax.half_width
    inward = np.maximum(w - sign * canvas.x, 0.0) / np.float32(w)
    surface = middle - (middle - lateral) * np.exp(-inward * 5.0) - 0.05 * np.exp(-np.abs(1 - inward) * 8.0)
    depth = smoothstep(-0.03, 0.05, canvas.y - surface)
    pleura = np.array([(0.05, -0.9), (0.05, 1.0), (w, 1.0), (w, 0.1), (w * 0.95, -0.12), (w * 0.7, -0.6)])
    fluid = depth * canvas.polygon(spline(pleura * [sign, 1], closed=True), blur_pixels=0.8)
    picture += 0.95 * fluid * np.maximum(_WATER - picture, 0.0)


def _breasts(canvas: Canvas, thorax: Thorax, picture: Plane) -> None:
    for sign in (-1.0, 1.0):
        shape = canvas.radius((sign * 0.42, 0.16), (0.30, 0.34))
        edge = smoothstep(1.03, 0.97, shape) * smoothstep(-0.15, 0.30, canvas.y)
        picture += 0.085 * thorax.breast * edge * (1 - picture)


def _expose(canvas: Canvas, study: np.random.Generator, picture: Plane) -> Plane:
    """Return display values from 0 to 1 with scatter, grain, exposure, collimation and marker."""
    sharp = canvas.shape[0] / 256
    scatter = blur(picture[::2, ::2], 14 * sharp)
    scatter = np.repeat(np.repeat(scatter, 2, axis=0), 2, axis=1)[: picture.shape[0], : picture.shape[1]]
    picture = 0.82 * picture + 0.18 * scatter + 0.008 * canvas.noise(study, 6, 3)
    image = finish(picture, study, grain=study.uniform(0.006, 0.022), sharpness_pixels=0.45 * sharp)
    image = np.clip((image - 0.46) * study.uniform(0.95, 1.35) + 0.46 + study.normal() * 0.03, 0.0, 1.0)
    image **= np.float32(np.exp(study.normal() * 0.13))
    if study.random() < 0.55:
        corner = np.array([study.uniform(0.80, 0.90), study.uniform(-0.90, -0.70)])
        letter = np.array([(0.0, -1.0), (0.0, 1.0), (0.9, 1.0)]) * 0.035
        image = np.maximum(image, 0.97 * canvas.strokes([(corner + letter, 0.014)]))
    if study.random() < 0.4:
        border = (study.uniform(-0.01, 0.035, 4) * image.shape[0]).astype(int).clip(0)
        image[: border[0]] = image[image.shape[0] - border[1] :] = 0.0
        image[:, : border[2]] = image[:, image.shape[1] - border[3] :] = 0.0
    return np.asarray(image, dtype=np.float32)


def _series(
    study: np.random.Generator, image: Plane, findings: tuple[Finding, ...], *, supine: bool
) -> PhantomSeries:
    inverted = bool(study.random() < 0.2)
    windowed = bool(study.random() < 0.6)
    low, high = (
        (float(study.uniform(100, 500)), float(study.uniform(2800, 3900))) if windowed else (0.0, 4095.0)
    )
    stored = np.round(low + (1.0 - image if inverted else image) * (high - low)).astype(np.uint16)
    spacing = round(_DETECTOR_MM / image.shape[0], 4)
    view = "AP" if supine else "PA"
    return PhantomSeries(
        anatomy=NAME,
        # A DX image for presentation must have a window (PS3.3, C.8.11.3); a CR image need not.
        modality="DX" if windowed and study.random() < 0.85 else "CR",
        body_part_examined="CHEST",
        pixels=stored[None],
        photometric_interpretation="MONOCHROME1" if inverted else "MONOCHROME2",
        findings=findings,
        image_findings=(findings,),
        series_description=f"Chest {view}",
        pixel_spacing=(spacing, spacing),
        window=(round((low + high) / 2), round(high - low)) if windowed else None,
        view_position=view,
    )
