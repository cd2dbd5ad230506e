"""A vector engine of the tests' own, in this process: the protocol at its simplest."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from medsiglip.index.engines.engine import Candidates, Collection, Held, PushedFilter, VectorRows
from medsiglip.index.records import Level
from medsiglip.index.vectors import Dtype, Ids, Vectors


class MemoryEngine:
    """Rows by collection and id; what was put since the last `flush` is lost by `crash`."""

    name = "memory://test"
    dtype: Dtype = "float16"
    most = 8

    def __init__(self) -> None:
        self.rows: dict[Collection, dict[int, Vectors]] = {}
        self.fields: dict[tuple[Collection, int], dict[str, object]] = {}
        self.puts = 0
        self._safe: dict[Collection, dict[int, Vectors]] = {}

    def put(self, collection: Collection, rows: VectorRows) -> None:
        self.puts += len(rows.ids)
        held = self.rows.setdefault(collection, {})
        for place, (row_id, vector) in enumerate(zip(rows.ids.tolist(), rows.vectors, strict=True)):
            held[row_id] = vector.astype(self.dtype).astype(np.float32)
            self.fields[collection, row_id] = {name: column[place] for name, column in rows.fields.items()}

    def remove(self, collection: Collection, ids: Ids) -> None:
        for row_id in ids.tolist():
            self.rows.get(collection, {}).pop(row_id, None)

    def flush(self) -> None:
        self._safe = {collection: dict(rows) for collection, rows in self.rows.items()}

    def crash(self) -> None:
        self.rows = {collection: dict(rows) for collection, rows in self._safe.items()}

    def takes(self, level: Level, asked: PushedFilter) -> bool:
        return False

    def nearest(
        self, collection: Collection, queries: Vectors, count: int, filters: Sequence[PushedFilter] = ()
    ) -> Candidates:
        assert count <= self.most
        ids, vectors = self.held(collection, 0, 1 << 40)
        scores = queries @ vectors.T
        order = np.argsort(-scores, axis=1, kind="stable")[:, :count]
        return Candidates(
            tuple(ids[row] for row in order),
            tuple(one[row] for one, row in zip(scores, order, strict=True)),
        )

    def held(self, collection: Collection, after: int, limit: int) -> Held:
        rows = self.rows.get(collection, {})
        ids = sorted(row_id for row_id in rows if row_id > after)[:limit]
        vectors = [rows[row_id] for row_id in ids]
        empty = np.empty((0, collection.dimension), np.float32)
        return Held(np.array(ids, np.int64), np.stack(vectors) if vectors else empty)

    def count(self, collection: Collection) -> int:
        return len(self.rows.get(collection, {}))

    def spaces(self) -> list[int]:
        return sorted({one.space_id for one in self.rows})

    def drop(self, space_id: int) -> None:
        self.rows = {one: rows for one, rows in self.rows.items() if one.space_id != space_id}

    def close(self) -> None:
        pass


class ForgetfulEngine(MemoryEngine):
    """Has lost all but its newest rows, and says nothing of it."""

    def lose(self, kept: int) -> None:
        """Keep only so many rows of each collection."""
        for rows in self.rows.values():
            for row_id in sorted(rows)[:-kept]:
                del rows[row_id]


class StaleEngine(MemoryEngine):
    """Goes on to answer with rows that were removed."""

    def remove(self, collection: Collection, ids: Ids) -> None:
        pass
