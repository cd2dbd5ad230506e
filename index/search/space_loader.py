"""States of a space, made from its snapshot and its shards, and each from the one before."""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from uuid import uuid4

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, func, select

from medsiglip.index.catalogue.database import Database
from medsiglip.index.catalogue.schema import home as home_table
from medsiglip.index.catalogue.schema import images, shards
from medsiglip.index.catalogue.spaces import ActiveSpace
from medsiglip.index.errors import CatalogError
from medsiglip.index.records import Level
from medsiglip.index.search.group_level import GroupLevel
from medsiglip.index.search.image_owners import ImageOwners
from medsiglip.index.search.kind_choice import ChoiceFile
from medsiglip.index.search.kinds.index_kinds import (
    AUTO,
    LEVEL_KIND,
    ChosenKind,
    chosen_kind,
    learn_later,
    learn_now,
)
from medsiglip.index.search.kinds.vector_search import IdPlaces, VectorSearch
from medsiglip.index.search.loaded import DerivedLevel, LoadedSpace
from medsiglip.index.search.query_sample import QuerySample
from medsiglip.index.search.snapshots import Snapshot, SnapshotContent
from medsiglip.index.storage.sweeping import forget_copies
from medsiglip.index.vectors import Ids, ShardFolder, Vectors

# A snapshot is written when at least this part of the rows would otherwise be read from shards again.
_STALE_PART = 0.1
INCOMPLETE = -1
"""The version of a state that lacks images, which no version of a catalogue is."""
_ROWS = 8192
_LEVELS: tuple[Level, Level] = ("series", "study")


