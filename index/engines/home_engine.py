"""The vector engine of one home: connected when first needed, and told what changed before it answers."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, select

from medsiglip.index.catalogue.database import Database
from medsiglip.index.catalogue.schema import home, vector_changes
from medsiglip.index.engines import outbox
from medsiglip.index.engines.draining import busy, drain, not_stopped, wrong_engine
from medsiglip.index.engines.engine import Collection, VectorEngine
from medsiglip.index.engines.filled import lost_rows
from medsiglip.index.engines.former import drop_former
from medsiglip.index.engines.opening import EngineSetting, connect
from medsiglip.index.errors import CatalogError

SEEN_SECONDS = 300.0
"""For so long an engine that was seen to hold all rows of a collection is not asked again."""


class HomeEngine:
    """Safe for several threads."""

    def __init__(self, database: Database, setting: EngineSetting) -> None:
        self._database = database
        self._setting = setting
        self._connected: VectorEngine | None = None
        self._lock = threading.Lock()
        self._seen: dict[Collection, float] = {}
        # One thread of this process at a time waits for the turn among processes, which takes connections.
        self._telling = threading.Lock()
        # Each view of the catalogue has a connection, and takes another while its search asks the engine: so
        # at most half of them are for views, and some are left to tell the engine.
        most = database.pool()[1]
        self._views = threading.BoundedSemaphore(max(1, (most - 1) // 2))
        self._own = threading.local()

    @property
    def engine(self) -> VectorEngine:
        """The engine; raises the errors of `connect`."""
        with self._lock:
            if self._connected is None:
                self._connected = connect(self._setting, self._database)
            return self._connected

    @contextmanager
    def view(self) -> Iterator[Callable[[Connection], None]]:
        """For a thread that holds a view of the catalogue: as many may as leave connections to ask the
        engine. What is given is called with the view's connection, which then says whether something waits.

        Raises `CatalogError` `too-many-connections` where that takes longer than writers wait.
        """
        if getattr(self._own, "depth", 0):
            yield lambda connection: None
            return
        if not self._views.acquire(timeout=self._database.busy_seconds):
            raise CatalogError(
                "too-many-connections",
                "As many searches run as the connections to the database allow; run this again.",
            )
        self._own.depth = 1
        try:
            yield self._use
        finally:
            self._own.depth, self._own.connection = 0, None
            self._views.release()

    def _use(self, connection: Connection) -> None:
        self._own.connection = connection

    def catch_up(self, seconds: float = math.inf, stopped: Callable[[], bool] = not_stopped) -> None:
        """Tell the engine all that is committed now. The engine of a home that had none is filled.

        Raises `CatalogError` `wrong-engine` where the home is put to another, and those of `drain`.
        """
        engine = self.engine
        held, is_waiting = self._asked()
        if held is None:
            had = engine.spaces()
            with self._database.write() as connection:
                if outbox.engine_of(connection) is None:
                    outbox.refill(connection, engine.name, had)
            self._seen.clear()
            is_waiting = True
        elif held != engine.name:
            raise wrong_engine(self._database, held, engine.name)
        if not is_waiting:
            return
        until = time.monotonic() + seconds
        if not self._telling.acquire(timeout=min(seconds, threading.TIMEOUT_MAX)):
            raise busy(self._database)
        try:
            drain(self._database, engine, seconds=max(0.0, until - time.monotonic()), stopped=stopped)
        finally:
            self._telling.release()

    def _asked(self) -> tuple[str | None, bool]:
        """The home's engine, and whether changes wait: by the view of this thread, if it has one."""
        asked = select(home.c.vector_engine, select(vector_changes.c.id).exists())
        own: Connection | None = getattr(self._own, "connection", None)
        if own is not None:
            held, is_waiting = own.execute(asked).one()
        else:
            with self._database.read() as connection:
                held, is_waiting = connection.execute(asked).one()
        return held, bool(is_waiting)

    def answer_soon(self) -> None:
        """The same for a search, which waits as long as a writer would."""
        self.catch_up(self._database.busy_seconds)

    def require_filled(self, collection: Collection, rows: int) -> None:
        """Raise `CatalogError` `wrong-engine` where an engine that was told everything holds clearly fewer
        than the `rows` of a collection, by the catalogue as it is now: it is another, or has lost them. What
        was seen to is not asked again for some minutes.
        """
        now = time.monotonic()
        if now < self._seen.get(collection, -math.inf):
            return
        count = lost_rows(self._database, self.engine, collection, rows)
        if count is not None:
            raise CatalogError(
                "wrong-engine",
                f"{self.engine.name} holds {count} of the {rows} vectors of {self._database.home} at level "
                f"{collection.level}, though it was told of all: check vector_url, or run `index rebuild` to "
                "fill it from the shards.",
            )
        self._seen[collection] = now + SEEN_SECONDS

    def refill(self) -> None:
        """Put everything to the engine afresh, and make it the home's. What another that was it holds is
        dropped there, if that can be reached.
        """
        engine = self.engine
        held, _ = self._asked()
        had = engine.spaces()
        with self._database.write() as connection:
            outbox.refill(connection, engine.name, had)
        self._seen.clear()
        if held is not None and held != engine.name:
            drop_former(self._database, held)
        self.catch_up()
        self._seen.clear()

    @property
    def name(self) -> str:
        """The name of the engine, or only its kind where it cannot be connected to."""
        try:
            return self.engine.name
        except CatalogError:
            return self._setting.url.partition(":")[0]

    def waiting(self) -> int:
        """How many changes the engine has not been told of."""
        with self._database.read() as connection:
            return outbox.waiting(connection)

    def close(self) -> None:
        """Disconnect."""
        with self._lock:
            held, self._connected = self._connected, None
        if held is not None:
            held.close()


def leave_engine(database: Database) -> None:
    """Make the home one without an engine, where it has one; what that holds is dropped there, if it can be
    reached.
    """
    with database.read() as connection:
        held = outbox.engine_of(connection)
    if held is None:
        return
    with database.write() as connection:
        outbox.leave(connection)
    drop_former(database, held)
