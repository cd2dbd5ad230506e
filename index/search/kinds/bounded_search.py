"""One search by bounds: the rows with the best bounds, and more until none can be missing; else all."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from medsiglip.index.search.kinds.batch_bounds import BatchBounds
from medsiglip.index.search.kinds.best_rows import best_rows, largest, rounding
from medsiglip.index.search.kinds.coded_rows import CodedRows
from medsiglip.index.search.kinds.exact_scores import exact_scores
from medsiglip.index.search.kinds.faiss_selection import selection
from medsiglip.index.search.kinds.vector_search import Mask, Neighbours, ranked
from medsiglip.index.vectors import Ids, Vectors

# Rows that are looked at first, beside the k asked for.
_FIRST = 86
# And how many times more after each failed proof.
_MORE = 6
# Up to so many rows may always be looked at.
_FEW = 512
# Beyond this part of the rows, comparing with all of them costs less than looking at those with good bounds.
_MOST = 0.02
# Rows of these that are looked at at once; the others only where their bounds are not below the scores.
_AT_ONCE = 22
# Queries that are multiplied with decoded codes; fewer are compared with the codes by FAISS, one by one.
_BATCH = 32
# Pairs of a query and a row that are in memory at most.
_PAIRS = 4_000_000
# Rows that are gathered at a time.
_GATHERED = 2048
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

    def took_in(self, answers: int, proven: int) -> None:
        """Count answers. Threads share this without a lock: the counts are for people, and `recent` only
        decides what is tried first.
        """
        self.answers += answers
        self.proven += proven

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
    scores: Vectors = field(init=False)
    ids: Ids = field(init=False)
    # How far a score of float32 may be from the true one, and that above the bound by codes, [q] both.
    errors: Vectors = field(init=False)
    slack: Vectors = field(init=False)

    def answer(self) -> Neighbours:
        """The k nearest of each query, exactly."""
        number, rows = len(self.queries), self.held.rows.width
        self.scores = np.full((number, self.k), -np.inf, np.float32)
        self.ids = np.full((number, self.k), -1, np.int64)
        self.looked_at = np.zeros(number, np.int64)
        lengths = np.sqrt(np.einsum("ij,ij->i", self.queries, self.queries, dtype=np.float64))
        self.errors = _upwards(2 * rounding(rows) * self.held.longest * lengths)
        unsure = np.arange(number)
        if self.held.projection is not None and self.k + _FIRST < self.count:
            width = self.held.projection.width
            self.slack = _upwards((self.held.error + 4 * rounding(width) * self.held.longest) * lengths)
            unsure = self._by_bounds(self.held.projection.codes(self.queries))
        self.share.took_in(number, number - len(unsure))
        how = np.full(number, "proven", object)
        how[unsure] = "compared"
        self._by_rows(unsure)
        return Neighbours(self.scores, self.ids, tuple(how.tolist()), self.looked_at)

    def _by_rows(self, unsure: NDArray[np.intp]) -> None:
        """Fill in the answers of queries by comparison with every row."""
        self.looked_at[unsure] = self.count
        fetch = min(self.k + _FIRST, self.count)
        while len(unsure):
            rough, places = best_rows(self.queries[unsure], self._blocks(), fetch)
            for row, theirs in zip(unsure.tolist(), places, strict=True):
                self._ranked(row, theirs)
            # A float32 that is as high may have been rounded up.
            worst = self.scores[unsure, -1]
            rest = rough[:, -1] + self.errors[unsure] + np.spacing(np.abs(worst))
            unsure = unsure[(rest >= worst) & (fetch < self.count)]
            fetch = min(fetch * 4, self.count)

    # By bounds

    def _by_bounds(self, codes: NDArray[np.float64]) -> NDArray[np.intp]:
        """Fill in the answers that bounds prove, and return the queries without one."""
        share, sorts = self.share, (codes[:, -1] > _LEFT_OUT).astype(np.intp)
        tried = share.worth_trying(sorts)
        some = np.flatnonzero(tried)
        find = self._many if len(some) >= _BATCH else self._few
        unproven = ~tried
        unproven[find(np.ascontiguousarray(codes, np.float32), some)] = True
        share.note(sorts[tried], ~unproven[tried])
        return np.flatnonzero(unproven)

    def _most(self) -> int:
        return max(_FEW, int(_MOST * self.count))

    def _many(self, codes: Vectors, some: NDArray[np.intp]) -> NDArray[np.intp]:
        search = BatchBounds(
            self.held,
            self.queries[some],
            codes[some],
            self.k,
            self.allowed,
            self.slack[some],
            self.errors[some],
            min(self._most(), max(_FEW, _PAIRS // len(some))),
        )
        query, places, _ = search.candidates()
        self.looked_at[some] = search.looked_at
        scores = np.empty(len(query), np.float32)
        for start in range(0, len(query), _GATHERED):
            few = slice(start, start + _GATHERED)
            scores[few] = exact_scores(self.held.rows.take(places[few]), search.queries[query[few]])
        ids = self.held.ids[places]
        order = np.lexsort((ids, -scores, query))
        kept = np.flatnonzero(~search.given_up)
        chosen = order[np.searchsorted(query, kept)[:, None] + np.arange(self.k)]
        self.scores[some[kept]], self.ids[some[kept]] = scores[chosen], ids[chosen]
        left: NDArray[np.intp] = some[search.given_up]
        return left

    def _few(self, codes: Vectors, unsure: NDArray[np.intp]) -> NDArray[np.intp]:
        fetch = self.k + _FIRST
        while len(unsure) and fetch < min(self._most(), self.count):
            bounds, places = self._best_bounds(codes[unsure], fetch)
            proven = [self._proven(*one) for one in zip(unsure.tolist(), bounds, places, strict=True)]
            unsure = unsure[~np.array(proven, np.bool_)]
            fetch *= _MORE
        return unsure

    def _best_bounds(self, codes: Vectors, fetch: int) -> tuple[Vectors, Ids]:
        """The rows with the best bounds, [q, fetch], best first."""
        bounds, places = [], []
        for start, index in self.held.scanned():
            within = None if self.allowed is None else self.allowed[start : start + index.ntotal]
            most = index.ntotal if within is None else int(np.count_nonzero(within))
            if most:
                found, theirs = index.search(codes, min(fetch, most), params=selection(within))
                bounds.append(found)
                places.append(theirs + start)
        return largest(np.concatenate(bounds, axis=1), np.concatenate(places, axis=1), fetch)

    def _proven(self, row: int, bounds: Vectors, places: Ids) -> bool:
        """Whether no row is missing among those at `places`, which have the best bounds, best first; then
        the answer of the query is filled in.
        """
        best = bounds + self.slack[row]
        query, needed = self.queries[row], self.k + _AT_ONCE
        scores = self.held.rows.take(places[:needed]) @ query
        reaching = int(np.count_nonzero(best >= self._bar(row, scores)))
        if reaching == len(places):
            return False
        if reaching > needed:
            more = self.held.rows.take(places[needed:reaching]) @ query
            scores, needed = np.concatenate([scores, more]), reaching
        self.looked_at[row] = needed
        near = places[:needed][scores + self.errors[row] >= self._bar(row, scores)]
        self.scores[row], self.ids[row] = ranked(
            query, self.held.ids[near], self.held.rows.take(near), self.k
        )
        return True

    def _bar(self, row: int, scores: Vectors) -> np.float32:
        """What the true score of a row must reach to be among the k best, of which these scores of float32
        are known.
        """
        least = np.partition(scores, len(scores) - self.k)[len(scores) - self.k]
        bar: np.float32 = least - self.errors[row] - np.spacing(np.abs(least))
        return bar

    # By rows

    def _ranked(self, row: int, places: Ids) -> None:
        """Fill in the answer of a query by the k best of the rows at `places`."""
        rows = self.held.rows.take(places)
        scores = rows @ self.queries[row]
        near = scores + self.errors[row] >= self._bar(row, scores)
        ids = self.held.ids[places[near]]
        self.scores[row], self.ids[row] = ranked(self.queries[row], ids, rows[near], self.k)

    def _blocks(self) -> Iterator[tuple[Ids, Vectors]]:
        for start, block in self.held.rows.blocks():
            end = start + len(block)
            if self.allowed is None:
                yield np.arange(start, end), block
                continue
            within = np.flatnonzero(self.allowed[start:end])
            yield within + start, block if len(within) == len(block) else block[within]


def _upwards(values: NDArray[np.float64]) -> Vectors:
    """In float32, rounded up; and products so small that float32 cannot hold them are lost altogether."""
    return np.asarray(values * (1 + 2.0**-20) + 1e-40, np.float32)
