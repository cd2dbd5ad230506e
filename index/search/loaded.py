"""The vectors of one space in memory as of one version of the catalogue: images and derived levels.

A state never changes for those who read it, so any number of threads may, while another thread makes the next
state from it (`medsiglip.index.search.space_loader`). What is derived is computed when it is first needed.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from medsiglip.index.catalogue.spaces import ActiveSpace
from medsiglip.index.engines.engine import PushedFilter
from medsiglip.index.records import Level
from medsiglip.index.search.engines.engine_search import EngineSearch
from medsiglip.index.search.group_level import GroupLevel, Members
from medsiglip.index.search.image_owners import ImageOwners
from medsiglip.index.search.kinds.vector_search import IdPlaces, Mask, Neighbours, VectorSearch, top
from medsiglip.index.search.set_to_set import StoredSets
from medsiglip.index.search.study_search import CANDIDATES, StudyHits, StudySearch
from medsiglip.index.vectors import Ids, Vectors


@dataclass(slots=True)
class DerivedLevel:
    """Series or studies of one state; members and means are computed when they are first needed."""

    means: GroupLevel
    members: Members | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)

    def ready(self, images: VectorSearch, image_ids: Ids, owners: Ids) -> tuple[GroupLevel, Members]:
        """Means that are up to date, and members; one thread at a time computes them."""
        with self.lock:
            if self.members is None:
                self.members = Members(image_ids, owners)
            self.means = self.means.renewed(images, image_ids, self.members)
            return self.means, self.members


@dataclass(frozen=True, slots=True)
class LoadedSpace:
    """What a space holds at a `version` of the catalogue: `index` has the vectors of images, `places` and
    `owners` are in its order, and `shards` are the names of all shards by row id.
    """

    active: ActiveSpace
    version: int
    index: VectorSearch
    places: IdPlaces
    owners_in_order: ImageOwners
    shards: Mapping[int, str]
    levels: Mapping[Level, DerivedLevel]
    samples: dict[tuple[Level, int], tuple[Ids, Vectors]] = field(default_factory=dict)

    @property
    def has_engine(self) -> bool:
        """Whether the vectors lie in an engine, not in memory."""
        return isinstance(self.index, EngineSearch)

    def group_level(self, level: Level) -> tuple[GroupLevel, Members]:
        """The means of `series` or `study`, and which images they are of."""
        return self.levels[level].ready(self.index, self.places.ids, self.owners_in_order.level(level))

    def _index(self, level: Level) -> VectorSearch:
        return self.index if level == "image" else self.group_level(level)[0].index

    def vectors(self, level: Level, row_ids: Ids) -> Vectors:
        """Vectors of a level by row id, float32 [n, d]; `KeyError` for an unknown one."""
        return self._index(level).rows(row_ids)

    def mask(self, level: Level, row_ids: Ids) -> Mask:
        """Which images, in the order of `index.ids`, are among these rows of a level or belong to one of
        them, bool [n]; unknown rows are ignored.
        """
        if level == "image":
            return self.places.mask(row_ids)
        return np.isin(self.owners_in_order.level(level), row_ids)

    def nearest(
        self,
        level: Level,
        queries: Vectors,
        k: int,
        allowed: Mask | None,
        without: Ids | None = None,
        *,
        exact: bool = True,
        filters: Sequence[PushedFilter] = (),
    ) -> Neighbours:
        """The min(k, m) nearest of each query at a level among the m rows that have an allowed image and are
        not among those `without`; `exact` as in `VectorSearch.search`. `filters` are those by which images
        are allowed, for an engine that applies them by itself.
        """
        index = self._index(level)
        if level == "image" or allowed is None:
            mask = allowed
        else:
            mask = np.isin(index.ids, np.unique(self.owners_in_order.level(level)[allowed]))
        if without is not None and len(without):
            kept = ~np.isin(index.ids, without)
            mask = kept if mask is None else mask & kept
        if isinstance(index, EngineSearch):
            return index.search(queries, k, mask, exact=exact, filters=filters)
        return index.search(queries, k, mask, exact=exact)

    def nearest_studies(
        self,
        query_sets: Sequence[Vectors],
        k: int,
        allowed: Mask | None = None,
        without: Sequence[Ids] | None = None,
        *,
        candidates: int = CANDIDATES,
    ) -> list[StudyHits]:
        """The min(k, m) studies most like each set of images, float32 [i, d] of unit length and i >= 1, set
        to set (`medsiglip.index.search.set_to_set`), among the m that have an allowed image and are not among
        those `without` (one array of row ids for each set).

        At first so many `candidates`, at least k, are compared image by image: those whose mean is most like
        the set's.
        """
        means, members = self.group_level("study")
        passing = None if allowed is None else np.unique(self.owners_in_order.study[allowed])
        search = StudySearch(self.index, means, members, passing, candidates, exact=not self.has_engine)
        left_out = without or [np.empty(0, np.int64)] * len(query_sets)
        return [search.nearest(one, k, theirs) for one, theirs in zip(query_sets, left_out, strict=True)]

    def study_sets(self, studies: Ids) -> StoredSets:
        """The images of studies, by row id; `KeyError` for an unknown one."""
        members = self.group_level("study")[1]
        unknown = np.setdiff1d(studies, members.groups)
        if len(unknown):
            raise KeyError(*unknown.tolist())
        sets = [self.places.ids[members.of(int(study))] for study in studies]
        return StoredSets.of(sets, self.index.rows)

    def sample(self, level: Level, count: int, left_out: Ids) -> Vectors:
        """At most `count` vectors of a level, float32 [m, d], spread evenly over all, without the owners of
        the images `left_out`.
        """
        index = self._index(level)
        ids = index.ids[~np.isin(index.ids, self.owners(level, left_out))]
        return index.rows(ids[:: -(-len(ids) // count) or 1])

    def kept_sample(self, level: Level, count: int) -> tuple[Ids, Vectors]:
        """Row ids and vectors of at most `count` rows of a level, spread evenly over all, gathered once and
        kept: rows that lie apart cost more to gather than to compare.
        """
        kept = self.samples.get((level, count))
        if kept is None:
            index = self._index(level)
            ids = index.ids[:: -(-len(index.ids) // count) or 1]
            kept = self.samples[level, count] = ids, index.rows(ids)
        return kept

    def owners(self, level: Level, image_ids: Ids) -> Ids:
        """The row ids of the series or studies of images; unknown images are left out."""
        if level == "image":
            return image_ids
        held = image_ids[np.isin(image_ids, self.places.ids)]
        return self.owners_in_order.level(level)[self.places.of(held)]

    def best_images(self, level: Level, query: Vectors, groups: Ids, allowed: Mask | None) -> Ids:
        """The allowed image of each group that is most like the query; of equal ones the lowest id."""
        if level == "image":
            return groups
        members, best = self.group_level(level)[1], []
        for places in (members.of(int(group)) for group in groups):
            ids = self.places.ids[places if allowed is None else places[allowed[places]]]
            best.append(top(query[None], ids, self.index.rows(ids), 1)[1][0, 0])
        return np.array(best, np.int64)
