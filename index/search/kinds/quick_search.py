"""An approximate search: candidates by fast-scan codes, fewer by float16 codes, those by their vectors."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from medsiglip.index.search.kinds.best_rows import rounding
from medsiglip.index.search.kinds.coded_rows import CodedRows
from medsiglip.index.search.kinds.quick_codes import QuickCodes
from medsiglip.index.search.kinds.vector_search import Mask, Neighbours, ranked
from medsiglip.index.search_records import How
from medsiglip.index.vectors import Ids, Vectors

K = 10
"""The number of neighbours that recall is measured at."""
RANKED = 40
"""Candidates beside the k asked for whose vectors are compared, after the float16 codes of all were."""

# Bytes of codes or of vectors that are gathered at a time.
_GATHERED = 16 << 20


@dataclass(frozen=True, slots=True)
class OperatingPoint:
    """The width of the codes, and how many candidates they name for `K` neighbours among so many rows."""

    width: int
    candidates: int
    rows: int

    def fetch(self, k: int, rows: int) -> int:
        """Candidates for k neighbours among so many rows: as many more as either has grown."""
        return math.ceil(self.candidates * max(1.0, k / K) * max(1.0, rows / self.rows))


def quick_search(
    held: CodedRows, codes: QuickCodes, queries: Vectors, k: int, fetch: int, allowed: Mask | None = None
) -> Neighbours:
    """k neighbours of each query among the allowed rows, by `fetch` candidates, k <= fetch.

    `allowed` must leave out so few that the candidates and they are no more than all rows.
    """
    places = codes.nearest(queries, fetch if allowed is None else fetch + int(np.count_nonzero(~allowed)))
    if allowed is not None:
        # The allowed ones first, in their order: there are at least `fetch`.
        first = np.argsort(~allowed[places], axis=1, kind="stable")[:, :fetch]
        places = np.take_along_axis(places, first, axis=1)
    compared = min(fetch, k + RANKED)
    scores, ids = np.empty((len(queries), k), np.float32), np.empty((len(queries), k), np.int64)
    for start in range(0, len(queries), step := max(1, _GATHERED // (compared * queries.shape[1] * 4))):
        few = slice(start, start + step)
        best = rescored(held, queries[few], places[few], compared)
        scores[few], ids[few] = _ranked(held, queries[few], best, k)
    how: How = "approximate"
    return Neighbours(scores, ids, (how,) * len(queries), np.full(len(queries), compared, np.int64))


def rescored(held: CodedRows, queries: Vectors, places: Ids, count: int) -> Ids:
    """The `count` of each query's candidates at `places` [q, m] with the greatest products of coordinates;
    all of them where the rows have no float16 codes. In no order.
    """
    if held.projection is None or places.shape[1] <= count:
        return places
    products = coordinate_products(held, queries, places)
    chosen = np.argpartition(-products, count - 1, axis=1)[:, :count]
    return np.take_along_axis(places, chosen, axis=1)


def coordinate_products(held: CodedRows, queries: Vectors, places: Ids) -> Vectors:
    """The products of the coordinates of queries and of rows at `places` [q, m], float32 [q, m]."""
    assert held.projection is not None
    asked = held.projection.codes(queries).astype(np.float32)
    asked[:, -1] = 0.0  # the length of the rest makes a bound of the product, where an estimate is wanted
    products = np.empty(places.shape, np.float32)
    step = max(1, _GATHERED // (places.shape[1] * asked.shape[1] * 4))
    for start in range(0, len(queries), step):
        few = slice(start, start + step)
        near = places[few]
        rows = held.codes.take(near.ravel()).astype(np.float32).reshape(*near.shape, -1)
        products[few] = np.matmul(rows, asked[few, :, None])[:, :, 0]
    return products


def _ranked(held: CodedRows, queries: Vectors, places: Ids, k: int) -> tuple[Vectors, Ids]:
    """The k best of the rows at `places` [q, m] of each query by exact scores: [q, k] both."""
    rows = held.rows.take(places.ravel()).reshape(*places.shape, -1)
    scores, ids = np.empty((len(queries), k), np.float32), np.empty((len(queries), k), np.int64)
    # Left out are rows whose float32 products are so far below the k-th that their exact scores are, too.
    rough = np.matmul(rows, queries[:, :, None])[:, :, 0]
    slack = 2 * rounding(rows.shape[2]) * held.longest * np.linalg.norm(queries, axis=1)
    bars = np.partition(rough, -k, axis=1)[:, -k] - slack
    for number, (query, near) in enumerate(zip(queries, rough >= bars[:, None], strict=True)):
        theirs = held.ids[places[number][near]]
        scores[number], ids[number] = ranked(query, theirs, rows[number][near], k)
    return scores, ids
