"""`VectorSearch` with its rows on a GPU, and on the host wherever the GPU does not do."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO, Self

import numpy as np

from medsiglip.index.info_records import MeasuredRecall
from medsiglip.index.search.kinds.bounded import BoundedIndex, read_bounded
from medsiglip.index.search.kinds.bounded_search import ProvenShare
from medsiglip.index.search.kinds.gpu.device import MOST_RESULTS, DeviceError, find_device
from medsiglip.index.search.kinds.gpu.device_rows import DeviceRows
from medsiglip.index.search.kinds.gpu.device_search import DeviceSearch, first_fetch
from medsiglip.index.search.kinds.gpu.owner import MOST_QUERIES, owner_of
from medsiglip.index.search.kinds.gpu.placement import Placement
from medsiglip.index.search.kinds.gpu.recipes import Recipe
from medsiglip.index.search.kinds.gpu.residence import MOST_WAITING, Residence
from medsiglip.index.search.kinds.memory_held import HeldBytes
from medsiglip.index.search.kinds.vector_search import Mask, Neighbours
from medsiglip.index.vectors import Ids, Vectors

LEAST = 16_384
"""Rows from which on a device is used: fewer are searched on the host in less time than a device answers."""
# Up to this many allowed rows are gathered and compared on the host.
_GATHERED = 4096
# Lists are chosen for searches of all rows; with more rows left out than this the host answers, exactly.
_LEFT_OUT = 512
# An index that is asked once, as at the command line, would be moved to a device for nothing.
_SEARCHES = 2


class GpuIndex:
    """`VectorSearch` by a recipe on a device. The host holds the rows too, as a `BoundedIndex`, whose file
    is this one's as well.

    A flat recipe answers exactly: candidates by float16, ranked by the rows, with a proof; what is not proven
    is searched on the host. Recipes with lists answer on the device only where `exact` is false.
    """

    def __init__(self, host: BoundedIndex, residence: Residence) -> None:
        self._host = host
        self.residence = residence
        self._stamps = residence.stamps(len(host.ids))
        # How the rows are placed, with the number of the rows on the device and of their slots.
        self._placed: tuple[int, int, Placement] | None = None
        self._waiting: tuple[Placement, Vectors] | None = None
        self._searches = 0
        self._version = residence.changed()

    @property
    def spec(self) -> str:
        """As in `VectorSearch`."""
        rows = self.residence.rows
        return self._host.spec if rows is None else rows.spec

    @property
    def device(self) -> str:
        """Where searches run: `cuda:0`, or `cpu`."""
        rows = self.residence.rows
        return "cpu" if rows is None else rows.owner.device.name

    @property
    def device_reason(self) -> str | None:
        """Why the device is `cpu`; None where it is not."""
        if self.residence.rows is not None:
            return None
        if self.residence.reason:
            return self.residence.reason
        if len(self.ids) < self.residence.least:
            return f"fewer than {self.residence.least:,} vectors are searched faster on the processor"
        return "the vectors are not on the device yet"

    @property
    def ids(self) -> Ids:
        """As in `VectorSearch`."""
        return self._host.ids

    def rows(self, ids: Ids) -> Vectors:
        """As in `VectorSearch`."""
        return self._host.rows(ids)

    @property
    def share(self) -> ProvenShare:
        """How many answers were proven, of all exact ones; those of the device among them."""
        return self._host.share

    @property
    def approximate(self) -> int:
        """How many answers were approximate."""
        return self.residence.approximate

    @property
    def measured_recall(self) -> MeasuredRecall | None:
        """The recall of lists on the device when they were made; None where there are none."""
        return None if self.residence.rows is None else self.residence.recall

    def memory(self) -> HeldBytes:
        """As in `VectorSearch`; of the host."""
        return self._host.memory()

    def add(self, ids: Ids, vectors: Vectors) -> None:
        """As in `VectorSearch`; the rows move to the device in the background."""
        if not len(ids):
            return
        placed, first = self._placed, len(self.ids)
        self._version = self.residence.changed()
        self._host.add(ids, vectors)
        self._stamps = np.concatenate([self._stamps, self.residence.stamps(len(ids))])
        if placed is not None:
            self._placed = *placed[:2], placed[2].with_rows(first, len(ids))

    def remove(self, ids: Ids) -> None:
        """As in `VectorSearch`; on the device they are tombstones until it is made anew."""
        kept = ~np.isin(self.ids, ids)
        if kept.all():
            return
        placed = self._placed
        self._version = self.residence.changed()
        self._host.remove(ids)
        self._stamps = self._stamps[kept]
        if placed is not None:
            self._placed = *placed[:2], placed[2].kept(kept)

    def copy(self) -> Self:
        """An index with the same rows, without copying them; changes of one do not show in the other."""
        made = type(self).__new__(type(self))
        made.__dict__.update(self.__dict__)
        made._host = self._host.copy()
        return made

    def learn(self) -> None:
        """As in `VectorSearch`: of the codes on the host."""
        self._host.learn()

    def move(self) -> None:
        """Begin to move to the device what is not there, in the background."""
        host = self._host.copy()
        host.share = ProvenShare()  # trials are no answers
        self.residence.move(host, self._stamps)

    # Search

    def search(
        self, queries: Vectors, k: int, allowed: Mask | None = None, *, exact: bool = True
    ) -> Neighbours:
        """As in `VectorSearch`."""
        queries = np.ascontiguousarray(queries, np.float32)
        self._searches += 1
        rows = self.residence.rows
        placement = None if rows is None else self._placement(rows)
        if self._searches >= _SEARCHES and self.residence.wants(self._version, len(self.ids), placement):
            self.move()
        if rows is not None and placement is not None and len(queries):
            fetch = self._fetch(rows, placement, min(k, len(self.ids)), allowed, exact)
            if fetch is not None:
                try:
                    return self._on_device(rows, placement, queries, k, allowed, exact, fetch)
                except DeviceError as error:
                    self.residence.give_up(error, rows)
        return self._host.search(queries, k, allowed, exact=exact)

    def _fetch(
        self, rows: DeviceRows, placement: Placement, k: int, allowed: Mask | None, exact: bool
    ) -> int | None:
        """How many candidates to ask the device for first; None where the host costs less."""
        if (exact and not rows.recipe.proves) or len(placement.waiting) > MOST_WAITING:
            return None
        count = len(self.ids) if allowed is None else int(allowed.sum())
        if k < 1 or count <= max(k, _GATHERED if allowed is not None else 0):
            return None
        if not rows.recipe.proves and len(self.ids) - count > _LEFT_OUT:
            return None
        fetch = first_fetch(rows, placement, k, count / len(self.ids))
        return fetch if fetch <= MOST_RESULTS else None

    def _on_device(
        self,
        rows: DeviceRows,
        placement: Placement,
        queries: Vectors,
        k: int,
        allowed: Mask | None,
        exact: bool,
        fetch: int,
    ) -> Neighbours:
        waiting = self._waiting_rows(placement)
        parts = [queries[start : start + MOST_QUERIES] for start in range(0, len(queries), MOST_QUERIES)]
        searches = [
            DeviceSearch(self._host, rows, placement, waiting, few, k, allowed, exact) for few in parts
        ]
        found = [one.answer(fetch) for one in searches]
        how = tuple(one for part in found for one in part.how)
        scores, ids, looked_at = (
            np.concatenate([getattr(part, name) for part in found]) for name in ("scores", "ids", "looked_at")
        )
        approximate, settled = how.count("approximate"), sum(one.settled for one in searches)
        self.residence.approximate += approximate
        # The host counts those that it gave itself.
        self.share.took_in(settled - approximate, settled - approximate)
        return Neighbours(scores, ids, how, looked_at)

    def _placement(self, rows: DeviceRows) -> Placement:
        held, stamps = self._placed, rows.stamps
        if held is not None and held[:2] == (rows.number, len(stamps)):
            return held[2]
        placement = Placement.of(self._stamps, stamps)
        self._placed = rows.number, len(stamps), placement
        return placement

    def _waiting_rows(self, placement: Placement) -> Vectors:
        held = self._waiting
        if held is None or held[0] is not placement:
            held = self._waiting = placement, self._host.rows(self.ids[placement.waiting])
        return held[1]

    # Files

    def write(self, stream: BinaryIO) -> None:
        """Write the rows on the host, as `BoundedIndex` does."""
        self._host.write(stream)


def new_gpu_index(
    recipe: Recipe, dimension: int, query_sample: Vectors | None = None, *, least: int | None = None
) -> GpuIndex:
    """An empty index on the first GPU, from `least` rows on (None: `LEAST`); on the host, with the reason,
    where there is none.
    """
    return GpuIndex(BoundedIndex(dimension, query_sample), _residence(recipe, least))


def read_gpu_index(
    recipe: Recipe, path: Path, dimension: int, *, least: int | None = None
) -> GpuIndex | None:
    """The index in a file of `GpuIndex.write` or `BoundedIndex.write`; None as in `read_bounded`."""
    host = read_bounded(path, dimension)
    return None if host is None else GpuIndex(host, _residence(recipe, least))


def _residence(recipe: Recipe, least: int | None) -> Residence:
    device, reason = find_device()
    owner = None if device is None else owner_of(device)
    return Residence(recipe, owner, reason, LEAST if least is None else least)
