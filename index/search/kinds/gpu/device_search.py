"""One search on a device: candidates by its scores, ranked again by those of the rows themselves."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from medsiglip.index.search.kinds.exact_scores import exact_scores
from medsiglip.index.search.kinds.gpu.device import MOST_RESULTS
from medsiglip.index.search.kinds.gpu.device_rows import DeviceRows
from medsiglip.index.search.kinds.gpu.half_bounds import half
from medsiglip.index.search.kinds.gpu.placement import Placement
from medsiglip.index.search.kinds.vector_search import Mask, Neighbours
from medsiglip.index.vectors import Ids, Vectors

# How many times more candidates are asked for where the proof failed.
_MORE = 4
# Rows that are gathered on the host at a time: they stay in the processor's cache.
_GATHERED = 256


class Host(Protocol):
    """The rows themselves, on the host, and a search of them that needs no device."""

    @property
    def ids(self) -> Ids:
        """As in `VectorSearch`."""

    @property
    def query_sample(self) -> Vectors:
        """Queries of another sort than the rows, float32 [m, d], such as texts."""

    def rows(self, ids: Ids) -> Vectors:
        """As in `VectorSearch`."""

    def search(
        self, queries: Vectors, k: int, allowed: Mask | None = None, *, exact: bool = True
    ) -> Neighbours:
        """As in `VectorSearch`."""


def first_fetch(rows: DeviceRows, placement: Placement, k: int, share: float) -> int:
    """How many candidates to ask for, so that about k and some to spare are of rows that may answer;
    `share` of them may.
    """
    slots = max(1, len(placement.place_of))
    live = max(1, slots - placement.tombstones) / slots
    return int((k + rows.recipe.spare) / (share * live)) + 1


@dataclass(slots=True)
class DeviceSearch:
    """The k nearest of each query [q, d] among the allowed rows, of which there are at least k.

    `waiting` float32 [w, d] are the rows of `placement.waiting`. With `exact`, what is not proven on the
    device is searched on the host; `settled` counts the answers for which it was not.
    """

    host: Host
    rows: DeviceRows
    placement: Placement
    waiting: Vectors
    queries: Vectors
    k: int
    allowed: Mask | None
    exact: bool
    scores: Vectors = field(init=False)
    ids: Ids = field(init=False)
    how: NDArray[np.object_] = field(init=False)
    looked_at: NDArray[np.int64] = field(init=False)
    settled: int = field(init=False, default=0)

    def answer(self, fetch: int) -> Neighbours:
        """With so many candidates first; raises `DeviceError`."""
        count = len(self.queries)
        self.scores = np.empty((count, self.k), np.float32)
        self.ids = np.empty((count, self.k), np.int64)
        self.how = np.full(count, "approximate", object)
        self.looked_at = np.zeros(count, np.int64)
        asked = half(self.queries) if self.rows.recipe.proves else self.queries
        slack = np.full(count, np.inf)
        if self.rows.recipe.proves:
            slack = self.rows.rounding.slack(self.queries, asked)
        unsure = np.arange(count)
        while len(unsure):
            # One more than there are slots shows that all were found.
            fetch = min(fetch, MOST_RESULTS, len(self.placement.place_of) + 1)
            unsure = self._round(asked, slack, unsure, fetch)
            if not self.exact or fetch in (MOST_RESULTS, len(self.placement.place_of) + 1):
                break
            fetch *= _MORE
        if len(unsure):
            self._on_host(unsure)
        self.settled = len(self.queries) - len(unsure)
        return Neighbours(self.scores, self.ids, tuple(self.how.tolist()), self.looked_at)

    def _on_host(self, unsure: NDArray[np.intp]) -> None:
        found = self.host.search(self.queries[unsure], self.k, self.allowed, exact=self.exact)
        self.scores[unsure], self.ids[unsure] = found.scores, found.ids
        self.how[unsure] = np.array(found.how, object)
        self.looked_at[unsure] += found.looked_at

    def _round(
        self, asked: Vectors, slack: NDArray[np.float64], unsure: NDArray[np.intp], fetch: int
    ) -> NDArray[np.intp]:
        """Fill in answers with so many candidates from the device; returns the queries whose answer is not
        good enough.
        """
        rough, slots = self.rows.owner.search(self.rows, asked[unsure], fetch)
        # Any slot not found has a score of the device that is no higher; slots found may be all there are.
        rest = rough[:, -1].astype(np.float64)
        if rough.shape[1] < fetch and self.rows.recipe.proves:
            rest[:] = -np.inf
        places = self.placement.places(slots)
        if len(self.waiting):
            more_rough, more_places, more_rest = self._of_waiting(unsure, fetch)
            rest = np.maximum(rest, more_rest)
            rough = np.concatenate([rough, more_rough], axis=1)
            places = np.concatenate([places, more_places], axis=1)
        usable = places >= 0
        if self.allowed is not None:
            usable &= self.allowed[np.where(usable, places, 0)]
        enough = np.flatnonzero(usable.sum(axis=1) >= self.k)
        done = unsure[enough]
        self._rank(done, rough[enough], places[enough], usable[enough], slack[done])
        proven = rest[enough] + slack[done] < self.scores[done, -1]
        self.how[done] = np.where(proven, "proven", "approximate")
        good = np.zeros(len(unsure), np.bool_)
        good[enough] = proven if self.exact else True
        return unsure[~good]

    def _of_waiting(self, unsure: NDArray[np.intp], fetch: int) -> tuple[Vectors, Ids, NDArray[np.float64]]:
        """The best of the rows that are not on the device: their scores and places [u, w], and for each query
        the highest score of the others. In float32, within the slack of every recipe that has one.
        """
        rough = self.queries[unsure] @ self.waiting.T
        places = np.broadcast_to(self.placement.waiting, rough.shape)
        if self.allowed is not None:
            rough = np.where(self.allowed[self.placement.waiting], rough, np.float32(-np.inf))
        rest = np.full(len(unsure), -np.inf)
        if rough.shape[1] > fetch:
            order = np.argpartition(-rough, fetch, axis=1)
            rest = np.take_along_axis(rough, order[:, fetch, None], axis=1)[:, 0].astype(np.float64)
            rough = np.take_along_axis(rough, order[:, :fetch], axis=1)
            places = np.take_along_axis(places, order[:, :fetch], axis=1)
        return rough, places, rest

    def _rank(
        self,
        done: NDArray[np.intp],
        rough: Vectors,
        places: Ids,
        usable: NDArray[np.bool_],
        slack: NDArray[np.float64],
    ) -> None:
        """Fill in the k best of the usable candidates [r, m] of these queries, by their exact scores."""
        if not len(done):
            return
        rough = np.where(usable, rough, np.float32(-np.inf))
        last = rough.shape[1] - self.k
        kth = np.partition(rough, last, axis=1)[:, last]
        # What is further below the k-th than both their errors cannot be among the k best.
        query, near = np.nonzero(usable & (rough >= (kth - 2 * slack)[:, None]))
        found = places[query, near]
        ids, exact = self.host.ids[found], np.empty(len(found), np.float32)
        for start in range(0, len(found), _GATHERED):
            few = slice(start, start + _GATHERED)
            exact[few] = exact_scores(self.host.rows(ids[few]), self.queries[done[query[few]]])
        order = np.lexsort((ids, -exact, query))
        starts = np.searchsorted(query, np.arange(len(done)))
        chosen = order[starts[:, None] + np.arange(self.k)]
        self.scores[done], self.ids[done] = exact[chosen], ids[chosen]
        self.looked_at[done] += np.bincount(query, minlength=len(done))
