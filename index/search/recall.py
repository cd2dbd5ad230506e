"""How much of the exact answer a search finds."""

from __future__ import annotations

import numpy as np

from medsiglip.index.search.exact import VectorSearch, top
from medsiglip.index.vectors import Vectors

_PORTION = 16_384


def recall_at(search: VectorSearch, queries: Vectors, k: int = 10) -> float:
    """Mean part of the exact k nearest that `search` returns, between 0 and 1.

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
    for low in range(0, len(search.ids), _PORTION):
        ids = search.ids[low : low + _PORTION]
        scores, _ = top(queries, ids, search.rows(ids), k)
        best = np.sort(np.concatenate([best, scores], axis=1), axis=1)[:, -k:]
    return best[:, 0]
