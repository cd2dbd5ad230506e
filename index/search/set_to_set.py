"""How alike two sets of images are: the symmetric mean of their best matches' cosines.

Each image of either set is compared with the image of the other that is most like it. The score is the mean
of the two sets' mean cosines, so that neither a large set nor a small one decides alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from medsiglip.index.vectors import Ids, Vectors

# Cosines that are in memory at a time.
_CELLS = 2**22
_ROWS = 8192


@dataclass(frozen=True, slots=True)
class StoredSets:
    """Sets of stored images: `ids` int64 [n] set after set, within a set ascending; set i begins at
    `starts` [s + 1][i], and none is empty. `rows` looks up vectors, float32 [m, d] of ids [m].
    """

    ids: Ids
    starts: NDArray[np.int64]
    rows: Callable[[Ids], Vectors]

    @classmethod
    def of(cls, sets: Sequence[Ids], rows: Callable[[Ids], Vectors]) -> StoredSets:
        """Sets of image ids, each ascending."""
        starts = np.cumsum([0, *map(len, sets)], dtype=np.int64)
        return cls(np.concatenate([np.empty(0, np.int64), *sets]), starts, rows)

    def __len__(self) -> int:
        return len(self.starts) - 1

    @property
    def sizes(self) -> NDArray[np.int64]:
        """How many images each set has, int64 [s]."""
        return np.diff(self.starts)

    def one(self, place: int) -> Ids:
        """The ids of one set."""
        return self.ids[self.starts[place] : self.starts[place + 1]]

    def some(self, places: NDArray[np.intp]) -> StoredSets:
        """Only the sets at these places, in this order."""
        return StoredSets.of([self.one(place) for place in places.tolist()], self.rows)

    def thinned(self, most: int) -> StoredSets:
        """Of each set at most so many images, evenly spread."""
        sets = [theirs[spread(len(theirs), most)] for theirs in map(self.one, range(len(self)))]
        return StoredSets.of(sets, self.rows)


class BestMatches(NamedTuple):
    """One set against a stored one of the images `ids` [n]: the `score`, rounded to float32; for each query
    image [m] its highest `cosine` and the `place` in the stored set of the image that has it; `best` [n] is
    the highest cosine of each stored image. Cosines are inner products in float64, rounded to float32; of
    equal ones the first counts.
    """

    ids: Ids
    score: np.float32
    place: NDArray[np.intp]
    cosine: Vectors
    best: Vectors


def spread(count: int, most: int) -> NDArray[np.intp]:
    """At most `most` of `count` places, evenly spread and ascending."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).astype(np.intp))


def rough_scores(queries: Vectors, sets: StoredSets) -> NDArray[np.float64]:
    """The score of a set of queries, float32 [m, d], against each stored set [s], from products in float32.

    Memory is that of some thousand rows and some million cosines, however large the sets are.
    """
    forward = np.full((len(sets), len(queries)), -np.inf, np.float32)
    backward = np.zeros(len(sets))
    step = min(_ROWS, max(1, _CELLS // len(queries)))
    for first, last, begin, cuts in _blocks(sets, step):
        cosines = sets.rows(sets.ids[first:last]) @ queries.T
        found = slice(begin, begin + len(cuts))
        forward[found] = np.maximum(forward[found], np.maximum.reduceat(cosines, cuts, axis=0))
        backward[found] += np.add.reduceat(cosines.max(axis=1), cuts, dtype=np.float64)
    scores: NDArray[np.float64] = (forward.mean(axis=1, dtype=np.float64) + backward / sets.sizes) / 2
    return scores


def _blocks(sets: StoredSets, step: int) -> Iterator[tuple[int, int, int, NDArray[np.int64]]]:
    """Runs of at most `step` images: first and last place, the set that the first is in, and where, counted
    from the first, the run's part of each of its sets begins.
    """
    for first in range(0, len(sets.ids), step):
        last = min(first + step, len(sets.ids))
        begin = int(np.searchsorted(sets.starts, first, side="right")) - 1
        end = int(np.searchsorted(sets.starts, last, side="left"))
        yield first, last, begin, np.maximum(sets.starts[begin:end] - first, 0)


class SetScores:
    """Scores of sets among each other as a search gives them: of the sets whose means are most like a set's
    own, `candidates` of them, set to set; the others come after those, by their means.
    """

    def __init__(self, sets: StoredSets, means: Vectors, candidates: int) -> None:
        """`means` float32 [s, d] are of unit length."""
        self._sets = sets
        self._means = means
        self._candidates = candidates

    def __call__(self, queries: NDArray[np.intp]) -> NDArray[np.float64]:
        """Scores [q, s] of the sets at these places: of candidates -1 or more, of the others less."""
        scores = self._means[queries].astype(np.float64) @ self._means.T - 3.0
        for row, query in zip(scores, queries.tolist(), strict=True):
            near = np.argsort(-row, kind="stable")[: self._candidates]
            own = self._sets.rows(self._sets.one(query))
            # Without the rounding of products, by which equal sets would differ.
            row[near] = rough_scores(own, self._sets.some(near)).round(6)
        return scores


def best_matches(queries: Vectors, ids: Ids, rows: Callable[[Ids], Vectors]) -> BestMatches:
    """A set of queries, float32 [m, d], against one stored set, in bounded memory."""
    wide = queries.astype(np.float64)
    highest, best = np.full(len(queries), -np.inf), np.empty(len(ids))
    place, cosine = np.zeros(len(queries), np.intp), np.full(len(queries), -np.inf, np.float32)
    step = min(_ROWS, max(1, _CELLS // (2 * len(queries))))
    for first in range(0, len(ids), step):
        exact = wide @ rows(ids[first : first + step]).astype(np.float64).T
        best[first : first + step] = exact.max(axis=0)
        highest = np.maximum(highest, exact.max(axis=1))
        rounded = exact.astype(np.float32)
        nearest = rounded.argmax(axis=1)
        found = np.take_along_axis(rounded, nearest[:, None], axis=1)[:, 0]
        better = found > cosine
        place[better], cosine[better] = nearest[better] + first, found[better]
    score = np.float32((highest.mean() + best.mean()) / 2)
    return BestMatches(ids, score, place, cosine, best.astype(np.float32))
