"""`VectorSearch` by FAISS: a flat inner-product index, with the ids beside it and a snapshot on disk."""

from __future__ import annotations

import json
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medsiglip.index.vectors import Ids, Vectors, atomic_file, make_folder

SNAPSHOT_FORMAT = 1
SPEC = "Flat"
DEVICE = "cpu"

# FAISS sums 1152 products in float32; its score and the exact one were never seen further apart than 5e-7.
_ROUNDING = 2e-6
_SPARE = 16


class FaissIndex:
    """Exact search over every vector held; scores are those of `medsiglip.index.search.exact`, whatever
    FAISS rounds.
    """

    def __init__(self, dimension: int) -> None:
        faiss = _faiss()
        self.dimension = dimension
        self.ids: Ids = np.empty(0, np.int64)
        self._flat: Any = faiss.IndexFlatIP(dimension)
        self._owner: Any = self._flat
        self._order: Ids | None = None

    def __len__(self) -> int:
        return int(self._flat.ntotal)

    def add(self, ids: Ids, vectors: Vectors) -> None:
        """Hold float32 [m, d] under new ids [m]."""
        if len(ids):
            self._flat.add(np.ascontiguousarray(vectors, np.float32))
            self.ids = np.concatenate([self.ids, ids])
            self._order = None

    def remove(self, ids: Ids) -> None:
        """Drop these ids; unknown ones are no error."""
        gone = np.isin(self.ids, ids)
        if gone.any():
            self._flat.remove_ids(np.flatnonzero(gone))
            self.ids = self.ids[~gone]
            self._order = None

    def places(self, ids: Ids) -> NDArray[np.int64]:
        """Row numbers of held ids; `KeyError` for an unknown one."""
        if self._order is None:
            self._order = np.argsort(self.ids, kind="stable")
        ordered = self.ids[self._order]
        found = np.searchsorted(ordered, ids)
        if len(ids) and (found.max() >= len(ordered) or (ordered[found] != ids).any()):
            raise KeyError(f"{sorted(set(np.asarray(ids).tolist()) - set(ordered.tolist()))[:5]} not held")
        return np.asarray(self._order[found], np.int64)

    def rows(self, ids: Ids) -> Vectors:
        """The vectors of held ids, float32 [m, d]; `KeyError` for an unknown one."""
        return self.matrix[self.places(np.asarray(ids, np.int64))]

    @property
    def matrix(self) -> Vectors:
        """All vectors, float32 [n, d] in the order of `ids`: FAISS's own memory, until the next change."""
        faiss = _faiss()
        if not len(self):
            return np.empty((0, self.dimension), np.float32)
        flat = faiss.rev_swig_ptr(self._flat.get_xb(), len(self) * self.dimension)
        return np.asarray(flat).reshape(len(self), self.dimension)

    def search(self, queries: Vectors, k: int) -> tuple[Vectors, Ids]:
        """Scores float32 and ids int64, both [q, min(k, n)]: best first, equal scores by ascending id."""
        queries = np.ascontiguousarray(queries, np.float32)
        k = min(k, len(self))
        scores = np.empty((len(queries), k), np.float32)
        ids = np.empty((len(queries), k), np.int64)
        pending = np.arange(len(queries))
        fetch = min(k + _SPARE, len(self))
        while k and len(pending):
            rough, places = self._flat.search(queries[pending], fetch)
            unsure = []
            for row, lowest, found in zip(pending, rough[:, -1], places, strict=True):
                scores[row], ids[row] = self._ranked(queries[row], found, k)
                if fetch < len(self) and lowest + _ROUNDING >= scores[row, -1]:
                    unsure.append(row)
            pending = np.array(unsure, np.int64)
            fetch = min(fetch * 4, len(self))
        return scores, ids

    def _ranked(self, query: Vectors, places: Ids, k: int) -> tuple[Vectors, Ids]:
        vectors = self.matrix[places].astype(np.float64)
        scores = np.einsum("ij,j->i", vectors, query.astype(np.float64)).astype(np.float32)
        ids = self.ids[places]
        order = np.lexsort((ids, -scores))[:k]
        return scores[order], ids[order]

    def save(self, folder: Path, space: str, shards: Iterable[str]) -> None:
        """Write `<space>.faiss` and the list of shards it holds; the list is last, and first to go."""
        faiss = _faiss()
        make_folder(folder)
        _description(folder, space).unlink(missing_ok=True)
        # IndexIDMap takes only an empty index; its parts may be set afterwards.
        empty = faiss.IndexFlatIP(self.dimension)
        held = faiss.IndexIDMap(empty)
        held.index, held.ntotal = self._flat, self._flat.ntotal
        faiss.copy_array_to_vector(self.ids, _id_map(held))
        with atomic_file(_vectors(folder, space)) as stream:
            faiss.write_index(held, faiss.PyCallbackIOWriter(stream.write))
        size = _vectors(folder, space).stat().st_size
        description = {"format": SNAPSHOT_FORMAT, "dimension": self.dimension, "bytes": size}
        with atomic_file(_description(folder, space)) as stream:
            stream.write(json.dumps({**description, "shards": sorted(shards)}).encode())

    @classmethod
    def load(cls, folder: Path, space: str, dimension: int) -> FaissIndex | None:
        """The snapshot, or None where it is absent, of another format or damaged: it can be rebuilt from
        shards.
        """
        faiss = _faiss()
        description = _read_description(folder, space)
        expected = {"format": SNAPSHOT_FORMAT, "dimension": dimension}
        if description is None or any(description.get(key) != value for key, value in expected.items()):
            return None
        path = _vectors(folder, space)
        try:
            if path.stat().st_size != description.get("bytes"):
                return None
            held = faiss.read_index(str(path))
            flat = faiss.downcast_index(held.index)
            ids = faiss.vector_to_array(_id_map(held))
        except (OSError, RuntimeError, AttributeError):
            return None
        if not isinstance(flat, faiss.IndexFlatIP) or flat.d != dimension or flat.ntotal != len(ids):
            return None
        index = cls(dimension)
        # What was read stays the owner: handing ownership to `flat` breaks SWIG's type table in this process,
        # up to a crash at its end (faiss 1.15.1).
        index._flat, index._owner, index.ids = flat, held, ids
        return index


def _id_map(held: Any) -> Any:
    """`held.id_map`, as FAISS's own type: SWIG gives all modules of a process one class for a C++ type, and
    once SimpleITK is loaded that of `std::vector<int64_t>` is SimpleITK's.
    """
    own = _faiss().Int64Vector.__new__(_faiss().Int64Vector)
    own.this = held.id_map.this
    return own


def _faiss() -> Any:
    # FAISS's own type stubs leave out half of what it has.
    import faiss

    return faiss


def snapshot_shards(folder: Path, space: str) -> set[str] | None:
    """Names of the shards that the snapshot holds; None where there is no readable snapshot."""
    description = _read_description(folder, space)
    if description is None or not isinstance(description.get("shards"), list):
        return None
    return set(description["shards"])


def discard_snapshot(folder: Path, space: str) -> None:
    """Delete the snapshot; a reader that loads it meanwhile keeps what it read."""
    for path in (_description(folder, space), _vectors(folder, space)):
        with suppress(FileNotFoundError):
            path.unlink()


def _read_description(folder: Path, space: str) -> dict[str, Any] | None:
    try:
        found = json.loads(_description(folder, space).read_bytes())
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def _vectors(folder: Path, space: str) -> Path:
    return folder / f"{space}.faiss"


def _description(folder: Path, space: str) -> Path:
    return folder / f"{space}.json"
