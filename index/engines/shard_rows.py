"""Vectors of single images, read from the shards that hold them."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Collection, Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from medsiglip.index.errors import CatalogError
from medsiglip.index.objects.object_store import ObjectStore
from medsiglip.index.vectors import Ids, ShardFolder, StoredShard, Vectors

# Shards that stay mapped; opening one reads the end of its file.
_OPEN = 256
# After so many rows of one shard, what was mapped of it does not stay in memory.
_MANY = 1024


class _OpenShard(NamedTuple):
    """A mapped shard with its ids in ascending order, and their places (None: as they are)."""

    stored: StoredShard
    ids: Ids
    places: NDArray[np.int64] | None


class ShardRows:
    """The vectors of one space by image id; the shards are mapped, not read. Safe for several threads."""

    def __init__(self, objects: ObjectStore, space: str, dimension: int) -> None:
        self.dimension = dimension
        self._folder = ShardFolder(objects, space)
        self._open: OrderedDict[str, _OpenShard] = OrderedDict()
        self._lock = threading.Lock()

    def vectors(self, ids: Ids, shards: Ids, names: Mapping[int, str]) -> Vectors:
        """The vectors of images, float32 [n, d], where `shards` [n] are the row ids of their shards and
        `names` the names of these.

        Raises `CatalogError` `missing-shard`, `newer-shard` or `corrupt-shard`, and `KeyError` with the ids
        that their shards lack.
        """
        found = np.empty((len(ids), self.dimension), np.float32)
        order = np.argsort(shards, kind="stable")
        which, starts = np.unique(shards[order], return_index=True)
        for shard_id, rows in zip(which.tolist(), np.split(order, starts[1:]), strict=False):
            held = self._opened(names[shard_id])
            places = np.searchsorted(held.ids, ids[rows])
            known = places < len(held.ids)
            known[known] = held.ids[places[known]] == ids[rows][known]
            if not known.all():
                raise KeyError(*ids[rows][~known].tolist())
            found[rows] = held.stored.vectors(places if held.places is None else held.places[places])
            if len(rows) >= _MANY:
                held.stored.let_go()
        return found

    def keep(self, names: Collection[str]) -> None:
        """Let go of all shards but these: the others are deleted."""
        with self._lock:
            for name in set(self._open).difference(names):
                del self._open[name]

    def _opened(self, name: str) -> _OpenShard:
        with self._lock:
            held = self._open.get(name)
            if held is not None:
                self._open.move_to_end(name)
                return held
        stored = self._folder.open(name)
        if stored.values.shape[1] != self.dimension:
            raise CatalogError(
                "corrupt-shard",
                f"The vector file {self._folder.file(name)} holds vectors of {stored.values.shape[1]} "
                f"values, not of {self.dimension}; restore it from a backup.",
            )
        is_sorted = bool((np.diff(stored.ids) > 0).all())
        places = None if is_sorted else np.argsort(stored.ids, kind="stable")
        held = _OpenShard(stored, stored.ids if places is None else stored.ids[places], places)
        with self._lock:
            self._open[name] = held
            while len(self._open) > _OPEN:
                self._open.popitem(last=False)
        return held
