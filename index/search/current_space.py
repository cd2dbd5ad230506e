"""The space that a home works in, and its vectors in memory once something needs them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import TypeVar

from sqlalchemy import Connection, select

from medsiglip.index.catalogue import spaces
from medsiglip.index.catalogue.database import Database
from medsiglip.index.catalogue.schema import home as home_table
from medsiglip.index.engines.home_engine import HomeEngine, leave_engine
from medsiglip.index.errors import CatalogError
from medsiglip.index.records import Space
from medsiglip.index.search.engine_space import EngineSpaceLoader
from medsiglip.index.search.kinds.index_kinds import AUTO, ChosenKind
from medsiglip.index.search.loaded import LoadedSpace
from medsiglip.index.search.space_loader import SpaceLoader
from medsiglip.index.vectors import Vectors

Result = TypeVar("Result")
# Another process may merge shards between the reading of a shard's name and of its file; then the catalogue
# has changed.
_ATTEMPTS = 5


class CurrentSpace:
    """Safe for several threads. All read the same state, which does not change; a thread that finds the
    catalogue changed makes the next one beside it, while others go on with theirs.
    """

    def __init__(self, database: Database, kind: str = AUTO, engine: HomeEngine | None = None) -> None:
        """`kind` is one of `KINDS` or `auto`, for vectors in memory; with an `engine` they lie there."""
        self._database = database
        self._kind = kind
        self.engine = engine
        self._active: spaces.ActiveSpace | None = None
        self._held: tuple[SpaceLoader | EngineSpaceLoader, LoadedSpace] | None = None
        # Held while a state is made from the one before, so that no work is done twice.
        self._following = threading.RLock()
        self._rebuilding = threading.Lock()

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
        return self._held is not None

    @property
    def chosen(self) -> ChosenKind | None:
        """The kind of index that holds the vectors in memory, and why it is the one; None without any."""
        held = self._held
        return None if held is None else held[0].chosen

    @contextmanager
    def view(self) -> Iterator[tuple[LoadedSpace, Connection]]:
        """The vectors, up to date, and a read connection that sees the same version of the catalogue.

        Raises `CatalogError` `no-space`, `missing-shard` or `corrupt-shard`, and `too-many-connections` where
        the searches of an engine leave none.
        """
        if self.engine is None:
            with self._viewed() as found:
                yield found
            return
        with self.engine.view() as use, self._viewed() as found:
            use(found[1])
            yield found

    @contextmanager
    def _viewed(self) -> Iterator[tuple[LoadedSpace, Connection]]:
        with self._database.read() as connection:
            held = self._held
            if held is not None and held[1].version == _version(connection)[0]:
                yield held[1], connection
                return
        with ExitStack() as stack:
            # Threads that wait for another to load do not keep connections from it.
            with self._following:
                state, connection = self._follow(stack)
            yield state, connection

    def _follow(self, stack: ExitStack) -> tuple[LoadedSpace, Connection]:
        """Make the state of the newest version the one that is held, and enter a connection that sees it."""
        for attempt in range(_ATTEMPTS):
            active, held = self.needed(), self._held
            if held is None or held[0].active != active or held[0].is_outdated():
                loader = self._loader(active)
                state = loader.caught_up(None)
            else:
                loader, state = held[0], held[0].caught_up(held[1])
            self._held = loader, state
            with ExitStack() as tried:
                connection = tried.enter_context(self._database.read())
                version, space_id = _version(connection)
                try:
                    if space_id == active.row_id:
                        state = loader.next(state, connection, version)
                        self._held = loader, state
                        stack.push(tried.pop_all())
                        return state, connection
                except CatalogError as error:
                    if error.code != "missing-shard" or attempt == _ATTEMPTS - 1:
                        raise
        raise CatalogError("catalog-busy", "The home was switched to other models meanwhile; run this again.")

    def _loader(
        self, active: spaces.ActiveSpace, queries: Vectors | None = None
    ) -> SpaceLoader | EngineSpaceLoader:
        if self.engine is not None:
            return EngineSpaceLoader(self._database, active, self.engine)
        return SpaceLoader(self._database, active, queries, kind=self._kind)

    def settled(self, call: Callable[[], Result]) -> Result:
        """What a call that reads vectors of a view gives. It is made anew where the vectors lie in an engine
        and another process forgot or moved some of them, so that their shards are not there any more.
        """
        for _ in range(_ATTEMPTS - 1):
            try:
                return call()
            except CatalogError as error:
                if self.engine is None or error.code != "changed-meanwhile":
                    raise
        return call()

    def load(self) -> LoadedSpace:
        """The vectors, up to date; they stay as they are for as long as they are used."""
        with self.view() as (state, _):
            return state

    @contextmanager
    def loaded(self) -> Iterator[LoadedSpace]:
        """The same for a block of code."""
        yield self.load()

    def rebuild(self, queries: Vectors | None = None) -> None:
        """Load the vectors from the shards again, and write a snapshot, while searches go on with the vectors
        that are in memory; `queries`, float32 [m, d], replace the sample that the index suits. Other
        processes go over to it with their next search. An engine is filled afresh; without one, the home is
        one without an engine from now on.
        """
        active = self.needed()
        checked = None
        if queries is not None and len(queries):
            checked = spaces.checked_vectors(queries, len(queries), active.space.dimension)
        with self._rebuilding:
            if self.engine is None:
                leave_engine(self._database)
            else:
                self.engine.refill()
            loader = self._loader(active, checked)
            state = loader.caught_up(None, afresh=True)
            with self._database.translate_errors():
                loader.keep_sample()
            with self._following, ExitStack() as stack:
                self._held = loader, state
                state, _ = self._follow(stack)
                loader = self._held[0]
            loader.save(state, always=True)
            with suppress(CatalogError), self._database.write():
                pass  # tells them that there is news

    def close(self) -> None:
        """Write a snapshot if it is worth it, and drop the vectors."""
        with self._following:
            held, self._held = self._held, None
        if held is not None:
            held[0].save(held[1])
        if self.engine is not None:
            self.engine.close()


def _version(connection: Connection) -> tuple[int, int | None]:
    """The version of the catalogue, and the row id of its active space."""
    version, space_id = connection.execute(select(home_table.c.version, home_table.c.space_id)).one()
    return version, space_id
