"""One search by bounds: the rows with the best bounds, and more until none can be missing; else all."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from medsiglip.index.search.kinds.best_rows import best_rows, largest, rounding
from medsiglip.index.search.kinds.coded_rows import CodedRows
from medsiglip.index.search.kinds.faiss_selection import selection
from medsiglip.index.search.kinds.vector_search import Mask, Neighbours
from medsiglip.index.vectors import Ids, Vectors

# Rows that are looked at first, beside the k asked for.
_FIRST = 86
# And how many times more after each failed proof.
_MORE = 6
# Up to so many rows may always be looked at.
_FEW = 512
# Beyond this part of the rows, comparing with all of them costs less than looking at those with good bounds.
_MOST = 0.02
# Queries that share a pass over decoded codes; fewer are compared with the codes by FAISS, one by one.
_BATCH = 8
# Codes that are decoded, and rows that are gathered, at a time: they stay in the processor's cache.
_PART, _GATHERED = 8192, 2048
# Where bounds prove less than this part of the answers, they are tried for one query in so many.
_RARELY, _ONE_IN = 0.3, 16
# A query of which the axes leave out more than this length is of the other sort.
_LEFT_OUT = 0.5


@dataclass(slots=True)
class ProvenShare:
    """How many answers were proven complete by bounds, of all that were given.

    `recent` is the share of late among queries that the axes hold well, and among those that they do not,
    such as texts where the axes were learnt on pictures alone.
    """

    proven: int = 0
    answers: int = 0
    recent: NDArray[np.float64] = field(default_factory=lambda: np.ones(2))

    def worth_trying(self, sorts: NDArray[np.intp]) -> NDArray[np.bool_]:
        """Whether bounds may prove the answers of queries of these sorts, 0 or 1 [q]. Where they rarely do,
        one query in some is tried.
        """
        tried = self.recent[sorts] >= _RARELY
        tried[(self.answers + np.arange(len(sorts))) % _ONE_IN == 0] = True
        return tried

    def note(self, sorts: NDArray[np.intp], proven: NDArray[np.bool_]) -> None:
        """Take in what became of queries that were tried."""
        for sort in (0, 1):
            of_sort = proven[sorts == sort]
            if len(of_sort):
                weight = 0.9 ** len(of_sort)
                self.recent[sort] = weight * self.recent[sort] + (1 - weight) * of_sort.mean()


@dataclass(slots=True)
class BoundedSearch:
    """One search among `count` allowed rows; `share` takes in how it went."""

    held: CodedRows
    share: ProvenShare
    queries: Vectors
    k: int
    allowed: Mask | None
    count: int
    looked_at: NDArray[np.int64] = field(init=False)

    def answer(self) -> Neighbours:
        """The k nearest of each query, exactly."""
        scores = np.full((len(self.queries), self.k), -np.inf, np.float32)
        ids = np.full((len(self.queries), self.k), -1, np.int64)
        unsure = np.arange(len(self.queries))
        self.looked_at = np.zeros(len(self.queries), np.int64)
        if self.held.projection is not None and self.k + _FIRST < self.count:
            unsure = self._by_bounds(self.held.projection.codes(self.queries), scores, ids)
        self.share.answers += len(self.queries)
        self.share.proven += len(self.queries) - len(unsure)
        how = np.full(len(self.queries), "proven", object)
        how[unsure] = "compared"
        self.looked_at[unsure] = self.count
        fetch = min(self.k + _FIRST, self.count)
        while len(unsure):
            rough, places = best_rows(self.queries[unsure], self._blocks(), fetch)
            scores[unsure], ids[unsure] = self._ranked(self.queries[unsure], places)
            rest = rough[:, -1] + rounding(self.held.rows.width)
            unsure = unsure[(rest >= scores[unsure, -1]) & (fetch < self.count)]
            fetch = min(fetch * 4, self.count)
        return Neighbours(scores, ids, tuple(how.tolist()), self.looked_at)

    # By bounds

    def _by_bounds(self, codes: NDArray[np.float64], scores: Vectors, ids: Ids) -> NDArray[np.intp]:
        """Fill in the answers that bounds prove, and return the queries without one."""
        share, sorts = self.share, (codes[:, -1] > _LEFT_OUT).astype(np.intp)
        tried = share.worth_trying(sorts)
        unproven = ~tried
        unsure = self._tried(np.ascontiguousarray(codes, np.float32), np.flatnonzero(tried), scores, ids)
        unproven[unsure] = True
        share.note(sorts[tried], ~unproven[tried])
        return np.flatnonzero(unproven)

    def _tried(self, codes: Vectors, unsure: NDArray[np.intp], scores: Vectors, ids: Ids) -> NDArray[np.intp]:
        slack = np.float32(self.held.error + 2 * rounding(codes.shape[1]))
        most = max(_FEW, int(_MOST * self.count))
        fetch = self.k + _FIRST
        while len(unsure) and fetch < min(most, self.count):
            bounds, places = self._best_bounds(codes[unsure], fetch)
            self.looked_at[unsure] = fetch
            scores[unsure], ids[unsure] = self._ranked(self.queries[unsure], places)
            unsure = unsure[bounds[:, -1] + slack >= scores[unsure, -1]]
            if len(unsure) >= _BATCH:
                return self._by_bars(codes, unsure, slack, most, scores, ids)
            fetch *= _MORE
        return unsure

    def _by_bars(
        self,
        codes: Vectors,
        unsure: NDArray[np.intp],
        slack: np.float32,
        most: int,
        scores: Vectors,
        ids: Ids,
    ) -> NDArray[np.intp]:
        """The same by a second pass: no row whose bound is below the k-th score so far is among the best."""
        left = []
        found = self._above(codes[unsure], scores[unsure, -1] - slack, most)
        for row, places in zip(unsure, found, strict=True):
            if places is None:
                left.append(row)
            else:
                self.looked_at[row] = len(places)
                [scores[row]], [ids[row]] = self._ranked(self.queries[row][None], places[None])
        return np.array(left, np.intp)

    def _best_bounds(self, codes: Vectors, fetch: int) -> tuple[Vectors, Ids]:
        """The rows with the best bounds, [q, fetch], best first."""
        if len(codes) >= _BATCH:
            return best_rows(codes, self._code_blocks(), fetch)
        bounds, places = [], []
        for start, index in self.held.scanned():
            within = None if self.allowed is None else self.allowed[start : start + index.ntotal]
            most = index.ntotal if within is None else int(np.count_nonzero(within))
            if most:
                found, theirs = index.search(codes, min(fetch, most), params=selection(within))
                bounds.append(found)
                places.append(theirs + start)
        return largest(np.concatenate(bounds, axis=1), np.concatenate(places, axis=1), fetch)

    def _above(self, codes: Vectors, least: Vectors, most: int) -> list[Ids | None]:
        """The rows of each query whose bound is at least `least` [q]; None for a query with more than
        `most`.
        """
        found: list[list[Ids]] = [[] for _ in codes]
        counts = np.zeros(len(codes), np.int64)
        for places, rows in self._code_blocks():
            near = codes @ rows.T >= least[:, None]
            counts += near.sum(axis=1)
            for query in np.flatnonzero(near.any(axis=1) & (counts <= most)):
                found[query].append(places[near[query]])
        return [
            np.concatenate(one) if count <= most else None for one, count in zip(found, counts, strict=True)
        ]

    def _code_blocks(self) -> Iterator[tuple[Ids, Vectors]]:
        for first, block in self.held.codes.blocks():
            for start in range(0, len(block), _PART):
                part = block[start : start + _PART]
                places = self._allowed_from(first + start, first + start + len(part))
                chosen = part if len(places) == len(part) else part[places - first - start]
                yield places, chosen.astype(np.float32)

    # By scores

    def _ranked(self, queries: Vectors, places: Ids) -> tuple[Vectors, Ids]:
        """The k best of the rows at `places` [q, m] of each query, by exact scores: [q, k] both."""
        scores = np.empty((len(queries), self.k), np.float32)
        ids = np.empty((len(queries), self.k), np.int64)
        step = max(1, _GATHERED // places.shape[1])
        for start in range(0, len(queries), step):
            few = slice(start, start + step)
            scores[few], ids[few] = self._ranked_few(queries[few], places[few])
        return scores, ids

    def _ranked_few(self, queries: Vectors, places: Ids) -> tuple[Vectors, Ids]:
        rows = self.held.rows.take(places.ravel()).reshape(*places.shape, -1)
        rough = np.matmul(rows, queries[:, :, None])[:, :, 0]
        last = places.shape[1] - self.k
        worst = np.partition(rough, last, axis=1)[:, last, None]
        query, near = np.nonzero(rough >= worst - 2 * rounding(self.held.rows.width))
        exact = np.einsum("ij,ij->i", rows[query, near], queries[query], dtype=np.float64).astype(np.float32)
        named = self.held.ids[places[query, near]]
        order = np.lexsort((named, -exact, query))
        starts = np.searchsorted(query, np.arange(len(queries)))
        chosen = order[starts[:, None] + np.arange(self.k)]
        return exact[chosen], named[chosen]

    def _blocks(self) -> Iterator[tuple[Ids, Vectors]]:
        for start, block in self.held.rows.blocks():
            places = self._allowed_from(start, start + len(block))
            yield places, block if len(places) == len(block) else block[places - start]

    def _allowed_from(self, start: int, end: int) -> Ids:
        if self.allowed is None:
            return np.arange(start, end)
        return np.flatnonzero(self.allowed[start:end]) + start
