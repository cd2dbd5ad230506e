"""How far a plane keeps what is near in the space of the vectors, so that a map tells where it misleads."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from medsiglip.numerics import Floats

Singles = npt.NDArray[np.float32]
Ids = npt.NDArray[np.int64]
_ROWS = 256


def kept_neighbours(places: Singles, neighbours: Ids) -> Floats:
    """The share [n] of the k true neighbours [n, k] of each point, 0 to 1, that are among its k nearest on
    the plane `places` [n, 2]: the overlap of neighbourhoods of Lee and Verleysen (Neurocomputing 72, 2009),
    point by point.
    """
    count, k = neighbours.shape
    if count < 2 or not k:
        return np.ones(count)
    from scipy.spatial import cKDTree

    near = cKDTree(places).query(places, k=min(k + 1, count))[1].reshape(count, -1)
    itself = near == np.arange(count)[:, None]
    # Where many points share a place, the point itself may not be among the nearest: then the last one goes.
    itself[~itself.any(axis=1), -1] = True
    near = near[~itself].reshape(count, -1)
    found: Floats = (neighbours[:, :, None] == near[:, None, :]).any(axis=2).mean(axis=1)
    return found


def trustworthiness(
    vectors: Singles, places: Singles, k: int, *, sample: int = 1000, seed: int = 0
) -> float | None:
    """How far the k nearest on the plane are near in the space too, 0 to 1: of Venna and Kaski (ICANN 2001),
    with cosine distances of unit vectors [n, d], over at most `sample` points; None where n is too small for
    k.
    """
    count = len(vectors)
    k = min(k, (count - 1) // 2)
    if k < 1:
        return None
    from scipy.spatial import cKDTree

    chosen = np.arange(count)
    if count > sample:
        chosen = np.sort(np.random.default_rng(seed).choice(count, sample, replace=False))
    near = cKDTree(places).query(places[chosen], k=k + 1)[1]
    penalty = 0
    for low in range(0, len(chosen), _ROWS):
        rows = chosen[low : low + _ROWS]
        cosines = vectors[rows] @ vectors.T
        cosines[np.arange(len(rows)), rows] = np.inf  # a point is the nearest to itself
        order = np.argsort(-cosines, axis=1, kind="stable")
        ranks = np.empty_like(order)
        np.put_along_axis(ranks, order, np.arange(count)[None], axis=1)
        theirs = near[low : low + _ROWS]
        others = theirs != rows[:, None]
        others[others.all(axis=1), -1] = False
        excess = np.take_along_axis(ranks, theirs, axis=1) - k
        penalty += int(np.where(others & (excess > 0), excess, 0).sum())
    return 1.0 - penalty * 2.0 / (len(chosen) * k * (2.0 * count - 3.0 * k - 1.0))
