"""The means of groups of images, such as series and studies, and how far the images lie from them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from medsiglip.index.vectors import Ids, Vectors, unit_length

# Vectors of images that are in memory at a time while means are computed.
_ROWS = 2048
_NONE = np.empty(0, np.int64)


class Spread(NamedTuple):
    """How far the images of groups lie from their mean: for each of `groups` int64 [g], ascending, the length
    of the mean of its images' vectors, and the largest distance of one of them from it, float64 [g].
    """

    groups: Ids
    length: NDArray[np.float64]
    radius: NDArray[np.float64]

    def of(self, groups: Ids) -> Spread:
        """That of these groups, all of which are held."""
        places = np.searchsorted(self.groups, groups)
        return Spread(groups, self.length[places], self.radius[places])

    def renewed(self, gone: Ids, new: Spread) -> Spread:
        """Without the groups `gone`, and with new ones."""
        kept = ~np.isin(self.groups, gone)
        groups = np.concatenate([self.groups[kept], new.groups])
        order = np.argsort(groups, kind="stable")
        length = np.concatenate([self.length[kept], new.length])
        radius = np.concatenate([self.radius[kept], new.radius])
        return Spread(groups[order], length[order], radius[order])


NO_SPREAD = Spread(_NONE, np.empty(0), np.empty(0))


class Members:
    """Which images belong to each group, by id within a group."""

    def __init__(self, image_ids: Ids, owners: Ids) -> None:
        """`owners` [n] are the groups of the images `image_ids` [n]."""
        # Within a group by image id, so that the mean does not depend on the order of arrival.
        self._order = np.lexsort((image_ids, owners))
        self.groups, starts = np.unique(owners[self._order], return_index=True)
        self._starts = np.append(starts, len(owners)).astype(np.int64)

    def sizes(self, groups: Ids) -> NDArray[np.int64]:
        """How many images each of these groups has."""
        places = np.searchsorted(self.groups, groups)
        return self._starts[places + 1] - self._starts[places]

    def of(self, group: int) -> NDArray[np.int64]:
        """The places of the images of a group, in the order of `image_ids`."""
        place = int(np.searchsorted(self.groups, group))
        return self._order[self._starts[place] : self._starts[place + 1]]


def group_means(
    rows: Callable[[Ids], Vectors], image_ids: Ids, members: Members, groups: Ids
) -> Iterator[tuple[Ids, Vectors, Spread]]:
    """Groups, their means of unit length, and their spread: those of many small groups together.

    `rows` gives the vectors of images by id, and `members` are places in `image_ids`. A mean is the same to
    the last bit whatever other groups are asked for with it.
    """
    sizes = members.sizes(groups)
    ends = np.cumsum(sizes)
    begin = 0
    while begin < len(groups):
        before = int(ends[begin - 1]) if begin else 0
        end = max(begin + 1, int(np.searchsorted(ends, before + _ROWS, side="right")))
        few = groups[begin:end]
        ids = image_ids[np.concatenate([members.of(group) for group in few.tolist()])]
        if len(ids) <= _ROWS:
            means, radius = _together(rows(ids), sizes[begin:end])
        else:
            means, radius = _in_parts(rows, ids)
        yield few, unit_length(means.astype(np.float32)), Spread(few, _lengths(means), radius)
        begin = end


def _together(vectors: Vectors, sizes: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Means [g, d] of groups of rows [n, d], and the largest distance of a row from each, in float64."""
    starts = np.cumsum(sizes) - sizes
    wide = vectors.astype(np.float64)
    means = np.add.reduceat(wide, starts, axis=0) / sizes[:, None]
    wide -= np.repeat(means, sizes, axis=0)
    return means, np.maximum.reduceat(_lengths(wide), starts)


def _in_parts(rows: Callable[[Ids], Vectors], ids: Ids) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The same of one group, with some of its rows in memory at a time, to the last bit."""
    parts = [ids[start : start + _ROWS] for start in range(0, len(ids), _ROWS)]
    total = rows(parts[0]).sum(axis=0, dtype=np.float64)
    for part in parts[1:]:
        total = np.concatenate([total[None], rows(part)]).sum(axis=0)
    means = total[None] / len(ids)
    return means, np.array([max(_lengths(rows(part) - means).max() for part in parts)])


def _lengths(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    lengths: NDArray[np.float64] = np.sqrt(np.einsum("ij,ij->i", vectors, vectors))
    return lengths
