"""The best inner products of queries with rows that come in blocks, by the float32 product of both."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medsiglip.index.vectors import Ids, Vectors

# From this many queries a product of matrices is faster than FAISS's comparison of one query with each row.
_BATCH = 8
# Queries and rows whose products are in memory at a time: they stay in the processor's cache.
_QUERIES, _ROWS = 128, 8192


def rounding(dimension: int) -> float:
    """A bound on the error of an inner product in float32 of two vectors of at most unit length
    (Higham, Accuracy and Stability of Numerical Algorithms, 2nd edition, section 3.1).
    """
    return (dimension + 2) * 2.0**-24


def best_rows(queries: Vectors, blocks: Iterable[tuple[Ids, Vectors]], count: int) -> tuple[Vectors, Ids]:
    """Scores float32 and places int64, both [q, min(count, n)], best first.

    A block is the places int64 [m] of its rows and the rows float32 [m, d], n of all blocks together.
    """
    scores = np.empty((len(queries), 0), np.float32)
    places = np.empty((len(queries), 0), np.int64)
    for theirs, rows in blocks:
        if len(rows):
            found = _by_faiss if len(queries) < _BATCH else _by_product
            scores, places = found(queries, theirs, rows, count, (scores, places))
    return largest(scores, places, count)


def largest(scores: Vectors, places: Ids, count: int) -> tuple[Vectors, Ids]:
    """The `count` greatest of each row of scores with their places, [q, min(count, m)], best first."""
    scores, places = _largest(scores, places, count)
    order = np.argsort(-scores, axis=1, kind="stable")
    return np.take_along_axis(scores, order, axis=1), np.take_along_axis(places, order, axis=1)


def _by_faiss(
    queries: Vectors, theirs: Ids, rows: Vectors, count: int, so_far: tuple[Vectors, Ids]
) -> tuple[Vectors, Ids]:
    faiss = _faiss()
    scores, found = faiss.knn(queries, rows, min(count, len(rows)), metric=faiss.METRIC_INNER_PRODUCT)
    scores = np.concatenate([so_far[0], scores], axis=1)
    places = np.concatenate([so_far[1], theirs[found]], axis=1)
    return _largest(scores, places, count)


def _by_product(
    queries: Vectors, theirs: Ids, rows: Vectors, count: int, so_far: tuple[Vectors, Ids]
) -> tuple[Vectors, Ids]:
    kept_scores, kept_places = [], []
    for first in range(0, len(queries), _QUERIES):
        few = slice(first, first + _QUERIES)
        best = so_far[0][few], so_far[1][few]
        for start in range(0, len(rows), _ROWS):
            products = queries[few] @ rows[start : start + _ROWS].T
            best = _merged(products, theirs[start : start + _ROWS], count, *best)
        kept_scores.append(best[0])
        kept_places.append(best[1])
    return np.concatenate(kept_scores), np.concatenate(kept_places)


def _merged(products: Vectors, theirs: Ids, count: int, scores: Vectors, places: Ids) -> tuple[Vectors, Ids]:
    """The best so far [q, b] and of a block's products [q, m]."""
    bar = scores.min(axis=1, keepdims=True) if scores.shape[1] == count else np.float32(-np.inf)
    better = products > bar
    passed = np.count_nonzero(better)
    if not passed and scores.shape[1] == count:
        return scores, places
    if scores.shape[1] < count or passed > len(scores) * count:
        # So many that a partial sort of all is cheaper than a sort of those.
        both = np.concatenate([scores, products], axis=1)
        named = np.concatenate([places, np.broadcast_to(theirs, products.shape)], axis=1)
        return _largest(both, named, count)
    query, row = np.divmod(np.flatnonzero(better), products.shape[1])
    of = np.concatenate([np.repeat(np.arange(len(scores)), count), query])
    values = np.concatenate([scores.ravel(), products[query, row]])
    named = np.concatenate([places.ravel(), theirs[row]])
    order = np.lexsort((-values, of))
    starts = np.searchsorted(of[order], np.arange(len(scores)))
    chosen = order[starts[:, None] + np.arange(count)]
    return values[chosen], named[chosen]


def _largest(scores: Vectors, places: Ids, count: int) -> tuple[Vectors, Ids]:
    if scores.shape[1] <= count:
        return scores, places
    chosen: NDArray[np.intp] = np.argpartition(-scores, count - 1, axis=1)[:, :count]
    return np.take_along_axis(scores, chosen, axis=1), np.take_along_axis(places, chosen, axis=1)


def _faiss() -> Any:
    # FAISS's own type stubs lack half of its names.
    import faiss

    return faiss
