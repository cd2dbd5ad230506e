"""States of a space whose vectors lie in an engine, made from the catalogue alone: 60 bytes an image."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, select

from medsiglip.index.catalogue.database import Database
from medsiglip.index.catalogue.one_of import one_of
from medsiglip.index.catalogue.rows import row_ids
from medsiglip.index.catalogue.schema import home as home_table
from medsiglip.index.catalogue.schema import images, shards
from medsiglip.index.catalogue.spaces import ActiveSpace
from medsiglip.index.engines.engine import Collection
from medsiglip.index.engines.home_engine import HomeEngine
from medsiglip.index.engines.shard_rows import ShardRows
from medsiglip.index.group_means import NO_SPREAD, Members
from medsiglip.index.records import Level
from medsiglip.index.search.engines.engine_search import ImageSearch, MeansSearch, Shelved
from medsiglip.index.search.group_level import GroupLevel
from medsiglip.index.search.image_owners import ImageOwners
from medsiglip.index.search.kinds.index_kinds import DEFAULT, ChosenKind
from medsiglip.index.search.kinds.vector_search import IdPlaces, VectorSearch
from medsiglip.index.search.loaded import DerivedLevel, LoadedSpace
from medsiglip.index.storage.sweeping import forget_copies
from medsiglip.index.vectors import Ids

_LEVELS: tuple[Level, Level] = ("series", "study")
# Shards whose images are listed by one statement.
_SHARDS = 64


@dataclass(slots=True)
class EngineLevel(DerivedLevel):
    """Series or studies of one state; which images are theirs is computed when it is first needed."""

    level: Level = "series"
    made: GroupLevel | None = None

    def ready(self, images: VectorSearch, image_ids: Ids, owners: Ids) -> tuple[GroupLevel, Members]:
        """As in `DerivedLevel`; the means are those of the shards whenever they are read."""
        assert isinstance(images, ImageSearch)
        with self.lock:
            if self.members is None:
                self.members = Members(image_ids, owners)
            if self.made is None:
                self.made = GroupLevel(MeansSearch(images, self.level, self.members), NO_SPREAD)
            return self.made, self.members


class EngineSpaceLoader:
    """Makes the states of one space, as `medsiglip.index.search.space_loader` does for an index in memory."""

    def __init__(self, database: Database, active: ActiveSpace, engine: HomeEngine) -> None:
        self.active = active
        name = engine.name
        self.chosen = ChosenKind(name.partition(":")[0], DEFAULT, f"the setting vector_url names {name}")
        self._database = database
        self._engine = engine
        self._rows = ShardRows(database.objects, active.space.name, active.space.dimension)

    def caught_up(self, state: LoadedSpace | None, *, afresh: bool = False) -> LoadedSpace:
        """The newest state, made from an earlier one if there is one."""
        if state is None:
            with suppress(OSError):  # a home that cannot be written
                forget_copies(self._database)
        with self._database.read() as connection:
            version = connection.execute(select(home_table.c.version)).scalar_one()
            return self._made(state, connection, version)

    def next(self, state: LoadedSpace, connection: Connection, version: int) -> LoadedSpace:
        """The state of another version, which a connection sees; `state` is not changed."""
        return self._made(state, connection, version)

    def _made(self, state: LoadedSpace | None, connection: Connection, version: int) -> LoadedSpace:
        statement = select(shards.c.id, shards.c.name).where(shards.c.space_id == self.active.row_id)
        live = {row.id: row.name for row in connection.execute(statement.order_by(shards.c.id))}
        if state is not None and live == state.shards:
            return replace(state, version=version)
        old_ids, old = (
            (np.empty(0, np.int64), ImageOwners())
            if state is None
            else (state.places.ids, state.owners_in_order)
        )
        stays = np.isin(old.shard, np.fromiter(live, np.int64, len(live)))
        known = frozenset() if state is None else frozenset(state.shards)
        listed = _listed(connection, live.keys() - known)
        places = IdPlaces()
        places.add(np.concatenate([old_ids[stays], listed[:, 0]]))
        kept = old.keep(stays)
        owners = ImageOwners(*map(np.concatenate, zip(kept, listed[:, 1:].T, strict=True)))
        self._rows.keep(live.values())
        collection = Collection(self.active.row_id, "image", self.active.space.dimension)
        index = ImageSearch(self._engine, collection, places, owners.shard, live, self._rows, self._look_up)
        levels = {level: EngineLevel(GroupLevel(index), level=level) for level in _LEVELS}
        return LoadedSpace(self.active, version, index, places, owners, live, levels)

    def _look_up(self, ids: Ids) -> Shelved:
        statement = select(images.c.id, images.c.shard_id, shards.c.name).join(
            shards, images.c.shard_id == shards.c.id
        )
        with self._database.read() as connection:
            rows = connection.execute(
                statement.where(one_of(images.c.id, ids.tolist())).order_by(images.c.id)
            ).all()
        named = {row[1]: row[2] for row in rows}
        held = np.array([row[:2] for row in rows], np.int64).reshape(-1, 2)
        return Shelved(held[:, 0], held[:, 1], named)

    # Nothing is saved: what a state is made of is in the catalogue.

    def save(self, state: LoadedSpace, *, always: bool = False) -> None:
        """Saves nothing."""

    def keep_sample(self) -> None:
        """Keeps nothing: an engine fits itself to no queries."""

    def is_outdated(self) -> bool:
        """Never: nothing is kept that another process could replace."""
        return False


def _listed(connection: Connection, shard_ids: Iterable[int]) -> NDArray[np.int64]:
    """Row ids int64 [n, 4] of the images of shards: image, shard, series, study; by shard and image."""
    columns = select(images.c.id, images.c.shard_id, images.c.series_id, images.c.study_id)
    found = [np.empty((0, 4), np.int64)]
    every = sorted(shard_ids)
    for low in range(0, len(every), _SHARDS):
        chosen = columns.where(one_of(images.c.shard_id, every[low : low + _SHARDS]))
        found.append(row_ids(connection, chosen).reshape(-1, 4))
    rows = np.concatenate(found)
    return rows[np.lexsort((rows[:, 0], rows[:, 1]))]
