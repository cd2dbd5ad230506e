"""Which rows of an index are on the device, and where.

Rows of a device are slots: they are added at the end and never taken away, since FAISS has no `remove_ids` on
a GPU (facebookresearch/faiss, issue 584). Each row gets a stamp when it is added to the index, which no other
row ever has, also one that comes later under the same id. A slot whose stamp the index does not have is a
tombstone; a row whose stamp no slot has waits on the host.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from medsiglip.index.vectors import Ids


@dataclass(frozen=True, slots=True, eq=False)
class Placement:
    """`place_of` int64 [s] is the place of the row in each slot, -1 for a tombstone; `waiting` int64 [w] are
    the places of rows in no slot, ascending. `tombstones` counts the slots without a row. Never changed.
    """

    place_of: Ids
    waiting: Ids
    tombstones: int = field(init=False)
    _with_none: Ids = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "tombstones", int((self.place_of < 0).sum()))
        object.__setattr__(self, "_with_none", np.append(self.place_of, -1))

    @classmethod
    def of(cls, stamps: Ids, slot_stamps: Ids) -> Placement:
        """By the stamps of rows [n], ascending, and of slots [s]."""
        found = np.searchsorted(stamps, slot_stamps)
        known = found < len(stamps)
        known[known] = stamps[found[known]] == slot_stamps[known]
        place_of = np.where(known, found, -1).astype(np.int64)
        placed = np.zeros(len(stamps), np.bool_)
        placed[place_of[known]] = True
        return cls(place_of, np.flatnonzero(~placed))

    def with_rows(self, first: int, count: int) -> Placement:
        """After rows were added at the places from `first` on."""
        return Placement(self.place_of, np.concatenate([self.waiting, np.arange(first, first + count)]))

    def kept(self, mask: NDArray[np.bool_]) -> Placement:
        """After the rows where `mask`, bool [n], is false were removed."""
        moved = np.where(mask, np.cumsum(mask) - 1, -1).astype(np.int64)
        # The one more is for slot -1.
        place_of = np.append(moved, -1)[self.place_of]
        return Placement(place_of, moved[self.waiting[mask[self.waiting]]])

    def places(self, slots: Ids) -> Ids:
        """The places of slots, -1 for tombstones, for -1, and for slots that came later."""
        unknown = (slots < 0) | (slots >= len(self.place_of))
        # What is unknown finds the one more at the end.
        return self._with_none[np.where(unknown, -1, slots)]
