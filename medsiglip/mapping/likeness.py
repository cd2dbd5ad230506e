"""What stands alone among vectors, and what lies almost on another: told in their own space, never from a
map."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Singles = npt.NDArray[np.float32]
Ids = npt.NDArray[np.int64]

NEAREST_OTHERS = 5
"""Neighbours from other studies that a point is compared with."""


def nearest_others(neighbours: Ids, cosines: Singles, owners: Ids) -> tuple[Ids, Singles]:
    """Of the neighbours [n, k] of each row, best first, with their `cosines`, the first five of another
    owner: rows int64 [n, 5], -1 for none, and cosines float32 [n, 5], NaN for none. `owners` [n] are codes of
    studies.
    """
    count = len(neighbours)
    near = np.full((count, NEAREST_OTHERS), -1, np.int64)
    alike = np.full((count, NEAREST_OTHERS), np.nan, np.float32)
    if not neighbours.size:
        return near, alike
    theirs = (owners[np.maximum(neighbours, 0)] != owners[:, None]) & (neighbours >= 0)
    place = np.cumsum(theirs, axis=1) - 1
    rows, columns = np.nonzero(theirs & (place < NEAREST_OTHERS))
    near[rows, place[rows, columns]] = neighbours[rows, columns]
    alike[rows, place[rows, columns]] = cosines[rows, columns]
    return near, alike


def loneliness(alike: Singles) -> Singles:
    """How far each row lies from what is nearest to it, float32 [n]: 1 less its mean cosine to the nearest of
    other studies, [n, 5]; NaN where there is none. The mean distance to the k nearest is a measure of
    outliers of Angiulli and Pizzuti (PKDD 2002).
    """
    held = ~np.isnan(alike)
    counts = held.sum(axis=1)
    total = np.where(held, alike, 0.0).sum(axis=1, dtype=np.float64)
    mean = np.divide(total, counts, out=np.full(len(alike), np.nan), where=counts > 0)
    return np.asarray(1.0 - mean, np.float32)


def duplicate_groups(near: Ids, alike: Singles, least: float) -> list[Ids]:
    """Rows that are linked by a cosine of at least `least`, in groups of two and more: those with the most
    alike pair first, within a group ascending.
    """
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    rows, columns = np.nonzero((near >= 0) & (np.nan_to_num(alike, nan=-2.0) >= least))
    if not len(rows):
        return []
    others, values = near[rows, columns], alike[rows, columns]
    graph = coo_matrix((np.ones(len(rows)), (rows, others)), shape=(len(near), len(near)))
    group = connected_components(graph, directed=False)[1]
    best = np.full(int(group.max()) + 1, -np.inf)
    np.maximum.at(best, group[rows], values)
    members = np.unique(np.concatenate([rows, others]))
    by_group = members[np.argsort(group[members], kind="stable")]
    ends = np.flatnonzero(np.diff(group[by_group])) + 1
    found = np.split(by_group, ends)
    return sorted(found, key=lambda one: (-best[group[one[0]]], int(one[0])))
