"""The vectors of one space in memory, in step with the catalogue: images and derived levels."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, select

from medsiglip.index.catalogue.database import Database
from medsiglip.index.catalogue.rows import portions
from medsiglip.index.catalogue.schema import home as home_table
from medsiglip.index.catalogue.schema import images, shards
from medsiglip.index.errors import CatalogError
from medsiglip.index.records import Level
from medsiglip.index.search.exact import top
from medsiglip.index.search.faiss_index import FaissIndex, discard_snapshot, snapshot_shards
from medsiglip.index.vectors import Ids, ShardFolder, Vectors, unit_length

# A shard can go between reading its name and opening it, when another process merges shards; then there is
# news.
_ATTEMPTS = 5
# Below this part of all rows, comparing with the gathered rows costs less than a scan of everything.
_GATHER_PART = 0.25
# A snapshot is worth writing when at least this part of the rows would otherwise be read from shards again.
_STALE_PART = 0.1


class LoadedSpace:
    """Search structures of one space; not for two threads at once."""

    def __init__(self, database: Database, space_id: int, space: str, dimension: int) -> None:
        self._database = database
        self._space_id = space_id
        self._space = space
        self._dimension = dimension
        self._folder = ShardFolder(database.home, space)
        self._snapshots = database.home / "faiss"
        self._version: int | None = None
        self._shards: dict[int, str] = {}
        self._saved: set[str] = set()
        self.index = FaissIndex(dimension)
        self._shard_of = np.empty(0, np.int64)
        self._owners: dict[Level, Ids] = {"series": np.empty(0, np.int64), "study": np.empty(0, np.int64)}
        self._levels: dict[Level, GroupLevel] = {}

    def refresh(self) -> None:
        """Take in what this or any other process committed since.

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
        statement = select(shards.c.id, shards.c.name).where(shards.c.space_id == self._space_id)
        current = {row.id: row.name for row in connection.execute(statement.order_by(shards.c.id))}
        if self._version is None:
            self._load_snapshot(set(current.values()))
        for shard_id in current.keys() - self._shards.keys():
            self._take_in(connection, shard_id, current[shard_id])
        gone = ~np.isin(self._shard_of, np.fromiter(current, np.int64, len(current)))
        if gone.any():
            self._changed(np.flatnonzero(gone))
            self.index.remove(self.index.ids[gone])
            self._shard_of = self._shard_of[~gone]
            self._owners = {level: owners[~gone] for level, owners in self._owners.items()}
        self._shards = current

    def _load_snapshot(self, live: set[str]) -> None:
        """Begin with what a snapshot holds, unless it is of a shard that is no more."""
        saved = snapshot_shards(self._snapshots, self._space)
        if saved is None or not saved <= live:
            return
        loaded = FaissIndex.load(self._snapshots, self._space, self._dimension)
        if loaded is None:
            return
        self.index = loaded
        self._saved = saved
        self._shard_of = np.full(len(loaded), -1, np.int64)
        self._owners = {level: np.full(len(loaded), -1, np.int64) for level in self._owners}

    def _take_in(self, connection: Connection, shard_id: int, name: str) -> None:
        """Hold the images of a shard; those that came with a snapshot or another shard only change their
        owner.
        """
        statement = select(images.c.id, images.c.series_id, images.c.study_id)
        rows = [tuple(row) for row in connection.execute(statement.where(images.c.shard_id == shard_id))]
        listed = np.array(rows, np.int64).reshape(-1, 3)
        known = np.isin(listed[:, 0], self.index.ids)
        new = listed[~known]
        if len(new):
            image_ids, vectors = self._folder.read(name, self._dimension)
            order = np.argsort(image_ids)
            new = new[np.isin(new[:, 0], image_ids)]
            self.index.add(new[:, 0], vectors[order[np.searchsorted(image_ids, new[:, 0], sorter=order)]])
            self._shard_of = np.concatenate([self._shard_of, np.full(len(new), shard_id)])
            self._owners["series"] = np.concatenate([self._owners["series"], new[:, 1]])
            self._owners["study"] = np.concatenate([self._owners["study"], new[:, 2]])
            self._changed(np.arange(len(self._shard_of) - len(new), len(self._shard_of)))
        moved = listed[known]
        places = self.index.places(moved[:, 0])
        self._shard_of[places] = shard_id
        self._owners["series"][places] = moved[:, 1]
        self._owners["study"][places] = moved[:, 2]

    def _changed(self, places: NDArray[np.int64]) -> None:
        for level, held in self._levels.items():
            held.stale(self._owners[level][places])

    def level(self, level: Level) -> GroupLevel:
        """The derived vectors of a level, up to date."""
        found = self._levels.get(level)
        if found is None:
            found = self._levels[level] = GroupLevel(self._dimension)
            found.stale(self._owners[level])
        found.renew(self.index, self._owners[level])
        return found

    def vectors(self, level: Level, row_ids: Ids) -> Vectors:
        """Vectors of a level by row id, float32 [n, d]; `KeyError` for an unknown one."""
        index = self.index if level == "image" else self.level(level).index
        return index.rows(row_ids)

    def nearest(self, level: Level, queries: Vectors, k: int, allowed: Ids | None) -> tuple[Vectors, Ids]:
        """Scores and ids [q, min(k, m)] at a level, exact among the m allowed ids, or among all."""
        index = self.index if level == "image" else self.level(level).index
        if allowed is None:
            return index.search(queries, k)
        allowed = np.intersect1d(allowed, index.ids)
        if len(allowed) <= _GATHER_PART * len(index):
            return top(queries, allowed, index.rows(allowed), k)
        k = min(k, len(allowed))
        scores = np.empty((len(queries), k), np.float32)
        ids = np.empty((len(queries), k), np.int64)
        pending = np.arange(len(queries))
        fetch = k * len(index) // max(1, len(allowed)) + 16
        while k and len(pending):
            fetch = min(2 * fetch, len(index))
            found_scores, found = index.search(queries[pending], fetch)
            inside = np.isin(found, allowed)
            for row, mask, row_scores, row_ids in zip(pending, inside, found_scores, found, strict=True):
                if mask.sum() >= k:
                    scores[row], ids[row] = row_scores[mask][:k], row_ids[mask][:k]
            pending = pending[inside.sum(axis=1) < k]
        return scores, ids

    def sample(self, level: Level, count: int, left_out: Ids) -> Vectors:
        """At most `count` vectors of a level, float32 [m, d], spread evenly over all but the owners of the
        images `left_out`.
        """
        index = self.index if level == "image" else self.level(level).index
        places = np.flatnonzero(~np.isin(index.ids, self.owners(level, left_out)))
        return index.matrix[places[:: -(-len(places) // count) or 1]]

    def all_ids(self, level: Level) -> Ids:
        """Every id at a level."""
        return self.index.ids if level == "image" else np.unique(self._owners[level])

    def owners(self, level: Level, image_ids: Ids) -> Ids:
        """The series or study, by row id, of images that are held."""
        if level == "image":
            return image_ids
        held = image_ids[np.isin(image_ids, self.index.ids)]
        return self._owners[level][self.index.places(held)]

    def best_images(self, level: Level, query: Vectors, groups: Ids, allowed: Ids | None) -> Ids:
        """For each group the image most like the query, of those allowed; equal ones by the lower id."""
        if level == "image":
            return groups
        best = []
        for members in (self.level(level).members(int(group)) for group in groups):
            ids = self.index.ids[members]
            if allowed is not None:
                ids = ids[np.isin(ids, allowed)]
            best.append(top(query[None], ids, self.index.rows(ids), 1)[1][0, 0])
        return np.array(best, np.int64)

    def save(self) -> None:
        """Write a snapshot when it would spare the next start enough reading.

        A home that cannot be written keeps none: a snapshot is never needed.
        """
        stale = sum(
            int(np.sum(self._shard_of == i)) for i, name in self._shards.items() if name not in self._saved
        )
        if not len(self.index) or (
            stale <= _STALE_PART * len(self.index) and self._saved <= set(self._shards.values())
        ):
            return
        with suppress(OSError):
            self.index.save(self._snapshots, self._space, self._shards.values())
            self._saved = set(self._shards.values())
        drop_outdated_snapshot(self._database, self._snapshots, self._space_id, self._space)


class GroupLevel:
    """Series or studies: the normalised mean of their images' vectors, replaced by id when their images
    change.
    """

    def __init__(self, dimension: int) -> None:
        self.index = FaissIndex(dimension)
        self._stale: list[Ids] = []
        self._order = np.empty(0, np.int64)
        self._starts = np.empty(0, np.int64)
        self._groups = np.empty(0, np.int64)

    def stale(self, groups: Ids) -> None:
        """Note groups whose images changed."""
        if len(groups):
            self._stale.append(np.unique(groups))

    def renew(self, images_index: FaissIndex, owners: Ids) -> None:
        """Compute anew what is stale; `owners` [n] is the group of each row of the images' index."""
        if not self._stale:
            return
        changed = np.unique(np.concatenate(self._stale))
        self._stale = []
        # Within a group by image id, so that the sum, and so the vector, never depends on the order of
        # arrival.
        self._order = np.lexsort((images_index.ids, owners))
        self._groups, self._starts = np.unique(owners[self._order], return_index=True)
        self.index.remove(changed)
        present = changed[np.isin(changed, self._groups)]
        for portion in portions(present.tolist(), 1024):
            means = [
                images_index.matrix[self.members(group)].mean(axis=0, dtype=np.float64) for group in portion
            ]
            self.index.add(np.array(portion, np.int64), unit_length(np.array(means, np.float32)))

    def members(self, group: int) -> NDArray[np.int64]:
        """Rows of the images' index that belong to a group."""
        place = int(np.searchsorted(self._groups, group))
        ends = self._starts[place + 1] if place + 1 < len(self._starts) else len(self._order)
        return self._order[self._starts[place] : ends]


def drop_outdated_snapshot(database: Database, folder: Path, space_id: int, space: str) -> None:
    """Delete the snapshot that was just written if a shard of it is no more: it may hold vectors that were to
    be forgotten meanwhile. Where the database does not say, none is kept.
    """
    held, live = snapshot_shards(folder, space), set[str]()
    if held is None:
        return
    statement = select(shards.c.name).where(shards.c.space_id == space_id)
    with suppress(CatalogError), database.read() as connection:
        live = set(connection.execute(statement).scalars())
    if not held <= live:
        with suppress(OSError):
            discard_snapshot(folder, space)
