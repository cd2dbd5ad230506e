"""Sets of vectors that a proof of an exact answer may fail on, made from a seed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

DIMENSION = 32
Draw = np.random.Generator


@dataclass(frozen=True, slots=True)
class HostileSet:
    """`rows` and `queries`, float32 [n, 32] and [m, 32]."""

    rows: np.ndarray
    queries: np.ndarray


def _unit(vectors: np.ndarray) -> np.ndarray:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)


def _embeddings(draw: Draw, count: int) -> np.ndarray:
    axes = np.arange(2, DIMENSION + 2) ** -2.5
    centres = draw.standard_normal((6, DIMENSION)) * axes
    return _unit(centres[draw.integers(0, 6, count)] + 0.4 * draw.standard_normal((count, DIMENSION)) * axes)


def _plain(draw: Draw, rows: int, queries: int) -> HostileSet:
    return HostileSet(_embeddings(draw, rows), _embeddings(draw, queries))


def _near_ties(draw: Draw, rows: int, queries: int) -> HostileSet:
    """Rows that differ from some few in the last places of float32."""
    few = _embeddings(draw, 1 + rows // 40)
    picked = few[draw.integers(0, len(few), rows)]
    steps = draw.integers(-2, 3, picked.shape) * (draw.random(picked.shape) < 0.2)
    return HostileSet(np.asarray(picked + steps * np.spacing(picked), np.float32), _embeddings(draw, queries))


def _duplicates(draw: Draw, rows: int, queries: int) -> HostileSet:
    few = _embeddings(draw, 1 + rows // 15)
    return HostileSet(few[draw.integers(0, len(few), rows)], few[draw.integers(0, len(few), queries)])


def _tiny(draw: Draw, rows: int, queries: int) -> HostileSet:
    """Lengths down to those of denormal numbers, alone or among unit vectors."""
    found = _plain(draw, rows, queries)
    least = draw.choice([-3, -8, -20, -37, -44])
    with np.errstate(under="ignore"):
        scaled = found.rows * 10.0 ** draw.uniform(least, draw.choice([least, 0.0]), (rows, 1))
        asked = found.queries * 10.0 ** draw.uniform(draw.choice([0.0, least]), 0.0, (queries, 1))
        return HostileSet(scaled.astype(np.float32), asked.astype(np.float32))


def _long(draw: Draw, rows: int, queries: int) -> HostileSet:
    """Lengths around the greatest number of float16, and beyond."""
    found = _plain(draw, rows, queries)
    scaled = found.rows * draw.choice([1e3, 6e4, 2e5, 1e9]) * draw.uniform(0.1, 1.1, (rows, 1))
    return HostileSet(scaled.astype(np.float32), found.queries * np.float32(draw.choice([1.0, 1e6])))


def _small_coordinates(draw: Draw, rows: int, queries: int) -> HostileSet:
    """One coordinate holds almost all, the others are near and below the least number of float16."""
    spread = 10.0 ** draw.uniform(-9, -4)
    vectors = draw.standard_normal((rows + queries, DIMENSION)) * spread
    vectors[:, draw.integers(DIMENSION)] += 1.0
    vectors = _unit(vectors)
    return HostileSet(vectors[:rows], vectors[rows:])


def _along(draw: Draw, rows: int, queries: int) -> HostileSet:
    """One dominant direction, both ways, and queries across it."""
    direction = _embeddings(draw, 1)
    vectors = direction + 10.0 ** draw.uniform(-6, -1) * draw.standard_normal((rows + queries, DIMENSION))
    vectors[: rows // 5] *= -1
    across = draw.standard_normal((queries, DIMENSION))
    across -= across @ direction.T * direction
    asked = np.where(draw.random((queries, 1)) < 0.5, vectors[rows:], across)
    return HostileSet(_unit(vectors[:rows]), _unit(asked))


def _lattice(draw: Draw, rows: int, queries: int) -> HostileSet:
    """Small whole numbers: many equal scores, zero among them, and all exact."""
    whole = draw.integers(-1, 2, (rows + queries, DIMENSION)) * (draw.random(DIMENSION) < 0.4)
    vectors = whole.astype(np.float32) / np.float32(8)
    return HostileSet(vectors[:rows], vectors[rows:])


def _halfway(draw: Draw, rows: int, queries: int) -> HostileSet:
    """Scores that lie halfway between two numbers of float32, or off it by less than float64 tells."""
    vectors = np.zeros((rows, DIMENSION), np.float32)
    vectors[:, 0] = 0.5 + draw.integers(0, 4, rows) * 2.0**-24
    vectors[:, 1] = draw.integers(-1, 2, rows) * 2.0**-25
    vectors[:, 2:5] = draw.integers(-1, 2, (rows, 3)) * 2.0**-70
    asked = np.zeros((queries, DIMENSION), np.float32)
    asked[:, :5] = draw.choice([0.0, 0.5, 1.0], (queries, 5), p=[0.1, 0.2, 0.7])
    return HostileSet(vectors, asked)


def _no_axes(draw: Draw, rows: int, queries: int) -> HostileSet:
    """As long in every direction, so that bounds are loose."""
    vectors = _unit(draw.standard_normal((rows + queries, DIMENSION)))
    return HostileSet(vectors[:rows], vectors[rows:])


HOSTILE: dict[str, Callable[[Draw, int, int], HostileSet]] = {
    "plain": _plain,
    "near ties": _near_ties,
    "duplicates": _duplicates,
    "tiny": _tiny,
    "long": _long,
    "small coordinates": _small_coordinates,
    "along": _along,
    "lattice": _lattice,
    "halfway": _halfway,
    "no axes": _no_axes,
}


def true_scores(rows: np.ndarray, queries: np.ndarray) -> np.ndarray:
    """Inner products of all queries with all rows, float32 [q, n], each the true value rounded once.

    Sums of 64 bits tell almost all; those that they do not are made of whole numbers.
    """
    found = np.empty((len(queries), len(rows)), np.float32)
    wide = rows.astype(np.longdouble)
    for number, query in enumerate(queries):
        products = wide * query.astype(np.longdouble)
        sums, error = products.sum(axis=1), np.abs(products).sum(axis=1) * 2.0**-56
        with np.errstate(over="ignore", under="ignore"):
            found[number] = sums.astype(np.float32)
            unsure = (sums - error).astype(np.float32) != (sums + error).astype(np.float32)
        for row in np.flatnonzero(unsure):
            pairs = zip(_whole(rows[row]), _whole(query), strict=True)
            found[number, row] = _nearest(sum(one * other for one, other in pairs))
    return found


def _whole(vector: np.ndarray) -> list[int]:
    """Numbers of float32 in units of the least of them, which are whole."""
    return [int(one) for one in (vector.astype(np.float64) * 2.0**149).tolist()]


def _nearest(total: int) -> np.float32:
    """The float32 nearest to so many squared units, of two equally near the one whose last bit is 0."""
    near = np.float32(total / (1 << 298))
    around: list[np.float32] = [
        np.nextafter(near, np.float32(-np.inf)),
        near,
        np.nextafter(near, np.float32(np.inf)),
    ]
    off = [abs((int(float(one) * 2.0**149) << 149) - total) for one in around]
    order = sorted(range(3), key=lambda one: (off[one], int(around[one].view(np.uint32)) & 1))
    return around[order[0]]


def true_answer(
    rows: np.ndarray, ids: np.ndarray, queries: np.ndarray, k: int, allowed: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """The k best of each query, equal scores by ascending id."""
    chosen = np.arange(len(ids)) if allowed is None else np.flatnonzero(allowed)
    scores = true_scores(rows[chosen], queries)
    order = np.lexsort((np.broadcast_to(ids[chosen], scores.shape), -scores), axis=1)[:, :k]
    return np.take_along_axis(scores, order, axis=1), ids[chosen][order]
