"""Many queries at once by bounds: rows in rounds, each with a better bar of what a row must reach.

A code's first coordinates and the length of its others bound the product of whole codes as these bound that
of the vectors, so a product of narrow codes leaves few rows to compare by their whole codes, and those few to
compare by the vectors themselves. Each leaves out only rows that are proven not to be among the best.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from medsiglip.index.search.kinds.coded_rows import CodedRows
from medsiglip.index.search.kinds.vector_search import Mask
from medsiglip.index.vectors import Ids, Vectors

# Rows and queries whose products are in memory at a time: they stay in the processor's cache.
_ROWS, _QUERIES = 4096, 256
# Values of a narrow code, and the least of a whole one beside which it pays.
_NARROW, _WIDE = 32, 48
# Parts of the rows that the first bars are found in, and how many times more each round has.
_FIRST, _GROWTH = 2, 4
# Rows beside the k asked for that are looked at in each round.
_SPARE = 6
# Beyond this part of the products that reach their bars, whole codes are multiplied at once.
_DENSE = 1 / 16
# Rows that are gathered at a time.
_GATHERED = 2048

Scored = tuple[NDArray[np.intp], Ids, Vectors]
"""Pairs of a query and the place of a row, each with a score or a bound of it."""


@dataclass(slots=True)
class BatchBounds:
    """A search for the k best of the allowed rows; `codes` float32 [q, width] are those of `queries`.

    `slack` float32 [q] is how far an inner product may be above its bound, `errors` float32 [q] how far a
    score of float32 may be from it, and a query is given up beyond `most` rows that reach its bar.
    """

    held: CodedRows
    queries: Vectors
    codes: Vectors
    k: int
    allowed: Mask | None
    slack: Vectors
    errors: Vectors
    most: int
    looked_at: NDArray[np.int64] = field(init=False)
    given_up: NDArray[np.bool_] = field(init=False)
    # What the bound of a row must reach, lest it be left out.
    _bars: Vectors = field(init=False)
    _counts: NDArray[np.int64] = field(init=False)

    def candidates(self) -> Scored:
        """Pairs with the k best rows of each query that is not given up, with scores of float32, by query."""
        count = len(self.queries)
        self.looked_at, self._counts = np.zeros(count, np.int64), np.zeros(count, np.int64)
        self.given_up = np.zeros(count, np.bool_)
        self._bars = np.full(count, -np.inf, np.float32)
        places = None if self.allowed is None else np.flatnonzero(self.allowed)
        rows = len(self.held) if places is None else len(places)
        # Each round is spread over all rows, which often lie in the order of their time.
        starts = np.arange(0, rows, _ROWS)
        starts = starts[np.argsort(np.arange(len(starts)) * 0.6180339887 % 1, kind="stable")]
        few = [(start, min(start + _ROWS, rows)) for start in starts[:_FIRST].tolist()]
        seeds = joined([pairs for span in few for pairs in self._above(*span, places, True)])
        seeds = _best(seeds, self.k + _SPARE)[0]
        known, waiting = self._sharpened(joined([]), seeds, None)
        done, size = 0, _GROWTH * _FIRST
        while done < len(starts):
            few = [(start, min(start + _ROWS, rows)) for start in starts[done : done + size].tolist()]
            found = joined([pairs for span in few for pairs in self._above(*span, places, False)])
            if not done:
                found = self._others(found, seeds)
            done, size = done + size, size * _GROWTH
            known, waiting = self._sharpened(known, joined([waiting, found]), self.k + _SPARE)
        return self._sharpened(known, waiting, None)[0]

    def _others(self, pairs: Scored, seeds: Scored) -> Scored:
        """Those pairs that are not among the seeds."""
        keys, theirs = (query * len(self.held) + places for query, places, _ in (pairs, seeds))
        new = ~np.isin(keys, theirs)
        return pairs[0][new], pairs[1][new], pairs[2][new]

    # Bounds

    def _above(self, start: int, end: int, places: Ids | None, first: bool) -> Iterator[Scored]:
        """Pairs of queries and some rows whose bounds reach the bars; only some of the best if these are the
        `first` rows, for which there is no bar yet.
        """
        if places is None:
            rows = np.ascontiguousarray(self.held.codes.span(start, end), np.float32)
        else:
            rows = self.held.codes.take(places[start:end]).astype(np.float32)
        narrow = None if first or rows.shape[1] < _WIDE else _narrowed(rows)
        for few in _groups(len(self.queries)):
            bars = self._bars[few] - self.slack[few]
            found = None if narrow is None else _by_narrow(narrow, rows, self.codes[few], bars)
            if found is None:
                bounds = rows @ self.codes[few].T
                reached = bounds >= (np.maximum(bars, _likely(bounds, self.k + _SPARE)) if first else bars)
                row, query = np.divmod(np.flatnonzero(reached), bounds.shape[1])
                found = query, row, bounds[row, query]
            query, row, bounds = found
            query = query + few.start
            self._counts += np.bincount(query, minlength=len(self._counts))
            yield query, row + start if places is None else places[row + start], bounds
        self.given_up |= self._counts > self.most
        self._bars[self.given_up] = np.inf

    # Scores

    def _sharpened(self, known: Scored, waiting: Scored, count: int | None) -> tuple[Scored, Scored]:
        """Look at the rows of the `count` best bounds of each query, all if None, and raise the bars by their
        scores: the pairs with a known score and those that wait, without any that can be left out.
        """
        now, later = _best(self._reaching(waiting, self.slack), count)
        scores = self._scores(*now[:2])
        self.looked_at += np.bincount(now[0], minlength=len(self.queries))
        known = _best(joined([known, (*now[:2], scores)]), None)[0]
        starts = np.searchsorted(known[0], np.arange(len(self.queries) + 1))
        full = np.flatnonzero((np.diff(starts) >= self.k) & ~self.given_up)
        # Scores that differ by their errors and by half the last place of float32 may be equal.
        least = known[2][starts[full] + self.k - 1]
        self._bars[full] = least - self.errors[full] - np.spacing(np.abs(least))
        return self._reaching(known, self.errors), later

    def _reaching(self, pairs: Scored, margin: Vectors) -> Scored:
        query, places, scores = pairs
        near = scores + margin[query] >= self._bars[query]
        return query[near], places[near], scores[near]

    def _scores(self, query: NDArray[np.intp], places: Ids) -> Vectors:
        """Inner products in float32 of pairs that are ordered by query."""
        scores = np.empty(len(query), np.float32)
        for start in range(0, len(query), _GATHERED):
            rows = self.held.rows.take(places[start : start + _GATHERED])
            theirs = query[start : start + _GATHERED]
            edges = np.flatnonzero(np.diff(theirs, prepend=-1, append=len(self.queries))).tolist()
            for begin, end in pairwise(edges):
                np.matmul(
                    rows[begin:end], self.queries[theirs[begin]], out=scores[start + begin : start + end]
                )
        return scores


def joined(found: list[Scored]) -> Scored:
    """All of these pairs."""
    none: Scored = (np.empty(0, np.intp), np.empty(0, np.int64), np.empty(0, np.float32))
    query, places, scores = zip(none, *found, strict=True)
    return np.concatenate(query), np.concatenate(places), np.concatenate(scores)


def _best(pairs: Scored, count: int | None) -> tuple[Scored, Scored]:
    """The pairs with the `count` best scores of each query, all if None, by query and score; and the rest."""
    query, places, scores = pairs
    order = np.lexsort((-scores, query))
    query, places, scores = query[order], places[order], scores[order]
    if count is None:
        return (query, places, scores), joined([])
    now = np.arange(len(query)) - np.searchsorted(query, query) < count
    return (query[now], places[now], scores[now]), (query[~now], places[~now], scores[~now])


def _groups(queries: int) -> list[slice]:
    edges = np.linspace(0, queries, -(-queries // _QUERIES) + 1).astype(int).tolist()
    return [slice(*pair) for pair in pairwise(edges)]


def _narrowed(codes: Vectors) -> Vectors:
    """The first coordinates of codes [n, width] and the length of the others, float32 [n, _NARROW]."""
    narrow = np.empty((len(codes), _NARROW), np.float32)
    narrow[:, :-1] = codes[:, : _NARROW - 1]
    others = codes[:, _NARROW - 1 :]
    np.sqrt(np.einsum("ij,ij->i", others, others), out=narrow[:, -1])
    return narrow


def _by_narrow(narrow: Vectors, rows: Vectors, codes: Vectors, bars: Vectors) -> Scored | None:
    """Pairs of queries [q, width] and rows [m, width] whose bounds reach the bars [q], with their bounds;
    None where the narrow codes of the rows leave out too few.
    """
    products = narrow @ _narrowed(codes).T
    reached = np.flatnonzero(products >= bars)
    if len(reached) > _DENSE * products.size:
        return None
    row, query = np.divmod(reached, products.shape[1])
    bounds = np.einsum("ij,ij->i", rows[row], codes[query])
    near = bounds >= bars[query]
    return query[near], row[near], bounds[near]


def _likely(bounds: Vectors, count: int) -> Vectors:
    """For each query a bound that at least `count` of the rows reach, of bounds [m, q], and few more:
    that many maxima of groups of rows do.
    """
    each = max(1, len(bounds) // (8 * count))
    groups = len(bounds) // each
    if groups <= count:
        return np.full(bounds.shape[1], -np.inf, np.float32)
    best = bounds[: groups * each].reshape(groups, each, -1).max(axis=1)
    found: Vectors = np.partition(best, groups - count, axis=0)[groups - count]
    return found
