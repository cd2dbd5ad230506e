"""Exact search by short codes: candidates by a bound on their scores, and a proof that none is missing.

Every vector has a code (`medsiglip.index.search.projection`) in float16. The inner product of two codes is
at least that of their vectors, so once the k-th best score found is above the best bound of the rows that
were not looked at, the answer is complete. Otherwise more rows are looked at, and at last all of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from medsiglip.index.search.best_rows import best_rows, rounding
from medsiglip.index.search.faiss_flat import selection
from medsiglip.index.search.projection import Projection, principal_axes
from medsiglip.index.search.row_blocks import RowBlocks
from medsiglip.index.search.vector_search import IdPlaces, Mask, top
from medsiglip.index.vectors import Ids, Vectors

LEAST = 8_192
"""Rows from which on codes are made: fewer are compared one by one in no time."""

# Rows that are looked at first, beside the k asked for.
_FIRST = 86
# And how many times more after each failed proof.
_MORE = 6
# Up to this many allowed rows are compared one by one.
_FEW = 512
# Beyond this part of the rows, comparing with all of them costs less than looking at those with good bounds.
_MOST = 0.02
# Queries that share a pass over decoded codes; fewer are compared with the codes by FAISS, one by one.
_BATCH = 8
# Codes that are decoded, and rows that are gathered, at a time: they stay in the processor's cache.
_PART, _GATHERED = 8192, 2048
# Rows and queries that the axes are learnt and the number of axes is chosen on.
_SAMPLE = 16_384
_TRIALS = 64
_WIDTHS = (8, 16, 32, 64, 96, 128, 192, 256)
# Time of one value of a row that is looked at, in that of one value of a code: it is gathered first.
_LOOKING = 60.0


@dataclass(slots=True)
class ProvenShare:
    """How many answers were proven complete by bounds, of all."""

    proven: int = 0
    answers: int = 0


class BoundedIndex:
    """`VectorSearch` that is always exact. Codes are made once there are `least` rows of at least twice as
    many values as the narrowest code has, if they make a search cheaper; `query_sample`, float32 [m, d], are
    queries such as the texts of prompts, which the codes are to suit as well as the rows.
    """

    def __init__(self, dimension: int, query_sample: Vectors | None = None, *, least: int = LEAST) -> None:
        self.dimension = dimension
        self._next_learning = least
        self.share = ProvenShare()
        self._query_sample = np.empty((0, dimension), np.float32) if query_sample is None else query_sample
        self._places = IdPlaces()
        self._rows = RowBlocks(dimension)
        self._projection: Projection | None = None
        self._codes: Any = None
        # An upper bound of the length of the difference between a code and its float16 form.
        self._error = 0.0

    @property
    def spec(self) -> str:
        """As in `VectorSearch`."""
        return "Flat" if self._projection is None else f"Bound{self._projection.width},SQfp16,RFlat"

    @property
    def ids(self) -> Ids:
        """As in `VectorSearch`."""
        return self._places.ids

    def add(self, ids: Ids, vectors: Vectors) -> None:
        """As in `VectorSearch`."""
        if not len(ids):
            return
        rows = np.ascontiguousarray(vectors, np.float32)
        self._rows.append(rows)
        self._places.add(ids)
        if len(self._rows) >= self._next_learning:
            self.learn()
        elif self._projection is not None:
            self._add_codes(rows)

    def remove(self, ids: Ids) -> None:
        """As in `VectorSearch`."""
        gone = np.isin(self.ids, ids)
        if not gone.any():
            return
        self._rows.keep(~gone)
        self._places.keep(~gone)
        if self._codes is not None:
            self._codes.remove_ids(np.flatnonzero(gone))

    def rows(self, ids: Ids) -> Vectors:
        """As in `VectorSearch`."""
        return self._rows.take(self._places.of(np.asarray(ids, np.int64)))

    # Codes

    def learn(self) -> None:
        """Learn the axes anew from the rows and the sample of queries, and make the codes."""
        self._next_learning = 4 * len(self._rows)
        spread = np.linspace(0, len(self._rows) - 1, min(_SAMPLE, len(self._rows))).astype(np.int64)
        sample = self._rows.take(spread)
        axes = principal_axes(sample, self._query_sample)
        width = self._cheapest(sample, axes)
        if width is None:
            self._projection = self._codes = None
        else:
            self._encode(Projection(np.ascontiguousarray(axes[:, : width - 1])))

    def _cheapest(self, sample: Vectors, axes: NDArray[np.float64]) -> int | None:
        """The width whose codes and rows to look at cost least, tried on rows and queries of the sample; None
        where comparing with every row costs less.
        """
        trials = np.concatenate([_some(sample, _TRIALS), _some(self._query_sample, _TRIALS)])
        least = np.sort(trials @ sample.T, axis=1)[:, -min(10, len(sample))][:, None]
        cheapest, lowest = None, float(self.dimension)
        for width in _WIDTHS:
            if 2 * width <= self.dimension:
                projection = Projection(axes[:, : width - 1])
                bounds = projection.codes(trials) @ projection.codes(sample).T
                looked_at = (bounds >= least).sum(axis=1).mean() / len(sample)
                cost = width + _LOOKING * looked_at * self.dimension
                if cost < lowest:
                    cheapest, lowest = width, cost
        return cheapest

    def _encode(self, projection: Projection) -> None:
        """Make the codes of all rows."""
        faiss = _faiss()
        self._projection, self._error = projection, 0.0
        self._codes = faiss.IndexScalarQuantizer(
            projection.width, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT
        )
        for _, block in self._rows.blocks():
            self._add_codes(block)

    def _add_codes(self, rows: Vectors) -> None:
        assert self._projection is not None
        codes = self._projection.codes(rows)
        rounded = codes.astype(np.float16)
        difference = codes - rounded
        self._error = max(self._error, float(np.sqrt(np.einsum("ij,ij->i", difference, difference).max())))
        self._codes.add(rounded.astype(np.float32))

    def _decoded(self) -> NDArray[np.float16]:
        """The codes, float16 [n, width]: FAISS's own memory, valid until the next change."""
        codes = self._codes.codes
        held: NDArray[np.uint8] = np.asarray(_faiss().rev_swig_ptr(codes.data(), codes.size()))
        return held.view(np.float16).reshape(len(self._rows), self._codes.d)

    # Search

    def search(self, queries: Vectors, k: int, allowed: Mask | None = None) -> tuple[Vectors, Ids]:
        """As in `VectorSearch`."""
        queries = np.ascontiguousarray(queries, np.float32)
        count = len(self.ids) if allowed is None else int(allowed.sum())
        k = min(k, count)
        if not k or not len(queries):
            return np.empty((len(queries), k), np.float32), np.empty((len(queries), k), np.int64)
        if allowed is not None and count <= max(_FEW, 2 * k):
            places = np.flatnonzero(allowed)
            return top(queries, self.ids[places], self._rows.take(places), k)
        return _Search(self, queries, k, allowed, count).answer()

    def write(self, stream: BinaryIO) -> None:
        """Write ids, vectors and axes to a stream, as arrays of numpy."""
        axes = np.empty((self.dimension, 0)) if self._projection is None else self._projection.axes
        np.lib.format.write_array(stream, self.ids)
        np.lib.format.write_array(stream, axes)
        header = {"descr": "<f4", "fortran_order": False, "shape": (len(self.ids), self.dimension)}
        np.lib.format.write_array_header_1_0(stream, header)
        for _, block in self._rows.blocks():
            stream.write(np.ascontiguousarray(block, "<f4").data)


