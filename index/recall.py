"""How much of the exact answer a search finds."""

from __future__ import annotations

import numpy as np

from index.exact import VectorSearch, top
from index.vectors import Vectors


def recall_at(search: VectorSearch, queries: Vectors, k: int = 10) -> float:
    """Mean part of the exact k nearest that `search` returns, between 0 and 1.

    `queries` is float32 [q, d] of unit length. An answer counts when its exact score reaches the exact k-th
    best, so that equal vectors may stand for one another.
    """
    k = min(k, len(search.ids))
    if k == 0 or len(queries) == 0:
        return 1.0
    vectors = search.rows(search.ids)
    found = 0.0
    for query in queries:
        needed = top(query[None], search.ids, vectors, k)[0][0, -1]
        answer = search.search(query[None], k)[1][0]
        scores = (search.rows(answer).astype(np.float64) @ query.astype(np.float64)).astype(np.float32)
        found += float((scores >= needed).sum()) / k
    return found / len(queries)
