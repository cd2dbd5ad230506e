"""Which shard, series and study each image of an index belongs to, as arrays in the order of the index."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from medsiglip.index.records import Level
from medsiglip.index.vectors import Ids

_NONE = np.empty(0, np.int64)


class ImageOwners(NamedTuple):
    """Row ids int64 [n] of the shard, series and study of each image. The arrays are never changed."""

    shard: Ids = _NONE
    series: Ids = _NONE
    study: Ids = _NONE

    def level(self, level: Level) -> Ids:
        """The row ids of a level, `series` or `study`."""
        return self.series if level == "series" else self.study

    def keep(self, mask: NDArray[np.bool_]) -> ImageOwners:
        """Without the images where `mask`, bool [n], is false."""
        return ImageOwners(*(held[mask] for held in self))

    def move(self, places: NDArray[np.int64], new: ImageOwners) -> ImageOwners:
        """With other owners of the images at some places."""
        moved = [held.copy() for held in self]
        for held, values in zip(moved, new, strict=True):
            held[places] = values
        return ImageOwners(*moved)
