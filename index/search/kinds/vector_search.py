"""What a vector search is: the protocol of every index kind, and its exact definition in numpy."""

from __future__ import annotations

from typing import NamedTuple, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from medsiglip.index.search.kinds.exact_scores import exact_scores
from medsiglip.index.search.kinds.memory_held import HeldBytes, held_bytes
from medsiglip.index.search_records import How
from medsiglip.index.vectors import Ids, Vectors

Mask = NDArray[np.bool_]


class Neighbours(NamedTuple):
    """The rows nearest to each query: `scores` float32 and `ids` int64, both [q, k], best first, equal scores
    by ascending id. `how` [q] says how each answer was found, and `looked_at` int64 [q] in how many rows the
    vectors themselves were compared for it.
    """

    scores: Vectors
    ids: Ids
    how: tuple[How, ...]
    looked_at: NDArray[np.int64]


class VectorSearch(Protocol):
    """Unit-length vectors with ids, searched by inner product, which is their cosine."""

    @property
    def spec(self) -> str:
        """The kind of search in use, in the manner of FAISS's factory strings."""

    @property
    def ids(self) -> Ids:
        """The ids of all vectors, int64 [n], in the order in which they were added."""

    def add(self, ids: Ids, vectors: Vectors) -> None:
        """Add float32 [m, d] under new ids [m]."""

    def remove(self, ids: Ids) -> None:
        """Remove the vectors with these ids; unknown ids are ignored."""

    def copy(self) -> Self:
        """An index with the same vectors that shares memory with this one, in no time that grows with them.

        Changes of one are never seen in the other, and either may be searched by several threads while one
        thread changes the other.
        """

    def memory(self) -> HeldBytes:
        """How many bytes the index holds; copies share them."""

    def rows(self, ids: Ids) -> Vectors:
        """The vectors with these ids, float32 [m, d]; `KeyError` with the ids that are unknown."""

    def search(
        self, queries: Vectors, k: int, allowed: Mask | None = None, *, exact: bool = True
    ) -> Neighbours:
        """The min(k, m) nearest of each query, float32 [q, d].

        `allowed`, bool [n] in the order of `ids`, are the m vectors that may answer; all n, if None. With
        `exact` the answer is that of `top` over them, to the last bit; without, a kind may miss some where
        that saves time, and says so by `how`.
        """


def compared(scores: Vectors, ids: Ids, rows: int) -> Neighbours:
    """An answer [q, k] for which all of `rows` rows were compared with each query."""
    how: How = "compared"
    return Neighbours(scores, ids, (how,) * len(scores), np.full(len(scores), rows, np.int64))


def top(queries: Vectors, ids: Ids, vectors: Vectors, k: int) -> tuple[Vectors, Ids]:
    """The exact answer to `VectorSearch.search`: the k best by `exact_scores`, equal ones by ascending id."""
    k = min(k, len(ids))
    scores, found = np.empty((len(queries), k), np.float32), np.empty((len(queries), k), np.int64)
    if not k:
        return scores, found
    wide = vectors.astype(np.float64)
    longest = np.linalg.norm(wide, axis=1).max()
    for row, rough in enumerate(queries.astype(np.float64) @ wide.T):
        least = np.partition(rough, len(rough) - k)[len(rough) - k]
        # More than sums of float64 and a rounding to float32 may err.
        margin = 2.0**-22 * abs(least) + 2.0**-40 * longest * np.linalg.norm(queries[row]) + 1e-44
        near = np.flatnonzero(rough >= least - margin)
        scores[row], found[row] = ranked(queries[row], ids[near], vectors[near], k)
    return scores, found


def ranked(query: Vectors, ids: Ids, vectors: Vectors, k: int) -> tuple[Vectors, Ids]:
    """The k best of vectors [m, d] by exact scores with a query [d], equal ones by ascending id: [k] each."""
    scores = exact_scores(vectors, np.broadcast_to(query, vectors.shape))
    order = np.lexsort((ids, -scores))[:k]
    return scores[order], ids[order]