@dataclass(slots=True)
class _Search:
    """One search of an index among `count` allowed rows."""

    index: BoundedIndex
    queries: Vectors
    k: int
    allowed: Mask | None
    count: int

    def answer(self) -> tuple[Vectors, Ids]:
        scores = np.full((len(self.queries), self.k), -np.inf, np.float32)
        ids = np.full((len(self.queries), self.k), -1, np.int64)
        unsure = np.arange(len(self.queries))
        if self.index._projection is not None and self.k + _FIRST < self.count:
            unsure = self._by_bounds(scores, ids)
        share = self.index.share
        share.answers += len(self.queries)
        share.proven += len(self.queries) - len(unsure)
        fetch = min(self.k + _FIRST, self.count)
        while len(unsure):
            rough, places = best_rows(self.queries[unsure], self._blocks(), fetch)
            scores[unsure], ids[unsure] = self._ranked(self.queries[unsure], places)
            rest = rough[:, -1] + rounding(self.index.dimension)
            unsure = unsure[(rest >= scores[unsure, -1]) & (fetch < self.count)]
            fetch = min(fetch * 4, self.count)
        return scores, ids

    # By bounds

    def _by_bounds(self, scores: Vectors, ids: Ids) -> NDArray[np.intp]:
        """Fill in the answers that bounds prove, and return the queries without one."""
        assert self.index._projection is not None
        codes = np.ascontiguousarray(self.index._projection.codes(self.queries), np.float32)
        slack = np.float32(self.index._error + 2 * rounding(codes.shape[1]))
        unsure = np.arange(len(codes))
        most = max(_FEW, int(_MOST * self.count))
        fetch = self.k + _FIRST
        while len(unsure) and fetch < min(most, self.count):
            bounds, places = self._best_bounds(codes[unsure], fetch)
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
                [scores[row]], [ids[row]] = self._ranked(self.queries[row][None], places[None])
        return np.array(left, np.intp)

    def _best_bounds(self, codes: Vectors, fetch: int) -> tuple[Vectors, Ids]:
        """The rows with the best bounds, [q, fetch], best first."""
        if len(codes) >= _BATCH:
            return best_rows(codes, self._code_blocks(), fetch)
        found: tuple[Vectors, Ids] = self.index._codes.search(codes, fetch, params=selection(self.allowed))
        return found

    def _above(self, codes: Vectors, least: Vectors, most: int) -> list[Ids | None]:
        """The rows of each query whose bound is at least `least` [q]; None for a query with more than
        `most`.
        """
        found: list[list[Ids]] = [[] for _ in codes]
        counts = np.zeros(len(codes), np.int64)
        for places, rows in self._code_blocks():
            for start in range(0, len(rows), _PART):
                near = codes @ rows[start : start + _PART].T >= least[:, None]
                counts += near.sum(axis=1)
                for query in np.flatnonzero(near.any(axis=1) & (counts <= most)):
                    found[query].append(places[start : start + _PART][near[query]])
        return [
            np.concatenate(one) if count <= most else None for one, count in zip(found, counts, strict=True)
        ]

    def _code_blocks(self) -> Iterator[tuple[Ids, Vectors]]:
        codes = self.index._decoded()
        for start in range(0, len(codes), _PART):
            places = self._allowed_from(start, min(start + _PART, len(codes)))
            yield places, codes[places].astype(np.float32)

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
        rows = self.index._rows.take(places.ravel()).reshape(*places.shape, -1)
        rough = np.matmul(rows, queries[:, :, None])[:, :, 0]
        last = places.shape[1] - self.k
        worst = np.partition(rough, last, axis=1)[:, last, None]
        query, near = np.nonzero(rough >= worst - 2 * rounding(self.index.dimension))
        exact = np.einsum("ij,ij->i", rows[query, near], queries[query], dtype=np.float64).astype(np.float32)
        named = self.index.ids[places[query, near]]
        order = np.lexsort((named, -exact, query))
        starts = np.searchsorted(query, np.arange(len(queries)))
        chosen = order[starts[:, None] + np.arange(self.k)]
        return exact[chosen], named[chosen]

    def _blocks(self) -> Iterator[tuple[Ids, Vectors]]:
        for start, block in self.index._rows.blocks():
            places = self._allowed_from(start, start + len(block))
            yield places, block if len(places) == len(block) else block[places - start]

    def _allowed_from(self, start: int, end: int) -> Ids:
        if self.allowed is None:
            return np.arange(start, end)
        return np.flatnonzero(self.allowed[start:end]) + start


