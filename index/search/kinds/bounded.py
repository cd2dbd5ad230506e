"""Exact search by short codes: candidates by a bound on their scores, and a proof that none is missing.

Every vector has a code (`medsiglip.index.search.kinds.projection`) in float16. The inner product of two
codes is at least that of their vectors, so once the k-th best score found is above the best bound of the rows
that were not looked at, the answer is complete. Otherwise more rows are looked at, and at last all of them.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from medsiglip.index.search.kinds.bounded_file import read_coded_rows, write_bounded
from medsiglip.index.search.kinds.bounded_search import BoundedSearch, ProvenShare
from medsiglip.index.search.kinds.coded_rows import CodedRows
from medsiglip.index.search.kinds.memory_held import HeldBytes, held_bytes
from medsiglip.index.search.kinds.projection import Projection, narrowed, principal_axes
from medsiglip.index.search.kinds.vector_search import Mask, Neighbours, compared, top
from medsiglip.index.search.query_sample import DAMAGED
from medsiglip.index.vectors import Ids, Vectors

LEAST = 8_192
"""Rows from which on codes are made: fewer are compared one by one in no time."""

# Up to this many allowed rows are compared one by one.
_FEW = 512
# Rows and queries that the axes are learnt and the number of axes is chosen on.
_SAMPLE = 16_384
_TRIALS = 64
_WIDTHS = (8, 16, 32, 64, 96, 128, 192, 256)
# Time of one value of a row that is looked at, in that of one value of a code: it is gathered first.
_LOOKING = 60.0


class BoundedIndex:
    """`VectorSearch` that is always exact. Codes are made once there are `least` rows of at least twice as
    many values as the narrowest code has, if they make a search cheaper; `query_sample`, float32 [m, d], are
    queries such as the texts of prompts, which the codes are to suit as well as the rows.
    """

    def __init__(self, dimension: int, query_sample: Vectors | None = None, *, least: int = LEAST) -> None:
        self.dimension = dimension
        self._least = self._next_learning = least
        self.share = ProvenShare()
        self._query_sample = np.empty((0, dimension), np.float32) if query_sample is None else query_sample
        self._held = CodedRows(dimension)

    @property
    def spec(self) -> str:
        """As in `VectorSearch`."""
        projection = self._held.projection
        return "Flat" if projection is None else f"Bound{projection.width},SQfp16,RFlat"

    @property
    def ids(self) -> Ids:
        """As in `VectorSearch`."""
        return self._held.ids

    @property
    def held(self) -> CodedRows:
        """The rows with their codes, for kinds that add codes of their own; not to be changed."""
        return self._held

    @property
    def query_sample(self) -> Vectors:
        """The queries that the codes suit, float32 [m, d]."""
        return self._query_sample

    def memory(self) -> HeldBytes:
        """As in `VectorSearch`."""
        rows, codes = self._held.rows.blocks(), self._held.codes.blocks()
        return held_bytes((block for _, block in rows), (block for _, block in codes))

    def add(self, ids: Ids, vectors: Vectors) -> None:
        """As in `VectorSearch`."""
        if not len(ids):
            return
        self._held.add(ids, np.ascontiguousarray(vectors, np.float32))
        if len(self._held) >= self._next_learning:
            self.learn()

    def copy(self) -> BoundedIndex:
        """As in `VectorSearch`."""
        other = BoundedIndex(self.dimension, self._query_sample, least=self._least)
        other._next_learning, other.share, other._held = self._next_learning, self.share, self._held.copy()
        return other

    def remove(self, ids: Ids) -> None:
        """As in `VectorSearch`."""
        gone = np.isin(self.ids, ids)
        if gone.any():
            self._held.keep(~gone)

    def rows(self, ids: Ids) -> Vectors:
        """As in `VectorSearch`."""
        return self._held.rows.take(self._held.places.of(np.asarray(ids, np.int64)))

    # Codes

    def learn_later(self) -> None:
        """Learn nothing before `learn_now`, however many rows are added until then."""
        self._next_learning = sys.maxsize

    def learn_now(self) -> None:
        """Learn what `learn_later` put off, if there are enough rows."""
        if self._next_learning == sys.maxsize:
            self._next_learning = self._least
            if len(self._held) >= self._least:
                self.learn()

    def learn(self) -> None:
        """Learn the axes anew from the rows and the sample of queries, and make the codes."""
        self._next_learning = 4 * len(self._held)
        spread = np.linspace(0, len(self._held) - 1, min(_SAMPLE, len(self._held))).astype(np.int64)
        sample = self._held.rows.take(spread)
        axes = principal_axes(sample, self._query_sample, _WIDTHS[-1] - 1)
        width = self._cheapest(sample, axes)
        self._held.encode(None if width is None else Projection(np.ascontiguousarray(axes[:, : width - 1])))

    def _cheapest(self, sample: Vectors, axes: NDArray[np.float64]) -> int | None:
        """The width whose codes and rows to look at cost least, tried on rows and queries of the sample; None
        where comparing with every row costs less.
        """
        trials = np.concatenate([_some(sample, _TRIALS), _some(self._query_sample, _TRIALS)])
        least = np.sort(trials @ sample.T, axis=1)[:, -min(10, len(sample))][:, None]
        widths = [width for width in _WIDTHS if 2 * width <= self.dimension]
        if not widths:
            return None
        widest = Projection(axes[:, : widths[-1] - 1])
        asked, held = widest.codes(trials), widest.codes(sample)
        cheapest, lowest = None, float(self.dimension)
        for width in widths:
            bounds = narrowed(asked, width) @ narrowed(held, width).T
            looked_at = (bounds >= least).sum(axis=1).mean() / len(sample)
            cost = width + _LOOKING * looked_at * self.dimension
            if cost < lowest:
                cheapest, lowest = width, cost
        return cheapest

    # Search

    def search(
        self, queries: Vectors, k: int, allowed: Mask | None = None, *, exact: bool = True
    ) -> Neighbours:
        """As in `VectorSearch`."""
        queries = np.ascontiguousarray(queries, np.float32)
        count = len(self.ids) if allowed is None else int(allowed.sum())
        k = min(k, count)
        if not k or not len(queries):
            return compared(np.empty((len(queries), k), np.float32), np.empty((len(queries), k), np.int64), 0)
        if allowed is not None and count <= max(_FEW, 2 * k):
            self.share.took_in(len(queries), 0)
            places = np.flatnonzero(allowed)
            return compared(*top(queries, self.ids[places], self._held.rows.take(places), k), count)
        return BoundedSearch(self._held, self.share, queries, k, allowed, count).answer()

    def write(self, stream: BinaryIO) -> None:
        """Write everything to a stream, from where it is."""
        write_bounded(stream, self._held, self._query_sample)


def read_bounded(path: Path, dimension: int, start: int = 0) -> BoundedIndex | None:
    """The index that `BoundedIndex.write` wrote from byte `start` of a file on, mapped through the open file,
    for its name may come to mean another one; None where it is damaged, or of another dimension or kind.
    """
    try:
        with open(path, "rb") as stream:
            found = read_coded_rows(stream, dimension, start)
    except (*DAMAGED, KeyError, TypeError):
        return None
    if found is None:
        return None
    index = BoundedIndex(dimension, found[1])
    index._held = found[0]
    if len(index.ids) >= LEAST:
        index._next_learning = 4 * len(index.ids)
    return index


def _some(rows: Vectors, count: int) -> Vectors:
    if len(rows) <= count:
        return rows
    return rows[np.linspace(0, len(rows) - 1, count).astype(np.int64)]
