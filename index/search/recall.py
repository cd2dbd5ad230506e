"""The recall of an index: how much of the exact answer a search finds."""

from __future__ import annotations

import numpy as np

from medsiglip.index.search.current_space import CurrentSpace
from medsiglip.index.search.kinds.vector_search import VectorSearch, top
from medsiglip.index.vectors import Vectors

_CHUNK = 16_384


def check_recall(space: CurrentSpace, queries: int, k: int) -> float:
    """The recall of a home's index with stored vectors as queries; see `CaseIndex.check_recall`."""
    if space.find() is None:
        return 1.0
    with space.loaded() as loaded:
        sample = loaded.sample("image", queries, np.empty(0, np.int64))
        return recall_at(loaded.index, sample[:queries], k)


def recall_at(search: VectorSearch, queries: Vectors, k: int = 10) -> float:
    """Mean part of the exact k nearest vectors that `search` returns, between 0 and 1.

    `queries` is float32 [q, d] of unit length. An answer counts when its exact score reaches the exact k-th
    best, so that equal vectors may stand for one another.
    """
    k = min(k, len(search.ids))
    if k == 0 or len(queries) == 0:
        return 1.0
    needed = _kth_best(search, queries, k)
    found = 0.0
    for query, least in zip(queries, needed, strict=True):
        answer = search.search(query[None], k)[1][0]
        scores = (search.rows(answer).astype(np.float64) @ query.astype(np.float64)).astype(np.float32)
        found += float((scores >= least).sum()) / k
    return found / len(queries)


def _kth_best(search: VectorSearch, queries: Vectors, k: int) -> Vectors:
    """The exact score of the k-th nearest to each query [q], without a copy of all vectors at once."""
    best = np.empty((len(queries), 0), np.float32)
    for low in range(0, len(search.ids), _CHUNK):
        ids = search.ids[low : low + _CHUNK]
        scores, _ = top(queries, ids, search.rows(ids), k)
        best = np.sort(np.concatenate([best, scores], axis=1), axis=1)[:, -k:]
    return best[:, 0]