class SpaceLoader:
    """Makes the states of one space. Safe for several threads; each state is made from one before it."""

    def __init__(
        self,
        database: Database,
        active: ActiveSpace,
        query_sample: Vectors | None = None,
        *,
        kind: str = AUTO,
    ) -> None:
        """`query_sample`, float32 [m, d], replaces the one of the home when a state is saved; `kind` is one
        of `KINDS` or `auto`, for which a choice that is kept in the home counts.
        """
        self.active = active
        self._database = database
        self._dimension = active.space.dimension
        self._folder = ShardFolder(database.objects, active.space.name)
        self._wanted = kind
        self._choose(0)
        self._sample_file = QuerySample(database.home, active.space.name)
        self._query_sample = query_sample
        if query_sample is None:
            self._query_sample = self._sample_file.read(self._dimension)
        # The shards whose vectors are in the snapshot on disk.
        self._saved: frozenset[str] = frozenset()
        # The rebuild that the states are of, and that of the snapshot when the first was made.
        self._rebuilt: str | None = None
        self._former: str | None = None
        self._saving = threading.Lock()

    def _choose(self, rows: int) -> None:
        """Choose the kind of index for so many images."""
        home, space = self._database.home, self.active.space.name
        kept = ChoiceFile(home, space).read()
        wanted = kept.kind if self._wanted == AUTO else self._wanted
        self.chosen: ChosenKind = chosen_kind(wanted, rows, self._dimension, kept.recall)
        self._snapshot = Snapshot(home, space, self.chosen.kind)

    # States

    def caught_up(self, state: LoadedSpace | None, *, afresh: bool = False) -> LoadedSpace:
        """The newest state, made from an earlier one, else from the snapshot or, if `afresh`, from the shards
        alone. No connection is held while vectors are read, so that deletions need not wait.

        Without the images of shards that were merged or deleted meanwhile, its version is `INCOMPLETE`.
        Raises `CatalogError` `corrupt-shard`.
        """
        if state is None:
            with suppress(OSError):  # a home that cannot be written
                forget_copies(self._database)
            with self._database.read() as connection:
                self._choose(self._rows(connection))
            self._former = self._snapshot.rebuilt()
            self._rebuilt = uuid4().hex if afresh else self._former
        saved = self._snapshot.load(self._dimension) if state is None and not afresh else None
        with self._database.read() as connection:
            version = connection.execute(select(home_table.c.version)).scalar_one()
            live = self._live(connection)
            if state is not None and live == state.shards:
                return replace(state, version=version)
            draft = self._begun(state, saved, live)
            if state is not None:  # another machine may have merged or deleted them
                gone = (name for shard_id, name in state.shards.items() if shard_id not in live)
                self._database.objects.drop_copies([self._folder.object_name(name) for name in gone])
            listed = _listed(connection, live.keys() - draft.known)
        missing = self._take_in(draft, listed, live, may_miss=True)
        left = {row_id: name for row_id, name in live.items() if row_id not in missing}
        made = draft.finish(self.active, INCOMPLETE if missing else version, left)
        learn_now(made.index)
        return made

    def next(self, state: LoadedSpace, connection: Connection, version: int) -> LoadedSpace:
        """The state of another version, which a connection sees; `state` is not changed.

        Raises `CatalogError` `missing-shard` or `corrupt-shard`.
        """
        live = self._live(connection)
        if live == state.shards:
            return replace(state, version=version)
        draft = _Draft.of(state)
        self._take_in(draft, _listed(connection, live.keys() - draft.known), live, may_miss=False)
        return draft.finish(self.active, version, live)

    def _live(self, connection: Connection) -> dict[int, str]:
        statement = select(shards.c.id, shards.c.name).where(shards.c.space_id == self.active.row_id)
        return {row.id: row.name for row in connection.execute(statement.order_by(shards.c.id))}

    def _rows(self, connection: Connection) -> int:
        of_space = shards.c.space_id == self.active.row_id
        return int(
            connection.execute(select(func.coalesce(func.sum(shards.c.rows), 0)).where(of_space)).scalar_one()
        )

    def _begun(
        self, state: LoadedSpace | None, saved: SnapshotContent | None, live: Mapping[int, str]
    ) -> _Draft:
        """What a state or a snapshot holds, unless one of the snapshot's shards does not exist any more."""
        if state is not None:
            return _Draft.of(state)
        if saved is None or not set(saved.shards) <= set(live.values()):
            index, means = (
                kind.new(self._dimension, self._query_sample) for kind in (self.chosen.kind, LEVEL_KIND)
            )
            learn_later(index)  # what suits the first rows need not suit all
            levels = dict.fromkeys(_LEVELS, GroupLevel(means))
            return _Draft(index, ImageOwners(), levels, frozenset())
        self._saved = frozenset(saved.shards)
        row_ids = {name: row_id for row_id, name in live.items()}
        ids = np.array([row_ids[name] for name in saved.shards], np.int64)
        owners = saved.owners._replace(shard=ids[saved.owners.shard])
        return _Draft(saved.index, owners, saved.levels, frozenset(ids.tolist()))

    def _take_in(
        self, draft: _Draft, listed: NDArray[np.int64], live: Mapping[int, str], *, may_miss: bool
    ) -> set[int]:
        """Add the images of new shards; those that came with another shard only change owners. Returns the
        shards whose files are gone, if some may miss.
        """
        known = np.isin(listed[:, 0], draft.index.ids)
        moved = listed[known]
        if len(moved):
            draft.move(moved[:, 0], ImageOwners(*moved[:, 1:].T))
        missing = set()
        new = _by_shard(listed[~known])
        # A missing one is come upon before the others are read in vain.
        for shard_id in sorted(new, key=lambda one: self._folder.file(live[one]).is_file()):
            rows = new[shard_id]
            try:
                shard = self._folder.checked(live[shard_id], self._dimension)
            except CatalogError as error:
                if error.code != "missing-shard" or not may_miss:
                    raise
                missing.add(shard_id)
                continue
            order = np.argsort(shard.ids)
            rows = rows[np.isin(rows[:, 0], shard.ids)]
            chosen = order[np.searchsorted(shard.ids, rows[:, 0], sorter=order)]
            # A part at a time: the vectors are mapped from the file, and a copy of all would be a shard more.
            for low in range(0, len(rows), _ROWS):
                part = slice(low, low + _ROWS)
                draft.add(rows[part, 0], shard.vectors(chosen[part]), ImageOwners(*rows[part, 1:].T))
                shard.let_go()
        return missing

    # The snapshot

    def save(self, state: LoadedSpace, *, always: bool = False) -> None:
        """Write a snapshot if it would save the next start enough reading, or `always`.

        A home that cannot be written gets none: snapshots are optional.
        """
        with self._saving:
            if always or (self._is_worth_it(state) and not self.is_outdated()):
                written = frozenset[str]()
                with suppress(OSError):
                    self._snapshot.save(self._content(state), self._dimension, self._rebuilt)
                    self._saved = written = frozenset(state.shards.values())
                self._drop_outdated_snapshot(written)

    def keep_sample(self) -> None:
        """Make the sample of queries that the states suit the one of the home."""
        if self._query_sample is not None:
            self._sample_file.write(self._query_sample)

    def _is_worth_it(self, state: LoadedSpace) -> bool:
        names = set(state.shards.values())
        unsaved = [shard_id for shard_id, name in state.shards.items() if name not in self._saved]
        stale, count = (
            int(np.isin(state.owners_in_order.shard, unsaved).sum()),
            len(state.owners_in_order.shard),
        )
        return count > 0 and (stale > _STALE_PART * count or not self._saved <= names)

    def _content(self, state: LoadedSpace) -> SnapshotContent:
        row_ids = np.fromiter(state.shards, np.int64, len(state.shards))
        order = np.argsort(row_ids)
        shard = order[np.searchsorted(row_ids, state.owners_in_order.shard, sorter=order)]
        owners = state.owners_in_order._replace(shard=shard.astype(np.int64))
        levels = {level: state.group_level(level)[0] for level in _LEVELS}
        return SnapshotContent(state.index, owners, tuple(state.shards.values()), levels)

    def is_outdated(self) -> bool:
        """Whether another process has rebuilt the index since: its snapshot is the better."""
        return self._snapshot.rebuilt() not in (None, self._rebuilt, self._former)

    def _drop_outdated_snapshot(self, written: Collection[str]) -> None:
        """Delete the snapshot if a shard of it does not exist any more, or one that was just `written`, for
        which another process may have put its own: they may hold vectors of a patient who was deleted
        meanwhile. If the database cannot tell, it is deleted too.
        """
        held, live = {*written, *(self._snapshot.shards() or ())}, set[str]()
        if not held:
            return
        with suppress(CatalogError), self._database.read() as connection:
            live = set(self._live(connection).values())
        if not held <= live:
            with suppress(OSError):
                self._snapshot.discard()


