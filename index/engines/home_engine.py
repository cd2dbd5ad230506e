"""The vector engine of one home: connected when first needed, and told what changed before it answers."""

from __future__ import annotations

import math
import threading

from sqlalchemy import select

from medsiglip.index.catalogue.database import Database
from medsiglip.index.catalogue.schema import home, vector_changes
from medsiglip.index.engines import outbox
from medsiglip.index.engines.draining import drain
from medsiglip.index.engines.engine import Collection, VectorEngine
from medsiglip.index.engines.opening import EngineSetting, connect
from medsiglip.index.errors import CatalogError


class HomeEngine:
    """Safe for several threads."""

    def __init__(self, database: Database, setting: EngineSetting) -> None:
        self._database = database
        self._setting = setting
        self._connected: VectorEngine | None = None
        self._lock = threading.Lock()
        self._seen: set[Collection] = set()

    @property
    def engine(self) -> VectorEngine:
        """The engine; raises the errors of `connect`."""
        with self._lock:
            if self._connected is None:
                self._connected = connect(self._setting, self._database)
            return self._connected

    def catch_up(self, seconds: float = math.inf) -> None:
        """Tell the engine all that is committed now. The engine of a home that had none is filled.

        Raises `CatalogError` `wrong-engine` where the home is put to another, and those of `drain`.
        """
        engine = self.engine
        with self._database.read() as connection:
            asked = select(home.c.vector_engine, select(vector_changes.c.id).exists())
            held, is_waiting = connection.execute(asked).one()
        if held is None:
            with self._database.write() as connection:
                if outbox.engine_of(connection) is None:
                    outbox.refill(connection, engine.name)
            is_waiting = True
        elif held != engine.name:
            raise CatalogError(
                "wrong-engine",
                f"The vectors of {self._database.home} are put to {held}, and the setting vector_url names "
                f"{engine.name}; set it back, or run `index rebuild` to move the vectors there.",
            )
        if is_waiting:
            drain(self._database, engine, seconds=seconds)

    def answer_soon(self) -> None:
        """The same for a search, which waits as long as a writer would."""
        self.catch_up(self._database.busy_seconds)

    def require_filled(self, collection: Collection) -> None:
        """Raise `CatalogError` `wrong-engine` where an engine that was told everything holds nothing of a
        collection that has rows: it is another, or has lost them. Once it was seen to, nothing is asked.
        """
        if collection in self._seen:
            return
        if not self.engine.count(collection):
            raise CatalogError(
                "wrong-engine",
                f"{self.engine.name} holds no vectors of {self._database.home}, though it was told of all: "
                "check vector_url, or run `index rebuild` to fill it from the shards.",
            )
        self._seen.add(collection)

    def refill(self) -> None:
        """Put everything to the engine afresh, and make it the home's."""
        engine = self.engine
        with self._database.write() as connection:
            outbox.refill(connection, engine.name)
        drain(self._database, engine)

    @property
    def name(self) -> str:
        """The name of the engine."""
        return self.engine.name

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
    """Make the home one without an engine, where it has one; what that holds stays there."""
    with database.read() as connection:
        if outbox.engine_of(connection) is None:
            return
    with database.write() as connection:
        outbox.leave(connection)
