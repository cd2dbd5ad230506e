"""The space that a home works in, and its vectors in memory once something needs them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from medsiglip.index.catalogue import spaces
from medsiglip.index.catalogue.database import Database
from medsiglip.index.errors import CatalogError
from medsiglip.index.records import Space
from medsiglip.index.search.kinds.index_kinds import DEFAULT
from medsiglip.index.search.loaded import LoadedSpace
from medsiglip.index.search.query_sample import QuerySample
from medsiglip.index.search.snapshots import Snapshot
from medsiglip.index.vectors import Vectors


class CurrentSpace:
    """Safe for several threads: one at a time uses the vectors in memory."""

    def __init__(self, database: Database) -> None:
        self.lock = threading.RLock()
        self._database = database
        self._active: spaces.ActiveSpace | None = None
        self._loaded: LoadedSpace | None = None

    def find(self) -> spaces.ActiveSpace | None:
        """The active space, or None before the first `activate`. Another process may have switched it."""
        with self._database.read() as connection:
            if self._active is None or not spaces.is_active(connection, self._active):
                self._active = spaces.active(connection)
            return self._active

    def needed(self) -> spaces.ActiveSpace:
        """The active space; raises `CatalogError` `no-space` before the first `activate`."""
        active = self.find()
        if active is None:
            raise CatalogError("no-space", f"{self._database.home} holds nothing yet; ingest a folder first.")
        return active

    def activate(self, space: Space) -> None:
        """See `CaseIndex.activate`."""
        if self.find() is None:
            with self._database.write() as connection:
                self._active = spaces.activate(connection, space)
        spaces.check(self._database.home, self.needed().space, space)

    @property
    def is_loaded(self) -> bool:
        """Whether the vectors are in memory."""
        return self._loaded is not None

    def load(self) -> LoadedSpace:
        """The vectors, up to date; the caller holds `lock` while it uses them."""
        active = self.needed()
        if self._loaded is None or self._loaded.row_id != active.row_id:
            self._loaded = LoadedSpace(self._database, active)
        self._loaded.refresh()
        return self._loaded

    @contextmanager
    def loaded(self) -> Iterator[LoadedSpace]:
        """The vectors, up to date, for this thread alone."""
        with self.lock:
            yield self.load()

    def rebuild(self, queries: Vectors | None = None) -> None:
        """Load the vectors from the shards again, and write a snapshot; `queries`, float32 [m, d], replace
        the sample that the index suits.
        """
        active = self.needed()
        if queries is not None and len(queries):
            checked = spaces.checked_vectors(queries, len(queries), active.space.dimension)
            QuerySample(self._database.home, active.space.name).write(checked)
        with self.lock:
            Snapshot(self._database.home, active.space.name, DEFAULT).discard()
            self._loaded = None
            self.load().save()

    def close(self) -> None:
        """Write a snapshot if it is worth it, and drop the vectors."""
        with self.lock:
            loaded, self._loaded = self._loaded, None
            if loaded is not None:
                loaded.save()
