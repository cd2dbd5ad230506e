"""Raster primitives shared by the phantoms: smooth shapes, noise, polygons, strokes and branching trees."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy import ndimage

Plane = NDArray[np.float32]
Points = NDArray[np.floating]
Point = tuple[float, float]

_SUPERSAMPLE = 2
_WHOLE = (slice(None), slice(None))


class Canvas:
    """A plane of `rows` x `columns` pixels seen in anatomical coordinates.

    Anatomical coordinates are isotropic: the longer side of the image spans -1 to 1, x to the right and y
    downwards, before the pose is applied. The pose moves the anatomy to `centre`, enlarges it by `scale` and
    turns it clockwise by `angle` radians. `x` and `y` are the coordinates of every pixel, float32
    [rows, columns].
    """

    def __init__(
        self, shape: tuple[int, int], *, centre: Point = (0.0, 0.0), scale: float = 1.0, angle: float = 0.0
    ) -> None:
        self.shape = shape
        rows, columns = shape
        self._half = max(rows, columns) / 2
        self._origin = (columns / 2 + centre[0] * self._half, rows / 2 + centre[1] * self._half)
        self._cos, self._sin = float(np.cos(angle)), float(np.sin(angle))
        self._unit = scale * self._half
        across = (np.arange(columns, dtype=np.float32) + 0.5 - self._origin[0])[None, :] / self._unit
        down = (np.arange(rows, dtype=np.float32) + 0.5 - self._origin[1])[:, None] / self._unit
        self.x: Plane = (self._cos * across + self._sin * down).astype(np.float32)
        self.y: Plane = (self._cos * down - self._sin * across).astype(np.float32)

    @property
    def pixel(self) -> float:
        """Side of one pixel in anatomical units."""
        return 1.0 / self._unit

    def to_pixels(self, points: Points) -> NDArray[np.float64]:
        """Return (column, row) positions, pixel edges at integers, of `points` [n, 2] given as (x, y)."""
        points = np.asarray(points, dtype=np.float64)
        x, y = points[:, 0] * self._unit, points[:, 1] * self._unit
        return np.stack(
            [
                self._cos * x - self._sin * y + self._origin[0],
                self._sin * x + self._cos * y + self._origin[1],
            ],
            axis=1,
        )

    def ellipse(self, centre: Point, radii: Point, *, angle: float = 0.0, softness: float = 0.1) -> Plane:
        """Return an ellipse, 1 inside and 0 outside; the edge is `softness` of the radius wide."""
        reach = max(radii) * (1.0 + softness / 2) * self._unit + 2
        column, row = self.to_pixels(np.array([centre]))[0]
        rows = slice(max(0, int(row - reach)), max(0, int(row + reach) + 1))
        columns = slice(max(0, int(column - reach)), max(0, int(column + reach) + 1))
        disc = np.zeros(self.shape, dtype=np.float32)
        near = self.radius(centre, radii, angle=angle, window=(rows, columns))
        disc[rows, columns] = smoothstep(1.0 + softness / 2, 1.0 - softness / 2, near)
        return disc

    def radius(
        self, centre: Point, radii: Point, *, angle: float = 0.0, window: tuple[slice, slice] = _WHOLE
    ) -> Plane:
        """Return the elliptical distance from `centre`, 1 on the ellipse of `radii`, inside `window`."""
        dx, dy = self.x[window] - np.float32(centre[0]), self.y[window] - np.float32(centre[1])
        if angle:
            cos, sin = np.float32(np.cos(angle)), np.float32(np.sin(angle))
            dx, dy = cos * dx + sin * dy, cos * dy - sin * dx
        dx /= np.float32(radii[0])
        dy /= np.float32(radii[1])
        return np.asarray(np.sqrt(dx * dx + dy * dy), dtype=np.float32)

    def gaussian(self, centre: Point, radii: Point, *, angle: float = 0.0) -> Plane:
        """Return a bell of height 1 whose standard deviations along its axes are `radii`."""
        radius = self.radius(centre, radii, angle=angle)
        return np.asarray(np.exp(-0.5 * radius * radius), dtype=np.float32)

    def polygon(self, points: Points, *, blur_pixels: float = 0.0) -> Plane:
        """Return the inside of a closed outline [n, 2] of (x, y), 0 to 1, antialiased, then blurred."""
        return self.polygons([points], blur_pixels=blur_pixels)

    def polygons(self, outlines: Iterable[Points], *, blur_pixels: float = 0.0) -> Plane:
        """Return the union of several closed outlines as 0 to 1."""
        picture, pencil = self._page()
        for points in outlines:
            pencil.polygon((self.to_pixels(points) * _SUPERSAMPLE).ravel().tolist(), fill=255)
        return blur(_reduce(picture), blur_pixels)

    def strokes(self, paths: Iterable[tuple[Points, float]], *, blur_pixels: float = 0.0) -> Plane:
        """Return the union of polylines, each (points [n, 2], width), as 0 to 1.

        Widths are in anatomical units; a line thinner than half a pixel is fainter instead of thinner.
        """
        picture, pencil = self._page()
        # Thin and faint first, so that a broad line is not thinned where they cross.
        lines = sorted(paths, key=lambda path: path[1])
        if not lines:
            return np.zeros(self.shape, dtype=np.float32)
        pixels = (
            (self.to_pixels(np.concatenate([points for points, _ in lines])) * _SUPERSAMPLE).ravel().tolist()
        )
        start = 0
        for points, width in lines:
            stop = start + 2 * len(points)
            thickness = width * self._unit * _SUPERSAMPLE
            shade = int(255 * min(1.0, max(thickness, 0.15)))
            pencil.line(pixels[start:stop], fill=shade, width=max(1, round(thickness)))
            start = stop
        return blur(_reduce(picture), blur_pixels)

    def noise(self, rng: np.random.Generator, cells: int, octaves: int = 1) -> Plane:
        """Return smooth noise over the image, see `smooth_noise`."""
        return smooth_noise(rng, self.shape, cells, octaves)

    def _page(self) -> tuple[Image.Image, ImageDraw.ImageDraw]:
        rows, columns = self.shape
        picture = Image.new("L", (columns * _SUPERSAMPLE, rows * _SUPERSAMPLE), 0)
        return picture, ImageDraw.Draw(picture)


def _reduce(picture: Image.Image) -> Plane:
    small = np.asarray(picture.reduce(_SUPERSAMPLE), dtype=np.float32)
    return small * np.float32(1 / 255)


def smoothstep(low: float, high: float, values: Plane) -> Plane:
    """Return 0 up to `low`, 1 from `high` on, a smooth cubic between; `low` may exceed `high`."""
    t = np.asarray(values * np.float32(1.0 / (high - low)), dtype=np.float32)
    t -= np.float32(low / (high - low))
    np.clip(t, 0.0, 1.0, out=t)
    result = np.float32(3.0) - 2.0 * t
    result *= t
    result *= t
    return np.asarray(result, dtype=np.float32)


def blur(image: Plane, sigma: float) -> Plane:
    """Return `image` [rows, columns] blurred by a Gaussian of `sigma` pixels (none below 0.2)."""
    if sigma < 0.2:
        return image
    if sigma > 6:
        # Three box passes approach a Gaussian at a cost that does not grow with its width.
        width = max(3, round(sigma * 2) | 1)
        for _ in range(3):
            image = ndimage.uniform_filter(image, width, mode="nearest")
        return image
    if sigma > 1.7:
        smooth = ndimage.gaussian_filter(image, sigma, mode="nearest", truncate=2.5)
        return np.asarray(smooth, dtype=np.float32)
    # A pass of (1, 2, 1) / 4 has a variance of one half.
    for _ in range(max(1, round(2 * sigma * sigma))):
        image = _smooth(_smooth(image).T).T
    return image


def _smooth(image: Plane) -> Plane:
    sums = image[1:] + image[:-1]
    smooth = np.empty_like(image)
    np.add(sums[1:], sums[:-1], out=smooth[1:-1])
    smooth[0] = 3 * image[0] + image[1]
    smooth[-1] = 3 * image[-1] + image[-2]
    smooth *= np.float32(0.25)
    return smooth


def smooth_noise(rng: np.random.Generator, shape: tuple[int, int], cells: int, octaves: int = 1) -> Plane:
    """Return noise of about unit variance, float32 of `shape`, that varies over 1/`cells` of the image.

    Each further octave has twice the cells and half the amplitude.
    """
    total = np.zeros(shape, dtype=np.float32)
    power = 0.0
    for octave in range(octaves):
        count = cells * 2**octave
        knots = rng.standard_normal((count + 3, count + 3), dtype=np.float32)
        total += np.float32(0.5**octave) * (_weights(shape[0], count) @ knots @ _weights(shape[1], count).T)
        power += 0.25**octave
    return np.asarray(total / np.float32(np.sqrt(power) * 0.48), dtype=np.float32)


@lru_cache(maxsize=64)
def _weights(length: int, cells: int) -> Plane:
    """Return cubic B-spline weights [length, cells + 3] of samples among uniform knots."""
    position = (np.arange(length) + 0.5) / length * cells
    knot = np.minimum(position.astype(int), cells - 1)
    t = position - knot
    basis = (
        np.stack([(1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3], axis=1) / 6
    )
    weights = np.zeros((length, cells + 3), dtype=np.float32)
    np.put_along_axis(weights, knot[:, None] + np.arange(4)[None, :], basis.astype(np.float32), axis=1)
    return weights


def spline(
    points: Sequence[Point] | Points, *, closed: bool = False, per_span: int = 10
) -> NDArray[np.float64]:
    """Return a Catmull-Rom curve [n, 2] through `points`."""
    knots = np.asarray(points, dtype=np.float64)
    count = len(knots) if closed else len(knots) - 1
    if closed:
        padded = np.concatenate([knots[-1:], knots, knots[:2]])
    else:
        padded = np.concatenate([2 * knots[:1] - knots[1:2], knots, 2 * knots[-1:] - knots[-2:-1]])
    t = np.linspace(0, 1, per_span, endpoint=False)[None, :, None]
    before, start, end, after = (padded[i : i + count, None, :] for i in range(4))
    curve = 0.5 * (
        2 * start
        + (end - before) * t
        + (2 * before - 5 * start + 4 * end - after) * t**2
        + (3 * start - before - 3 * end + after) * t**3
    )
    flat = curve.reshape(-1, 2)
    return flat if closed else np.concatenate([flat, knots[-1:]])


def wobbly_outline(
    rng: np.random.Generator,
    centre: Point,
    radii: Point,
    *,
    roughness: float = 0.1,
    lobes: int = 6,
    angle: float = 0.0,
) -> NDArray[np.float64]:
    """Return a closed outline [72, 2]: an ellipse that wavers by `roughness` in up to `lobes` lobes."""
    theta = np.linspace(0, 2 * np.pi, 72, endpoint=False)
    order = np.arange(2, lobes + 2)
    amplitude = rng.standard_normal(lobes) * roughness / np.sqrt(order)
    phase = rng.uniform(0, 2 * np.pi, lobes)
    radius = np.maximum(
        1 + (amplitude[:, None] * np.cos(order[:, None] * theta + phase[:, None])).sum(0), 0.2
    )
    x, y = radii[0] * radius * np.cos(theta), radii[1] * radius * np.sin(theta)
    cos, sin = np.cos(angle), np.sin(angle)
    return np.stack([centre[0] + cos * x - sin * y, centre[1] + sin * x + cos * y], axis=1)


def trees(
    rng: np.random.Generator,
    starts: Points,
    headings: Points,
    *,
    length: float,
    width: float,
    depth: int,
    spread: float = 0.5,
    waver: float = 0.12,
) -> list[tuple[NDArray[np.float64], float]]:
    """Return the branches (points [5, 2], width) of vessels or ducts that divide in two `depth` times.

    One tree grows from each of `starts` [n, 2] along `headings` [n], in radians from the x axis towards y
    (clockwise on the screen).
    """
    branches: list[tuple[NDArray[np.float64], float]] = []
    ends = np.asarray(starts, dtype=np.float64)
    turns = np.asarray(headings, dtype=np.float64)
    reach = np.full(len(ends), length)
    calibre = np.full(len(ends), width)
    for level in range(depth + 1):
        if level:
            ends, turns = np.repeat(ends, 2, axis=0), np.repeat(turns, 2)
            turns = turns + np.tile([-spread, spread], len(turns) // 2) * rng.uniform(0.4, 1.2, len(turns))
            reach = np.repeat(reach, 2) * rng.uniform(0.65, 0.9, len(turns))
            calibre = np.repeat(calibre, 2) * rng.uniform(0.6, 0.8, len(turns))
        course = turns[:, None] + np.cumsum(rng.standard_normal((len(turns), 4)) * waver, axis=1)
        steps = np.stack([np.cos(course), np.sin(course)], axis=2) * (reach / 4)[:, None, None]
        points = np.concatenate([ends[:, None], ends[:, None] + np.cumsum(steps, axis=1)], axis=1)
        branches += [(path, float(size)) for path, size in zip(points, calibre, strict=True)]
        ends, turns = points[:, -1], course[:, -1]
    return branches


def finish(image: Plane, rng: np.random.Generator, *, grain: float, sharpness_pixels: float = 0.0) -> Plane:
    """Return `image` with white noise of standard deviation `grain`, after a blur of `sharpness_pixels`."""
    noisy = blur(image, sharpness_pixels)
    return np.asarray(
        noisy + np.float32(grain) * rng.standard_normal(image.shape, dtype=np.float32), dtype=np.float32
    )
