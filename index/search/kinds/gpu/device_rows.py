"""Rows on a device: what was moved there at one time, and added to it since."""

from __future__ import annotations

import itertools
import weakref
from typing import Any

import numpy as np

from medsiglip.index.search.kinds.gpu.device import MOST_RESULTS
from medsiglip.index.search.kinds.gpu.half_bounds import Rounding, half
from medsiglip.index.search.kinds.gpu.owner import DeviceOwner
from medsiglip.index.search.kinds.gpu.recipes import SEGMENT, Recipe
from medsiglip.index.vectors import Ids, Vectors

_NUMBERS = itertools.count()


class DeviceRows:
    """Slots of rows, made by a recipe. `number` is its own; `stamps` int64 [s] are those of the rows in the
    slots, and `rounding` bounds what float16 takes off them. One thread adds; others may search meanwhile.

    `probes` is how many lists a search goes through, where there are lists. The memory on the device is
    freed, by its owner, when nothing refers to this any more.
    """

    def __init__(
        self, owner: DeviceOwner, recipe: Recipe, dimension: int, trained: Any = None, planned: int = 0
    ) -> None:
        self.owner, self.recipe, self.dimension = owner, recipe, dimension
        self.number = next(_NUMBERS)
        self.stamps: Ids = np.empty(0, np.int64)
        self.rounding = Rounding()
        self.lists = 0 if trained is None else int(trained.nlist)
        self.probes = self.lists
        self._segments: list[Any] = []
        weakref.finalize(self, owner.release, self._segments).atexit = False
        if trained is not None:
            self._segments.append(owner.call(lambda: owner.device.lists(trained, planned)))

    @property
    def spec(self) -> str:
        """As in `VectorSearch`."""
        return self.recipe.spec(self.dimension, self.lists)

    def append(self, stamps: Ids, rows: Vectors) -> None:
        """Add rows float32 [m, d] with stamps [m].

        Raises `DeviceError`; then some of them may have been added, and all of this is to be dropped.
        """
        rows = np.ascontiguousarray(rows, np.float32)
        moved = rows
        if self.recipe.proves:
            # Rounded here, so that what a device's rounding would do is known.
            moved = half(rows)
            self.rounding = self.rounding.with_rows(rows, moved)
        self.owner.call(lambda: self._add(moved))
        self.stamps = np.concatenate([self.stamps, stamps])

    # In the owner's thread

    def _add(self, rows: Vectors) -> None:
        done = 0
        while done < len(rows):
            if not self.lists and (not self._segments or self._segments[-1].ntotal >= SEGMENT):
                self._segments.append(self.owner.device.half_flat(self.dimension))
            last = self._segments[-1]
            part = rows[done : done + SEGMENT - last.ntotal] if not self.lists else rows
            last.add(part)
            done += len(part)

    def find(self, queries: Vectors, fetch: int) -> tuple[Vectors, Ids]:
        """As in `Searchable`."""
        fetch = min(fetch, MOST_RESULTS)
        parameters = None
        if self.lists:
            parameters = _faiss().SearchParametersIVF(nprobe=self.probes)
        scores = np.empty((len(queries), 0), np.float32)
        slots = np.empty((len(queries), 0), np.int64)
        first = 0
        for segment in self._segments:
            if segment.ntotal:
                few = min(fetch, segment.ntotal)
                theirs, found = segment.search(queries, few, params=parameters)
                scores = np.concatenate([scores, theirs], axis=1)
                slots = np.concatenate([slots, np.where(found >= 0, found + first, -1)], axis=1)
                first += segment.ntotal
        if len(self._segments) > 1:
            order = np.argsort(-scores, axis=1, kind="stable")[:, :fetch]
            scores = np.take_along_axis(scores, order, axis=1)
            slots = np.take_along_axis(slots, order, axis=1)
        return scores, slots


def _faiss() -> Any:
    # FAISS's own type stubs lack half of its names.
    import faiss

    return faiss
