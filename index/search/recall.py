"""The recall of an index: how much of the exact answer a search finds."""

from __future__ import annotations

import numpy as np

from medsiglip.index.search.current_space import CurrentSpace
from medsiglip.index.search.kinds.exact_scores import exact_scores
from medsiglip.index.search.kinds.vector_search import VectorSearch, top
from medsiglip.index.vectors import Vectors

SAMPLE = 16_384
"""Vectors that approximate answers of an engine are compared with."""
_BLOCK = 256
_CHUNK = 16_384


def check_recall(space: CurrentSpace, queries: int, k: int) -> float:
    """The recall of a home's index with stored vectors as queries; see `CaseIndex.check_recall`."""
    return 1.0 if space.find() is None else space.settled(lambda: _check(space, queries, k))


def _check(space: CurrentSpace, queries: int, k: int) -> float:
    loaded = space.load()
    sample = loaded.sample("image", queries, np.empty(0, np.int64))[:queries]
    search = loaded.index
    if not loaded.has_engine:
        return recall_at(search, sample, k)
    if len(search.ids) <= SAMPLE:
        return recall_at(search, sample, k, exact=False)
    return sampled_recall(search, sample, k)


def sampled_recall(search: VectorSearch, queries: Vectors, k: int) -> float:
    """The recall of approximate answers without reading all vectors: of `SAMPLE` rows, spread evenly over all
    in blocks, those that are nearer to a query than the last of its k hits are to be among these.
    """
    ids = np.sort(search.ids)
    starts = np.linspace(0, len(ids) - _BLOCK, SAMPLE // _BLOCK).astype(np.int64)
    among = np.unique(ids[(starts[:, None] + np.arange(_BLOCK)).ravel()])
    found = [search.search(query[None], k, exact=False) for query in queries]
    present, missed = 0, 0
    for low in range(0, len(among), _BLOCK):
        part = among[low : low + _BLOCK]
        vectors = search.rows(part)
        for query, answer in zip(queries, found, strict=True):
            scores = exact_scores(vectors, np.broadcast_to(query, vectors.shape))
            is_hit = np.isin(part, answer.ids[0])
            present += int(is_hit.sum())
            missed += int((~is_hit & (scores > answer.scores[0, -1])).sum())
    return present / (present + missed) if present + missed else 1.0


def recall_at(search: VectorSearch, queries: Vectors, k: int = 10, *, exact: bool = True) -> float:
    """Mean part of the exact k nearest vectors that `search` returns, between 0 and 1.

    `queries` is float32 [q, d] of unit length, and `exact` what answers are asked to be. An answer counts
    when its exact score reaches the exact k-th best, so that equal vectors may stand for one another.
    """
    k = min(k, len(search.ids))
    if k == 0 or len(queries) == 0:
        return 1.0
    needed = _kth_best(search, queries, k)
    found = 0.0
    for query, least in zip(queries, needed, strict=True):
        answer = search.search(query[None], k, exact=exact).ids[0]
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
