"""Which fast-scan codes and how many candidates: the cheapest that find enough of the exact answers.

Recall is measured on queries that the axes were not learnt on: stored vectors, which may not find themselves,
and texts, such as every second text of the prompts. An index that suits pictures alone fails on texts, which
lie far from them.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medsiglip.index.info_records import MeasuredRecall
from medsiglip.index.search.kinds.bounded_search import BoundedSearch, ProvenShare
from medsiglip.index.search.kinds.coded_rows import CodedRows
from medsiglip.index.search.kinds.projection import principal_axes
from medsiglip.index.search.kinds.quick_codes import QuickCodes, rotated_axes
from medsiglip.index.search.kinds.quick_search import (
    RANKED,
    K,
    OperatingPoint,
    coordinate_products,
    quick_search,
)
from medsiglip.index.search.kinds.vector_search import Neighbours
from medsiglip.index.vectors import Ids, Vectors

RECALL = 0.999
"""Mean part of the exact ten nearest that approximate answers hold, unless another is asked for."""
WIDTHS = (32, 64, 96, 128)
CANDIDATES = (50, 100, 200, 350, 500, 750, 1000, 1500, 2000)

# An approximate search that takes more than this part of the time of an exact one is not worth its errors.
_WORTH = 0.8
# The part of the permitted misses that may occur on the queries held out: others are a little different.
_MARGIN = 0.5
# Rows that axes and levels are learnt on, and queries of each sort that are held out.
_SAMPLE, _HELD_OUT = 16_384, 250
# Rows that 16 levels are learnt on at least.
_FEWEST = 32
# Equal scores beyond the k-th that count as well.
_TIES = 64
# Candidates that an estimate may name beyond those that are tried.
_BEYOND = 3000
# Time of a candidate, in that of one value of a code that is scanned.
_CANDIDATE = 40_000.0
# Queries that a search is timed on, and how often: the least time counts.
_TIMED, _PASSES = 12, 3


@dataclass(frozen=True, slots=True)
class Trial:
    """A point that was tried: its recall, the milliseconds of one search, the bytes of its codes."""

    point: OperatingPoint
    recall: MeasuredRecall
    milliseconds: float
    nbytes: int


@dataclass(frozen=True, slots=True)
class HeldOut:
    """Queries [q, d], the first `images` of them stored vectors, whose own places are `own` [q] (else -1).
    `near` int64 [q, m] are the places of rows that score at least as the exact k-th best; -1 fills up.
    """

    queries: Vectors
    images: int
    own: Ids
    near: Ids


class Learning:
    """Trials of codes on rows, with queries held out from rows and from texts, float32 [m, d]."""

    def __init__(self, held: CodedRows, texts: Vectors) -> None:
        self.held = held
        count = len(held)
        spread = np.linspace(0, count - 1, min(_SAMPLE + _HELD_OUT, count)).astype(np.int64)
        asked = np.zeros(len(spread), np.bool_)
        asked[np.linspace(0, len(spread) - 1, min(_HELD_OUT, len(spread) // 4)).astype(np.int64)] = True
        self._sample: Vectors = held.rows.take(spread[~asked])
        # Codes of widths that were tried on a sample, without any rows yet.
        self._begun: dict[int, QuickCodes] = {}
        self._axes = principal_axes(self._sample, texts[::2], WIDTHS[-1])
        self.queries = held_out(held, spread[asked], texts[1::2][:_HELD_OUT])
        self.exact_milliseconds = milliseconds(self._exact, self.queries)

    def _exact(self, query: Vectors) -> Neighbours:
        return BoundedSearch(self.held, ProvenShare(), query, K, None, len(self.held)).answer()

    def widths(self) -> Iterator[int]:
        """The widths of codes to try, ascending."""
        if len(self._sample) < _FEWEST:
            return iter(())
        return (width for width in WIDTHS if width <= self.held.rows.width)

    def codes(self, width: int) -> QuickCodes:
        """The codes of all rows, of a width."""
        begun = self._begun.pop(width, None)
        codes = self._without_rows(width) if begun is None else begun
        for _, block in self.held.rows.blocks():
            codes.add(block)
        return codes

    def _without_rows(self, width: int) -> QuickCodes:
        return QuickCodes.learnt(rotated_axes(self._axes, width), self._sample)

    def expected_cost(self, width: int, recall: float) -> float:
        """What a search by codes of a width that reaches a recall is expected to cost, from the codes of a
        sample of the rows and of the nearest ones alone; infinite where too many candidates are needed.
        """
        codes = self._begun[width] = self._without_rows(width)
        held, asked = codes.rounded(self._sample[::2]), self.queries.queries @ codes.axes
        near = self.queries.near[:, : K + 1]
        places, inverse = np.unique(np.maximum(near, 0), return_inverse=True)
        found = codes.rounded(self.held.rows.take(places))[inverse.reshape(near.shape)]
        scores = np.where(near >= 0, np.matmul(found, asked[:, :, None])[:, :, 0], -np.inf)
        better = [
            np.count_nonzero(held @ one > own[:, None], axis=1)
            for one, own in zip(asked, scores, strict=True)
        ]
        ranks = np.where(near >= 0, np.array(better) * (len(self.held) / len(held)), np.inf)
        k = min(K, len(self.held) - 1)
        for candidates in (*CANDIDATES, _BEYOND):
            parts = np.minimum((ranks < candidates).sum(axis=1), k) / k
            if measured(parts, self.queries.images, k, len(self.held)).least >= recall:
                return self._cost(width, candidates)
        return math.inf

    def least_cost(self, width: int) -> float:
        """What no search by codes of a width is expected to cost less than."""
        return self._cost(width, CANDIDATES[0])

    def _cost(self, width: int, candidates: int) -> float:
        return width * len(self.held) + _CANDIDATE * candidates

    def trials(self, codes: QuickCodes, least: float = 0.0) -> list[Trial]:
        """Trials of codes with ever more candidates, up to the first with a recall of `least`; without it, of
        all numbers of candidates.
        """
        count = len(self.held)
        most = min(CANDIDATES[-1], count)
        places = codes.nearest(self.queries.queries, most)
        estimates = self._estimates(places)
        estimates[places == self.queries.own[:, None]] = -np.inf
        hit = _among(places, self.queries.near)
        found = []
        for candidates in (one for one in CANDIDATES if one <= most):
            recall = self._recall(estimates[:, :candidates], hit[:, :candidates])
            if not least or recall.least >= least:
                found.append(self._timed(codes, OperatingPoint(codes.width, candidates, count), recall))
                if least:
                    break
        return found

    def _estimates(self, places: Ids) -> Vectors:
        if self.held.projection is None:  # all candidates are compared then
            return np.zeros(places.shape, np.float32)
        return coordinate_products(self.held, self.queries.queries, places)

    def _recall(self, estimates: Vectors, hit: NDArray[np.bool_]) -> MeasuredRecall:
        compared = hit.shape[1] if self.held.projection is None else min(K + RANKED, hit.shape[1])
        chosen = np.argpartition(-estimates, compared - 1, axis=1)[:, :compared]
        hits = np.take_along_axis(hit, chosen, axis=1).sum(axis=1)
        k = min(K, len(self.held) - 1)
        return measured(np.minimum(hits, k) / k, self.queries.images, k, len(self.held))

    def _timed(self, codes: QuickCodes, point: OperatingPoint, recall: MeasuredRecall) -> Trial:
        def search(query: Vectors) -> Neighbours:
            return quick_search(self.held, codes, query, K, point.candidates)

        return Trial(point, recall, milliseconds(search, self.queries), codes.nbytes)


def cheapest(learning: Learning, recall: float) -> tuple[QuickCodes, Trial] | None:
    """The codes and the trial that reach a recall, of the widths in the order of their expected costs; None
    where none reaches it, or in no less time than the exact search.
    """
    recall = 1 - (1 - recall) * _MARGIN
    costs: dict[int, float] = {}
    for width in learning.widths():
        if learning.least_cost(width) >= min(costs.values(), default=math.inf):
            break
        costs[width] = learning.expected_cost(width, recall)
    for width in sorted((one for one in costs if math.isfinite(costs[one])), key=costs.__getitem__):
        codes = learning.codes(width)
        for trial in learning.trials(codes, recall):
            worth = trial.milliseconds < _WORTH * learning.exact_milliseconds
            return (codes, trial) if worth else None
    return None


def held_out(held: CodedRows, places: Ids, texts: Vectors) -> HeldOut:
    """Stored vectors at these places and texts as queries, with their exact answers."""
    own = np.concatenate([places, np.full(len(texts), -1, np.int64)])
    queries = np.concatenate([held.rows.take(places), texts])
    fetch = min(K + 1 + _TIES, len(held))
    scores, ids, *_ = BoundedSearch(held, ProvenShare(), queries, fetch, None, len(held)).answer()
    near = held.places.of(ids.ravel()).reshape(ids.shape)
    itself = near == own[:, None]
    scores = np.where(itself, -np.inf, scores)
    k = max(1, min(K, len(held) - 1))
    least = -np.partition(-scores, k - 1, axis=1)[:, k - 1, None]
    return HeldOut(queries, len(places), own, np.where(scores >= least, near, -1))


def measured(parts: NDArray[np.float64], images: int, k: int, rows: int) -> MeasuredRecall:
    """The recall of answers that held these parts [q] of the exact ones, the first `images` of pictures."""
    texts = float(parts[images:].mean()) if len(parts) > images else None
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    return MeasuredRecall(float(parts[:images].mean()), texts, k, len(parts), rows, now)


def milliseconds(search: Callable[[Vectors], object], held_out: HeldOut) -> float:
    """The least mean time of this thread for a search for one query, over passes of queries of both sorts."""
    count = len(held_out.queries)
    chosen = np.linspace(0, count - 1, min(_TIMED, count)).astype(np.int64)
    passes = []
    for _ in range(_PASSES):
        begun = time.thread_time()
        for place in chosen:
            search(held_out.queries[place][None])
        passes.append((time.thread_time() - begun) / len(chosen))
    return 1000 * min(passes)


def _among(places: Ids, near: Ids) -> NDArray[np.bool_]:
    """Which of the places [q, m] of each query are among those `near` [q, n] of the same query."""
    width = np.int64(max(places.max(initial=0), near.max(initial=0)) + 1)
    query = np.arange(len(places))[:, None] * width
    return np.isin(query + places, (query + near)[near >= 0])
