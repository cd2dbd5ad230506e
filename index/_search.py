"""A search with patients left out: which images, series or studies answer each query."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from index._loaded import LoadedSpace
from index.errors import CatalogError
from index.records import Level
from index.vectors import Ids, Vectors, unit_length

Answer = tuple[Vectors, Ids]

# Up to this many rows left out per query, all queries go in one batch that fetches so many more.
_BATCHED_EXCLUSIONS = 1000


def checked_queries(queries: Vectors, dimension: int) -> Vectors:
    """Queries as float32 [q, d] of unit length; raises `CatalogError` `bad-query`."""
    array = np.asarray(queries, np.float32)
    if array.ndim != 2 or array.shape[1] != dimension:
        raise CatalogError(
            "bad-query",
            f"Queries of shape {array.shape} do not fit this index, which holds vectors of {dimension} "
            "values; encode them with the model of the index.",
        )
    if not np.isfinite(array).all() or (len(array) and not np.linalg.norm(array, axis=1).all()):
        raise CatalogError(
            "bad-query", "A query vector is zero or not finite; check the image or text it came from."
        )
    return unit_length(array)


def answers(
    loaded: LoadedSpace, level: Level, queries: Vectors, k: int, allowed: Ids | None, excluded: Sequence[Ids]
) -> list[Answer]:
    """For each query the scores and ids of its k nearest at the level.

    `allowed` and `excluded` (one array per query) are image ids. A series or study answers when one of its
    images is allowed; it is left out when one of its images is excluded.
    """
    allowed = None if allowed is None else np.unique(loaded.owners(level, allowed))
    left_out = [np.unique(loaded.owners(level, ids)) for ids in excluded]
    widest = max(map(len, left_out), default=0)
    if widest <= _BATCHED_EXCLUSIONS:
        scores, ids = loaded.nearest(level, queries, k + widest, allowed)
        keep = [~np.isin(row, gone) for row, gone in zip(ids, left_out, strict=True)]
        return [(s[mask][:k], i[mask][:k]) for s, i, mask in zip(scores, ids, keep, strict=True)]
    everything = allowed if allowed is not None else loaded.all_ids(level)
    found = []
    for query, gone in zip(queries, left_out, strict=True):
        scores, ids = loaded.nearest(level, query[None], k, np.setdiff1d(everything, gone))
        found.append((scores[0], ids[0]))
    return found