def read_bounded(path: Any, dimension: int) -> BoundedIndex | None:
    """The index in a file of `BoundedIndex.write`, whose vectors stay in the file until they are needed;
    None where it is damaged, or of another dimension or kind.
    """
    try:
        with open(path, "rb") as stream:
            ids, axes = (np.lib.format.read_array(stream, allow_pickle=False) for _ in range(2))
            if np.lib.format.read_magic(stream) != (1, 0):
                return None
            shape, _, dtype = np.lib.format.read_array_header_1_0(stream)
            begin, length = stream.tell(), stream.seek(0, 2)
    except (OSError, ValueError, EOFError):
        return None
    if shape != (len(ids), dimension) or axes.shape[:1] != (dimension,) or dtype != np.dtype("<f4"):
        return None
    if length != begin + len(ids) * dimension * 4 or ids.dtype != np.int64 or ids.ndim != 1:
        return None
    index = BoundedIndex(dimension)
    index._places.add(ids)
    if len(ids):
        index._rows = RowBlocks.of(np.memmap(path, "<f4", "r", begin, shape))
    if axes.shape[1]:
        index._encode(Projection(axes))
    return index


def _some(rows: Vectors, count: int) -> Vectors:
    return rows[:: max(1, len(rows) // count)][:count]


def _faiss() -> Any:
    # FAISS's own type stubs lack half of its names.
    import faiss

    return faiss
