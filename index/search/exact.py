"""What a search is, in plain numpy: the definition that the fast ones must agree with."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from medsiglip.index.vectors import Ids, Vectors


class VectorSearch(Protocol):
    """Unit-length vectors known by id, searched by inner product, which is the cosine."""

    @property
    def ids(self) -> Ids:
        """The ids held, int64 [n]."""

    def add(self, ids: Ids, vectors: Vectors) -> None:
        """Hold float32 [m, d] under new ids [m]."""

    def remove(self, ids: Ids) -> None:
        """Drop these ids; unknown ones are no error."""

    def rows(self, ids: Ids) -> Vectors:
        """The vectors of held ids, float32 [m, d]; `KeyError` for an unknown one."""

    def search(self, queries: Vectors, k: int) -> tuple[Vectors, Ids]:
        """Scores float32 and ids int64, both [q, min(k, n)]: best first, equal scores by ascending id."""


def top(
    queries: Vectors, ids: Ids, vectors: Vectors, k: int
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """The exact answer to `VectorSearch.search`: inner products in float64, rounded to float32."""
    k = min(k, len(ids))
    scores = (queries.astype(np.float64) @ vectors.astype(np.float64).T).astype(np.float32)
    order = np.lexsort((np.broadcast_to(ids, scores.shape), -scores), axis=1)[:, :k]
    return np.take_along_axis(scores, order, axis=1), ids[order]


class ExactSearch:
    """`VectorSearch` by comparing with every vector."""

    def __init__(self, dimension: int) -> None:
        self.ids = np.empty(0, np.int64)
        self._vectors = np.empty((0, dimension), np.float32)

    def add(self, ids: Ids, vectors: Vectors) -> None:
        """Append."""
        self.ids = np.concatenate([self.ids, ids])
        self._vectors = np.concatenate([self._vectors, vectors])

    def remove(self, ids: Ids) -> None:
        """Keep the others."""
        keep = ~np.isin(self.ids, ids)
        self.ids, self._vectors = self.ids[keep], self._vectors[keep]

    def rows(self, ids: Ids) -> Vectors:
        """Look each id up."""
        places = {int(image_id): place for place, image_id in enumerate(self.ids)}
        return self._vectors[[places[int(image_id)] for image_id in ids]]

    def search(self, queries: Vectors, k: int) -> tuple[Vectors, Ids]:
        """Compare with everything."""
        return top(queries, self.ids, self._vectors, k)
