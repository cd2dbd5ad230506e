"""The flat index of FAISS: exact search by inner product over every vector."""

from __future__ import annotations

from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from medsiglip.index.search.kinds.best_rows import rounding
from medsiglip.index.search.kinds.bounded_search import ProvenShare
from medsiglip.index.search.kinds.faiss_selection import selection
from medsiglip.index.search.kinds.memory_held import HeldBytes, held_bytes
from medsiglip.index.search.kinds.vector_search import IdPlaces, Mask, Neighbours, compared, ranked
from medsiglip.index.vectors import Ids, Vectors

_SPARE = 16


class FaissFlat:
    """`VectorSearch` with the scores of `medsiglip.index.search.kinds.vector_search.top`, without
    FAISS's rounding.
    """

    def __init__(self, dimension: int) -> None:
        self.dimension = dimension
        self._places = IdPlaces()
        self._longest = 1.0
        self.share = ProvenShare()
        self._flat: Any = _faiss().IndexFlatIP(dimension)
        self._owner: Any = self._flat

    @property
    def spec(self) -> str:
        """As in `VectorSearch`."""
        return "Flat"

    @property
    def ids(self) -> Ids:
        """As in `VectorSearch`; in the order in which they were added."""
        return self._places.ids

    def add(self, ids: Ids, vectors: Vectors) -> None:
        """As in `VectorSearch`."""
        if len(ids):
            self._flat.add(np.ascontiguousarray(vectors, np.float32))
            self._longest = max(self._longest, _length(vectors))
            self._places.add(ids)

    def copy(self) -> FaissFlat:
        """As in `VectorSearch`, except that FAISS's flat index has to copy its vectors."""
        other = FaissFlat(self.dimension)
        other.add(self.ids, self._matrix)
        other.share = self.share
        return other

    def remove(self, ids: Ids) -> None:
        """As in `VectorSearch`."""
        gone = np.isin(self.ids, ids)
        if gone.any():
            self._flat.remove_ids(np.flatnonzero(gone))
            self._places.keep(~gone)

    def memory(self) -> HeldBytes:
        """As in `VectorSearch`."""
        return held_bytes([self._matrix])

    def rows(self, ids: Ids) -> Vectors:
        """As in `VectorSearch`."""
        return self._matrix[self._places.of(np.asarray(ids, np.int64))]

    @property
    def _matrix(self) -> Vectors:
        """All vectors, float32 [n, d] in the order of `ids`: FAISS's own memory, valid until
        the next change.
        """
        count = len(self.ids)
        if not count:
            return np.empty((0, self.dimension), np.float32)
        flat = _faiss().rev_swig_ptr(self._flat.get_xb(), count * self.dimension)
        return np.asarray(flat).reshape(count, self.dimension)

    def search(
        self, queries: Vectors, k: int, allowed: Mask | None = None, *, exact: bool = True
    ) -> Neighbours:
        """As in `VectorSearch`: FAISS finds candidates, more of them until the exact order is certain."""
        queries = np.ascontiguousarray(queries, np.float32)
        count = len(self.ids) if allowed is None else int(allowed.sum())
        k = min(k, count)
        scores = np.empty((len(queries), k), np.float32)
        ids = np.empty((len(queries), k), np.int64)
        pending = np.arange(len(queries))
        fetch = min(k + _SPARE, count)
        while k and len(pending):
            rough, places = self._flat.search(queries[pending], fetch, params=selection(allowed))
            unsure = []
            for row, lowest, found in zip(pending, rough[:, -1], places, strict=True):
                scores[row], ids[row] = self._ranked(queries[row], found, k)
                # FAISS's score and the exact one may differ, and the latter may have been rounded up.
                error = 2 * rounding(self.dimension) * self._longest * _length(queries[row][None])
                if fetch < count and lowest + error + np.spacing(abs(lowest)) + 1e-40 >= scores[row, -1]:
                    unsure.append(row)
            pending = np.array(unsure, np.int64)
            fetch = min(fetch * 4, count)
        self.share.took_in(len(queries), 0)
        return compared(scores, ids, count)

    def _ranked(self, query: Vectors, places: Ids, k: int) -> tuple[Vectors, Ids]:
        return ranked(query, self.ids[places], self._matrix[places], k)

    def write(self, stream: BinaryIO) -> None:
        """Write vectors and ids to a stream, as an IndexIDMap of FAISS."""
        faiss = _faiss()
        # IndexIDMap accepts only an empty index; its parts can be set afterwards.
        empty = faiss.IndexFlatIP(self.dimension)
        held = faiss.IndexIDMap(empty)
        held.index, held.ntotal = self._flat, self._flat.ntotal
        faiss.copy_array_to_vector(self.ids, _id_map(held))
        faiss.write_index(held, faiss.PyCallbackIOWriter(stream.write))

    @classmethod
    def read(cls, path: Path, dimension: int) -> FaissFlat | None:
        """The index in a file; None where it is damaged, or of another dimension or kind."""
        faiss = _faiss()
        try:
            held = faiss.read_index(str(path))
            flat = faiss.downcast_index(held.index)
            ids = faiss.vector_to_array(_id_map(held))
        except (OSError, RuntimeError, AttributeError):
            return None
        if not isinstance(flat, faiss.IndexFlatIP) or flat.d != dimension or flat.ntotal != len(ids):
            return None
        index = cls(dimension)
        # The index that was read stays the owner: handing ownership to `flat` breaks SWIG's type table in
        # this process, up to a crash at its end (faiss 1.15.1).
        index._flat, index._owner = flat, held
        index._places.add(ids)
        index._longest = max(1.0, _length(index._matrix))
        return index


def _length(vectors: Vectors) -> float:
    """The length of the longest of some vectors, 0 without any."""
    squares = np.einsum("ij,ij->i", vectors, vectors, dtype=np.float64)
    return float(np.sqrt(squares.max(initial=0.0))) * (1 + 1e-12)


def _id_map(held: Any) -> Any:
    """`held.id_map` with FAISS's own type: SWIG has one class per C++ type for all modules of a process, and
    once SimpleITK is loaded, that of `std::vector<int64_t>` is SimpleITK's.
    """
    own = _faiss().Int64Vector.__new__(_faiss().Int64Vector)
    own.this = held.id_map.this
    return own


def _faiss() -> Any:
    # FAISS's own type stubs lack half of its names.
    import faiss

    return faiss