def _listed(connection: Connection, shard_ids: Iterable[int]) -> NDArray[np.int64]:
    """Row ids int64 [n, 4] of the images of shards: image, shard, series, study."""
    columns = select(images.c.id, images.c.shard_id, images.c.series_id, images.c.study_id)
    found = [np.empty((0, 4), np.int64)]
    for shard_id in sorted(shard_ids):
        rows = [tuple(row) for row in connection.execute(columns.where(images.c.shard_id == shard_id))]
        found.append(np.array(rows, np.int64).reshape(-1, 4))
    return np.concatenate(found)


def _by_shard(listed: NDArray[np.int64]) -> dict[int, NDArray[np.int64]]:
    """Rows of `_listed` by shard."""
    rows = listed[np.argsort(listed[:, 1], kind="stable")]
    found, starts = np.unique(rows[:, 1], return_index=True)
    return {int(one): part for one, part in zip(found, np.split(rows, starts[1:]), strict=False)}


@dataclass(slots=True)
class _Draft:
    """A state in the making, with an index of its own; `known` are the shards that it was begun with, and
    `derived` the levels of the state that it was made from.
    """

    index: VectorSearch
    owners: ImageOwners
    levels: Mapping[Level, GroupLevel]
    known: frozenset[int]
    derived: Mapping[Level, DerivedLevel] = field(default_factory=dict)
    added: list[ImageOwners] = field(default_factory=list)
    waiting: list[tuple[Ids, Vectors]] = field(default_factory=list)
    waiting_rows: int = 0

    @classmethod
    def of(cls, state: LoadedSpace) -> _Draft:
        levels = {level: held.means for level, held in state.levels.items()}
        return cls(state.index.copy(), state.owners_in_order, levels, frozenset(state.shards), state.levels)

    def move(self, image_ids: Ids, owners: ImageOwners) -> None:
        """Give images that are held other owners, before any is added."""
        places = IdPlaces()
        places.add(self.index.ids)
        self.owners = self.owners.move(places.of(image_ids), owners)

    def add(self, image_ids: Ids, vectors: Vectors, owners: ImageOwners) -> None:
        """Add images; those of small shards together, for each addition takes time that grows with what the
        index holds.
        """
        self.added.append(owners)
        self.waiting.append((image_ids, vectors))
        self.waiting_rows += len(image_ids)
        if self.waiting_rows >= _ROWS:
            self._add_waiting()

    def _add_waiting(self) -> None:
        if self.waiting:
            image_ids, vectors = zip(*self.waiting, strict=True)
            self.waiting, self.waiting_rows = [], 0
            self.index.add(np.concatenate(image_ids), np.concatenate(vectors))

    def finish(self, active: ActiveSpace, version: int, live: Mapping[int, str]) -> LoadedSpace:
        """The state without the images of shards that are not `live`."""
        self._add_waiting()
        owners = ImageOwners(*map(np.concatenate, zip(self.owners, *self.added, strict=True)))
        gone = ~np.isin(owners.shard, np.fromiter(live, np.int64, len(live)))
        if gone.any():
            self.index.remove(self.index.ids[gone])
        changed = [*self.added, owners.keep(gone)]
        owners = owners.keep(~gone) if gone.any() else owners
        places = IdPlaces()
        places.add(self.index.ids)
        derived = self.derived
        if not derived or self.added or gone.any():
            derived = {
                level: DerivedLevel(held.changed(np.concatenate([one.level(level) for one in changed])))
                for level, held in self.levels.items()
            }
        return LoadedSpace(active, version, self.index, places, owners, dict(live), derived)