class IdPlaces:
    """Ids in the order in which they were added, and the place of each in that order."""

    def __init__(self) -> None:
        self.ids: Ids = np.empty(0, np.int64)
        # The ids in ascending order, and the place of each; None after a change.
        self._sorted: tuple[Ids, NDArray[np.int64]] | None = None

    def copy(self) -> IdPlaces:
        """The same ids; changes of one are never seen in the other."""
        other = IdPlaces()
        other.ids, other._sorted = self.ids, self._sorted
        return other

    def add(self, ids: Ids) -> None:
        """Append new ids."""
        self.ids = np.concatenate([self.ids, ids])
        self._sorted = None

    def keep(self, mask: NDArray[np.bool_]) -> None:
        """Remove the ids where `mask`, bool [n], is false."""
        self.ids = self.ids[mask]
        self._sorted = None

    def of(self, ids: Ids) -> NDArray[np.int64]:
        """The places of ids, int64 [m]; `KeyError` with the ids that are unknown."""
        ordered, places = self._in_order()
        found = np.searchsorted(ordered, ids)
        if len(ids) and (found.max() >= len(ordered) or (ordered[found] != ids).any()):
            raise KeyError(*np.setdiff1d(ids, ordered).tolist())
        return np.asarray(places[found], np.int64)

    def holds(self, ids: Ids) -> Mask:
        """Which of `ids` [m] are held, bool [m]."""
        ordered, _ = self._in_order()
        found = np.searchsorted(ordered, ids)
        known = found < len(ordered)
        known[known] = ordered[found[known]] == ids[known]
        return np.asarray(known, np.bool_)

    def mask(self, ids: Ids) -> Mask:
        """Which of the ids in order are among these, bool [n]; unknown ones are ignored."""
        ordered, places = self._in_order()
        found = np.searchsorted(ordered, ids)
        known = found < len(ordered)
        known[known] = ordered[found[known]] == ids[known]
        mask = np.zeros(len(self.ids), np.bool_)
        mask[places[found[known]]] = True
        return mask

    def _in_order(self) -> tuple[Ids, NDArray[np.int64]]:
        if self._sorted is None:
            order = np.argsort(self.ids, kind="stable")
            self._sorted = self.ids[order], order
        return self._sorted


class ExactSearch:
    """`VectorSearch` by comparison with every vector: the definition that other kinds must agree with."""

    def __init__(self, dimension: int) -> None:
        self._places = IdPlaces()
        self._vectors = np.empty((0, dimension), np.float32)

    @property
    def spec(self) -> str:
        """As in `VectorSearch`."""
        return "Exact"

    @property
    def ids(self) -> Ids:
        """As in `VectorSearch`."""
        return self._places.ids

    def add(self, ids: Ids, vectors: Vectors) -> None:
        """As in `VectorSearch`."""
        self._places.add(ids)
        self._vectors = np.concatenate([self._vectors, vectors])

    def copy(self) -> Self:
        """As in `VectorSearch`."""
        other = type(self)(self._vectors.shape[1])
        other._places, other._vectors = self._places.copy(), self._vectors
        return other

    def memory(self) -> HeldBytes:
        """As in `VectorSearch`."""
        return held_bytes([self._vectors])

    def remove(self, ids: Ids) -> None:
        """As in `VectorSearch`."""
        kept = ~np.isin(self.ids, ids)
        self._places.keep(kept)
        self._vectors = self._vectors[kept]

    def rows(self, ids: Ids) -> Vectors:
        """As in `VectorSearch`."""
        return self._vectors[self._places.of(ids)]

    def search(
        self, queries: Vectors, k: int, allowed: Mask | None = None, *, exact: bool = True
    ) -> Neighbours:
        """As in `VectorSearch`."""
        chosen = slice(None) if allowed is None else allowed
        ids = self.ids[chosen]
        return compared(*top(queries, ids, self._vectors[chosen], k), len(ids))
