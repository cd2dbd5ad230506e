"""Series or studies as vectors: the normalised means of their images' vectors, renewed by id.

Nothing here changes once it is made: what comes next is another object that shares what it can.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from medsiglip.index.group_means import NO_SPREAD, Members, Spread, group_means
from medsiglip.index.search.kinds.vector_search import VectorSearch
from medsiglip.index.vectors import Ids

__all__ = ["NO_SPREAD", "GroupLevel", "Members", "Spread"]

_NONE = np.empty(0, np.int64)


@dataclass(frozen=True, slots=True)
class GroupLevel:
    """The means of a level in `index`, except those of the groups `stale`, whose images changed since."""

    index: VectorSearch
    spread: Spread = NO_SPREAD
    stale: Ids = field(default_factory=lambda: _NONE)

    def changed(self, groups: Ids) -> GroupLevel:
        """The same after changes of these groups."""
        if not len(groups):
            return self
        return replace(self, stale=np.unique(np.concatenate([self.stale, groups])))

    def renewed(self, images: VectorSearch, image_ids: Ids, members: Members) -> GroupLevel:
        """With the stale vectors computed again, from those of images [n] in the order of `image_ids`."""
        if not len(self.stale):
            return self
        index = self.index.copy()
        index.remove(self.stale)
        spreads = [NO_SPREAD]
        present = self.stale[np.isin(self.stale, members.groups)]
        for groups, means, spread in group_means(images.rows, image_ids, members, present):
            index.add(groups, means)
            spreads.append(spread)
        new = Spread(*map(np.concatenate, zip(*spreads, strict=True)))
        return GroupLevel(index, self.spread.renewed(self.stale, new))
