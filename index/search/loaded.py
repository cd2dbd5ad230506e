"""The vectors of one space in memory, in step with the catalogue: images and derived levels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, select

from medsiglip.index.catalogue.database import Database
from medsiglip.index.catalogue.rows import chunks
from medsiglip.index.catalogue.schema import home as home_table
from medsiglip.index.catalogue.schema import images, shards
from medsiglip.index.catalogue.spaces import ActiveSpace
from medsiglip.index.errors import CatalogError
from medsiglip.index.records import Level
from medsiglip.index.search.kinds.index_kinds import DEFAULT
from medsiglip.index.search.kinds.vector_search import IdPlaces, Mask, Neighbours, VectorSearch, top
from medsiglip.index.search.query_sample import QuerySample
from medsiglip.index.search.snapshots import Snapshot
from medsiglip.index.vectors import Ids, ShardFolder, Vectors, mean_directions

# Another process may merge shards between the reading of a shard's name and of its file; then the catalogue
# has changed.
_ATTEMPTS = 5
# A snapshot is written when at least this part of the rows would otherwise be read from shards again.
_STALE_PART = 0.1


class LoadedSpace:
    """Search structures of one space; not for two threads at once."""

    def __init__(self, database: Database, active: ActiveSpace) -> None:
        self._database = database
        self.row_id = active.row_id
        self._dimension = active.space.dimension
        self._folder = ShardFolder(database.home, active.space.name)
        self._snapshot = Snapshot(database.home, active.space.name, DEFAULT)
        self._version: int | None = None
        self._shards: dict[int, str] = {}
        self._saved: set[str] = set()
        self._sample_file = QuerySample(database.home, active.space.name)
        self._query_sample = self._sample_file.read(self._dimension)
        self.index = DEFAULT.new(self._dimension, self._query_sample)
        # Of each image, in the order of `_places`: the row ids of its shard, series and study.
        self._places = IdPlaces()
        self._shard_of = np.empty(0, np.int64)
        self._owners: dict[Level, Ids] = {"series": np.empty(0, np.int64), "study": np.empty(0, np.int64)}
        self._levels: dict[Level, GroupLevel] = {}

    def refresh(self) -> None:
        """Follow what this or any other process committed since the last call.

        Raises `CatalogError` `missing-shard` or `corrupt-shard`.
        """
        for attempt in range(_ATTEMPTS):
            with self._database.read() as connection:
                version = connection.execute(select(home_table.c.version)).scalar_one()
                if version == self._version:
                    return
                try:
                    self._follow(connection)
                except CatalogError as error:
                    if error.code != "missing-shard" or attempt == _ATTEMPTS - 1:
                        raise
                    continue
            self._version = version
            return

    def _follow(self, connection: Connection) -> None:
        statement = select(shards.c.id, shards.c.name).where(shards.c.space_id == self.row_id)
        current = {row.id: row.name for row in connection.execute(statement.order_by(shards.c.id))}
        if self._version is None:
            self._load_snapshot(set(current.values()))
        for shard_id in current.keys() - self._shards.keys():
            self._take_in(connection, shard_id, current[shard_id])
        gone = ~np.isin(self._shard_of, np.fromiter(current, np.int64, len(current)))
        if gone.any():
            self._changed(np.flatnonzero(gone))
            self.index.remove(self._places.ids[gone])
            self._places.keep(~gone)
            self._shard_of = self._shard_of[~gone]
            self._owners = {level: owners[~gone] for level, owners in self._owners.items()}
        self._shards = current

    def _load_snapshot(self, live: set[str]) -> None:
        """Begin with a snapshot, unless one of its shards does not exist any more."""
        saved = self._snapshot.shards()
        if saved is None or not saved <= live:
            return
        loaded = self._snapshot.load(self._dimension)
        if loaded is None:
            return
        self.index = loaded
        self._saved = saved
        self._places = IdPlaces()
        self._places.add(loaded.ids)
        self._shard_of = np.full(len(loaded.ids), -1, np.int64)
        self._owners = {level: np.full(len(loaded.ids), -1, np.int64) for level in self._owners}

    def _take_in(self, connection: Connection, shard_id: int, name: str) -> None:
        """Add the images of a shard; those that came with a snapshot or another shard only change owners."""
        statement = select(images.c.id, images.c.series_id, images.c.study_id)
        rows = [tuple(row) for row in connection.execute(statement.where(images.c.shard_id == shard_id))]
        listed = np.array(rows, np.int64).reshape(-1, 3)
        known = np.isin(listed[:, 0], self._places.ids)
        new = listed[~known]
        if len(new):
            image_ids, vectors = self._folder.read(name, self._dimension)
            order = np.argsort(image_ids)
            new = new[np.isin(new[:, 0], image_ids)]
            self.index.add(new[:, 0], vectors[order[np.searchsorted(image_ids, new[:, 0], sorter=order)]])
            self._places.add(new[:, 0])
            self._shard_of = np.concatenate([self._shard_of, np.full(len(new), shard_id)])
            self._owners["series"] = np.concatenate([self._owners["series"], new[:, 1]])
            self._owners["study"] = np.concatenate([self._owners["study"], new[:, 2]])
            self._changed(np.arange(len(self._shard_of) - len(new), len(self._shard_of)))
        moved = listed[known]
        places = self._places.of(moved[:, 0])
        self._shard_of[places] = shard_id
        self._owners["series"][places] = moved[:, 1]
        self._owners["study"][places] = moved[:, 2]

    def _changed(self, places: NDArray[np.int64]) -> None:
        for level, held in self._levels.items():
            held.stale(self._owners[level][places])

    def _group_level(self, level: Level) -> GroupLevel:
        """The derived vectors of a level, up to date."""
        found = self._levels.get(level)
        if found is None:
            found = self._levels[level] = GroupLevel(DEFAULT.new(self._dimension, self._query_sample))
            found.stale(self._owners[level])
        found.renew(self.index, self._places.ids, self._owners[level])
        return found

    def _index(self, level: Level) -> VectorSearch:
        return self.index if level == "image" else self._group_level(level).index

    def vectors(self, level: Level, row_ids: Ids) -> Vectors:
        """Vectors of a level by row id, float32 [n, d]; `KeyError` for an unknown one."""
        return self._index(level).rows(row_ids)

    def mask(self, level: Level, row_ids: Ids) -> Mask:
        """Which images, in the order of `index.ids`, are among these rows of a level or belong to one of
        them, bool [n]; unknown rows are ignored.
        """
        if level == "image":
            return self._places.mask(row_ids)
        return np.isin(self._owners[level], row_ids)

    def nearest(
        self,
        level: Level,
        queries: Vectors,
        k: int,
        allowed: Mask | None,
        without: Ids | None = None,
        *,
        exact: bool = True,
    ) -> Neighbours:
        """The min(k, m) nearest of each query at a level among the m rows that have an allowed image and are
        not among those `without`; `exact` as in `VectorSearch.search`.
        """
        index = self._index(level)
        if level == "image" or allowed is None:
            mask = allowed
        else:
            mask = np.isin(index.ids, np.unique(self._owners[level][allowed]))
        if without is not None and len(without):
            kept = ~np.isin(index.ids, without)
            mask = kept if mask is None else mask & kept
        return index.search(queries, k, mask, exact=exact)

    def sample(self, level: Level, count: int, left_out: Ids) -> Vectors:
        """At most `count` vectors of a level, float32 [m, d], spread evenly over all, without the owners of
        the images `left_out`.
        """
        index = self._index(level)
        ids = index.ids[~np.isin(index.ids, self.owners(level, left_out))]
        return index.rows(ids[:: -(-len(ids) // count) or 1])

    def owners(self, level: Level, image_ids: Ids) -> Ids:
        """The row ids of the series or studies of images; unknown images are left out."""
        if level == "image":
            return image_ids
        held = image_ids[np.isin(image_ids, self._places.ids)]
        return self._owners[level][self._places.of(held)]

    def best_images(self, level: Level, query: Vectors, groups: Ids, allowed: Mask | None) -> Ids:
        """The allowed image of each group that is most like the query; of equal ones the lowest id."""
        if level == "image":
            return groups
        best = []
        for members in (self._group_level(level).members(int(group)) for group in groups):
            ids = self._places.ids[members if allowed is None else members[allowed[members]]]
            best.append(top(query[None], ids, self.index.rows(ids), 1)[1][0, 0])
        return np.array(best, np.int64)

    def save(self) -> None:
        """Write a snapshot if it would save the next start enough reading.

        A home that cannot be written gets none: snapshots are optional.
        """
        if self._is_of_former_sample():
            return
        names = set(self._shards.values())
        unsaved = [shard_id for shard_id, name in self._shards.items() if name not in self._saved]
        stale = int(np.isin(self._shard_of, unsaved).sum())
        count = len(self._shard_of)
        if not count or (stale <= _STALE_PART * count and self._saved <= names):
            return
        with suppress(OSError):
            self._snapshot.save(self.index, self._dimension, names)
            self._saved = names
        self._drop_outdated_snapshot()

    def _is_of_former_sample(self) -> bool:
        """Whether another process has rebuilt the index to suit other queries: its snapshot is the better."""
        sample, own = self._sample_file.read(self._dimension), self._query_sample
        return sample is not None and (own is None or not np.array_equal(sample, own))

    def _drop_outdated_snapshot(self) -> None:
        """Delete the snapshot that was just written if one of its shards does not exist any more: it may hold
        vectors of a patient who was deleted meanwhile. If the database cannot tell, it is deleted too.
        """
        held, live = self._snapshot.shards(), set[str]()
        if held is None:
            return
        statement = select(shards.c.name).where(shards.c.space_id == self.row_id)
        with suppress(CatalogError), self._database.read() as connection:
            live = set(connection.execute(statement).scalars())
        if not held <= live:
            with suppress(OSError):
                self._snapshot.discard()


class GroupLevel:
    """Series or studies: the normalised means of their images' vectors, renewed when their images change."""

    def __init__(self, index: VectorSearch) -> None:
        self.index = index
        self._stale: list[Ids] = []
        self._order = np.empty(0, np.int64)
        self._starts = np.empty(0, np.int64)
        self._groups = np.empty(0, np.int64)

    def stale(self, groups: Ids) -> None:
        """Note groups whose images changed."""
        if len(groups):
            self._stale.append(np.unique(groups))

    def renew(self, images: VectorSearch, image_ids: Ids, owners: Ids) -> None:
        """Compute stale vectors again; `owners` [n] are the groups of the images `image_ids` [n]."""
        if not self._stale:
            return
        changed = np.unique(np.concatenate(self._stale))
        self._stale = []
        # Within a group by image id, so that the vector does not depend on the order of arrival.
        self._order = np.lexsort((image_ids, owners))
        self._groups, self._starts = np.unique(owners[self._order], return_index=True)
        self.index.remove(changed)
        present = changed[np.isin(changed, self._groups)]
        for chunk in chunks(present.tolist(), 1024):
            self.index.add(
                np.array(chunk, np.int64), mean_directions(self._vectors(images, image_ids, chunk))
            )

    def _vectors(self, images: VectorSearch, image_ids: Ids, groups: Sequence[int]) -> Iterator[Vectors]:
        """The vectors of the images of each group, looked up for a few groups at once."""
        for few in chunks(groups, 16):
            members = [self.members(group) for group in few]
            vectors = images.rows(image_ids[np.concatenate(members)])
            yield from np.split(vectors, np.cumsum([len(one) for one in members])[:-1])

    def members(self, group: int) -> NDArray[np.int64]:
        """The places, among the images of the last `renew`, of those that belong to a group."""
        place = int(np.searchsorted(self._groups, group))
        ends = self._starts[place + 1] if place + 1 < len(self._starts) else len(self._order)
        return self._order[self._starts[place] : ends]
