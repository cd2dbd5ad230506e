"""Soft edges, uneven radii, specks and colour: what phantoms need beside the primitives of `shapes`."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from medsiglip.phantoms.anatomy.shapes import Canvas, Plane, Point, Points


def split(rng: np.random.Generator, count: int) -> list[np.random.Generator]:
    """Return `count` independent generators: what one part takes from its own leaves the others unchanged."""
    return [np.random.default_rng(int(seed)) for seed in rng.integers(0, 2**63, size=count)]


def soft(inside: Plane, width: float) -> Plane:
    """Return coverage 0 to 1 of a signed distance (positive inside) with an edge of `width`."""
    ramp = np.clip(inside * np.float32(1 / width) + np.float32(0.5), 0, 1)
    return np.asarray(ramp * ramp * (3 - 2 * ramp), dtype=np.float32)


def oval(x: Plane, y: Plane, centre: Point, radii: Point, angle: float = 0.0) -> Plane:
    """Return roughly the signed distance, positive inside, to an ellipse turned clockwise by `angle`."""
    dx, dy = x - np.float32(centre[0]), y - np.float32(centre[1])
    if angle:
        cos, sin = np.float32(math.cos(angle)), np.float32(math.sin(angle))
        dx, dy = cos * dx + sin * dy, cos * dy - sin * dx
    radius = np.hypot(dx * np.float32(1 / radii[0]), dy * np.float32(1 / radii[1]))
    return np.asarray((1 - radius) * np.float32(min(radii)), dtype=np.float32)


def capsule(x: Plane, y: Plane, start: Point, end: Point, radius: float) -> Plane:
    """Return the signed distance, positive inside, to a line from `start` to `end` thickened by `radius`."""
    along = (end[0] - start[0], end[1] - start[1])
    scale = 1 / (along[0] ** 2 + along[1] ** 2)
    dx, dy = x - np.float32(start[0]), y - np.float32(start[1])
    t = np.clip((dx * np.float32(along[0]) + dy * np.float32(along[1])) * np.float32(scale), 0, 1)
    return np.asarray(
        radius - np.hypot(dx - t * np.float32(along[0]), dy - t * np.float32(along[1])), dtype=np.float32
    )


def uneven(rng: np.random.Generator, theta: Plane, amplitude: float, orders: Sequence[int]) -> Plane:
    """Return a radius factor around 1 that varies with the angle `theta` by harmonics of the given orders."""
    factor = np.ones_like(theta)
    for order in orders:
        size = amplitude * rng.uniform(0.4, 1.0) / math.sqrt(len(orders))
        factor += np.float32(size) * np.cos(
            np.float32(order) * theta + np.float32(rng.uniform(0, 2 * math.pi))
        )
    return factor


def apart(points: Points, distance: float) -> Points:
    """Return those of `points` [n, 2] that keep more than `distance` from all that were kept before."""
    gap = np.hypot(*(points[:, None] - points[None]).transpose(2, 0, 1))
    kept: list[int] = []
    for i in range(len(points)):
        if not kept or gap[i, kept].min() > distance:
            kept.append(i)
    return points[kept]


def specks(canvas: Canvas, centres: NDArray[np.floating], radii: NDArray[np.floating]) -> Plane:
    """Return the union of small discs as 0 to 1: `centres` [n, 2] of (x, y), `radii` [n]."""
    rows, columns = canvas.shape
    coverage = np.zeros((rows, columns), dtype=np.float32)
    if not len(centres):
        return coverage
    reach = np.asarray(radii, dtype=np.float64)[:, None] / canvas.pixel
    supersample = 4 if reach.min() < 2 else 2
    picture = Image.new("L", (columns * supersample, rows * supersample), 0)
    pencil = ImageDraw.Draw(picture)
    middle, reach = canvas.to_pixels(centres) * supersample, reach * supersample
    boxes = np.concatenate([middle - reach, middle + reach], axis=1)
    seen = (boxes[:, 2:] > 0).all(axis=1) & (boxes[:, :2] < np.array(picture.size)).all(axis=1)
    for box in boxes[seen].tolist():
        pencil.ellipse(box, fill=255)
    return np.asarray(np.asarray(picture.reduce(supersample), dtype=np.float32) / 255, dtype=np.float32)


def mix(plane: Plane, value: float, coverage: Plane) -> None:
    """Blend `value` into `plane` in place, by `coverage` 0 to 1."""
    plane += coverage * (np.float32(value) - plane)


def paint(picture: Plane, colour: Sequence[float], coverage: Plane) -> None:
    """Blend an RGB colour (0 to 1) into `picture` [3, rows, columns] in place, by `coverage`."""
    for plane, value in zip(picture, colour, strict=True):
        mix(plane, value, coverage)


def to_rgb(picture: Plane) -> NDArray[np.uint8]:
    """Return uint8 [1, rows, columns, 3] of `picture` [3, rows, columns], 0 to 1."""
    stored = np.asarray(np.clip(picture * 255 + 0.5, 0, 255), dtype=np.uint8)
    return np.ascontiguousarray(stored.transpose(1, 2, 0))[None]
