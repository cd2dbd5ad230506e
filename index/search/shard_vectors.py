"""Vectors of some cases straight from their shards, for a process that holds no search structures.

Loading those costs time and memory with all that the archive holds; this costs what is asked for.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
from sqlalchemy import Connection, select

from medsiglip.index.catalogue.one_of import one_of
from medsiglip.index.catalogue.schema import images, shards
from medsiglip.index.catalogue.spaces import ActiveSpace
from medsiglip.index.records import Level
from medsiglip.index.vectors import Ids, ShardFolder, Vectors, unit_length


class VectorSource(Protocol):
    """Where the vectors of images and of what they belong to come from."""

    def vectors(self, level: Level, row_ids: Ids) -> Vectors:
        """Vectors of a level by row id, float32 [n, d] of unit length; `KeyError` for an unknown one."""
        ...


class ShardVectors:
    """Reads the shards that hold what is asked for, once for each question."""

    def __init__(self, connection: Connection, home: Path, active: ActiveSpace) -> None:
        self._connection = connection
        self._space_id = active.row_id
        self._dimension = active.space.dimension
        self._folder = ShardFolder(home, active.space.name)

    def vectors(self, level: Level, row_ids: Ids) -> Vectors:
        """As `VectorSource` says; raises also `CatalogError` `missing-shard` and `corrupt-shard`."""
        owner = {"image": images.c.id, "series": images.c.series_id, "study": images.c.study_id}[level]
        statement = (
            select(images.c.id, owner, shards.c.name)
            .join(shards, images.c.shard_id == shards.c.id)
            .where(images.c.space_id == self._space_id, one_of(owner, row_ids.tolist()))
            .order_by(images.c.id)
        )
        rows = self._connection.execute(statement).all()
        image_ids = np.array([row[0] for row in rows], np.int64)
        owners = np.array([row[1] for row in rows], np.int64)
        missing = np.setdiff1d(row_ids, owners)
        if len(missing):
            raise KeyError(f"{missing[:5].tolist()} not held")
        held = self._of_images(image_ids, [row[2] for row in rows])
        if level == "image":
            return held[np.searchsorted(image_ids, row_ids)]
        # Within a group by image id, as `medsiglip.index.search.loaded` has it: the sum depends on the order.
        means = [held[owners == row_id].mean(axis=0, dtype=np.float64) for row_id in row_ids]
        return unit_length(np.array(means, np.float32).reshape(len(row_ids), self._dimension))

    def _of_images(self, image_ids: Ids, names: Sequence[str]) -> Vectors:
        """The vectors of images in the order of their ids, each out of the shard of that name."""
        found = np.empty((len(image_ids), self._dimension), np.float32)
        places: dict[str, list[int]] = defaultdict(list)
        for place, name in enumerate(names):
            places[name].append(place)
        for name, theirs in places.items():
            held, vectors = self._folder.read(name, self._dimension)
            order = np.argsort(held)
            found[theirs] = vectors[order[np.searchsorted(held, image_ids[theirs], sorter=order)]]
        return found
