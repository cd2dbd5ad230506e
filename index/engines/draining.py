"""Telling an engine what changed: the outbox is worked off, one process at a time.

Each portion is read from the catalogue as it is now, put and removed, made durable in the engine, and only
then deleted from the outbox. So an end at any step loses nothing, and what is told twice changes nothing.
"""

from __future__ import annotations

import fcntl
import math
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import numpy as np
from sqlalchemy import delete, select, text

from medsiglip.index.catalogue.database import Database
from medsiglip.index.catalogue.one_of import one_of
from medsiglip.index.catalogue.schema import vector_changes
from medsiglip.index.engines import outbox
from medsiglip.index.engines.changed_rows import LevelRows, Portion, SpaceOf, newest, next_portion
from medsiglip.index.engines.engine import Collection, VectorEngine, VectorRows
from medsiglip.index.engines.shard_rows import ShardRows
from medsiglip.index.errors import CatalogError
from medsiglip.index.group_means import Members, group_means
from medsiglip.index.records import Level
from medsiglip.index.vectors import Ids, Vectors

LOCK_FILE = "vector-engine.lock"
"""The file of a home on SQLite that the process has locked that tells the engine what changed."""

# Rows of one `put`: some megabytes.
_ROWS = 512
# Another process may merge or delete a shard between the reading of its name and of its file.
_ATTEMPTS = 5
# The first number of the advisory lock on PostgreSQL.
_LOCK = 5064662
_PAUSE = 0.02

Step = Callable[[str], None]


def _no_step(_name: str) -> None:
    """Takes no notice."""


def not_stopped() -> bool:
    """Never stopped."""
    return False


def drain(
    database: Database,
    engine: VectorEngine,
    step: Step = _no_step,
    seconds: float = math.inf,
    stopped: Callable[[], bool] = not_stopped,
) -> int:
    """Tell an engine all that is in the outbox now; returns how many changes were worked off here. Processes
    that do so take turns, portion by portion. `step` is called with the name of each step before it is taken,
    and `stopped` is asked after each portion.

    Raises `CatalogError` `catalog-busy` where it is not done after so many `seconds` or when it was stopped,
    or where another process takes longer for one portion than writers wait; what was told stays told. Raises
    `wrong-engine` where the home was put to another engine meanwhile, whose changes these are. It may also
    raise the errors of the engine, and `missing-shard` or `corrupt-shard`.
    """
    with database.read() as connection:
        last = newest(connection)
    if not last:
        return 0
    done, deadline = 0, time.monotonic() + seconds
    while True:
        with _only_drainer(database, seconds):
            portion = _worked_off(database, engine, last, step)
            if portion is None:
                return done
            step("note")
            _delete(database, portion.changes)
        done += len(portion.changes)
        if (time.monotonic() >= deadline or stopped()) and _is_left(database, last):
            raise busy(database)


def _worked_off(database: Database, engine: VectorEngine, last: int, step: Step) -> Portion | None:
    """The next portion, of which the engine was told all; None where nothing is left."""
    for attempt in range(_ATTEMPTS):
        with database.read() as connection:
            held = outbox.engine_of(connection)
            portion = next_portion(connection, last)
        if portion is None:
            return None
        if held != engine.name:
            raise wrong_engine(database, held, engine.name)
        try:
            _tell(database, engine, portion, step)
            return portion
        except CatalogError as error:
            if error.code != "missing-shard" or attempt == _ATTEMPTS - 1:
                raise
    raise AssertionError


def _tell(database: Database, engine: VectorEngine, portion: Portion, step: Step) -> None:
    if portion.dropped:
        step("drop")
        engine.drop(portion.space_id)
    elif portion.space is not None:
        _tell_levels(database, engine, portion, portion.space, step)
    step("flush")
    engine.flush()


def _tell_levels(
    database: Database, engine: VectorEngine, portion: Portion, space: SpaceOf, step: Step
) -> None:
    assert portion.levels is not None
    assert portion.members is not None
    members, names = portion.members, portion.names or {}
    shard_rows = ShardRows(database.objects, space.name, space.dimension)
    image_ids = members[:, 0]

    def rows(ids: Ids) -> Vectors:
        return shard_rows.vectors(ids, members[np.searchsorted(image_ids, ids), 1], names)

    for level, told in portion.levels.items():
        collection = Collection(space.row_id, level, space.dimension)
        if len(told.gone):
            step(f"remove {level}")
            engine.remove(collection, told.gone)
        vectors = rows if level == "image" else partial(_means, rows, members, level)
        for low in range(0, len(told.ids), _ROWS):
            part = slice(low, low + _ROWS)
            step(f"put {level}")
            engine.put(collection, _part(told, part, vectors(told.ids[part])))


def _part(told: LevelRows, part: slice, vectors: Vectors) -> VectorRows:
    return VectorRows(told.ids[part], vectors, {name: values[part] for name, values in told.fields.items()})


def _means(rows: Callable[[Ids], Vectors], members: np.ndarray, level: Level, groups: Ids) -> Vectors:
    """The means of series or studies, float32 [g, d], as searches compute them."""
    owners = members[:, 2 if level == "series" else 3]
    made = group_means(rows, members[:, 0], Members(members[:, 0], owners), groups)
    return np.concatenate([means for _, means, _ in made])


def _delete(database: Database, changes: list[int]) -> None:
    with database.write_service_tables() as connection:
        connection.execute(delete(vector_changes).where(one_of(vector_changes.c.id, changes)))


@contextmanager
def _only_drainer(database: Database, seconds: float) -> Iterator[None]:
    """Held by one thread of all processes at a time; it ends with its process. It is waited for as long as
    writers wait, and at most so many seconds.
    """
    deadline = time.monotonic() + min(seconds, database.busy_seconds)
    if database.is_sqlite:
        descriptor = os.open(database.home / LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            _wait(partial(_locked, descriptor), database, deadline)
            yield
        finally:
            os.close(descriptor)
        return
    with database.write_service_tables() as connection:
        asked = text("SELECT pg_try_advisory_xact_lock(:kind, hashtext(current_schema()))")
        chosen = asked.bindparams(kind=_LOCK)
        _wait(lambda: bool(connection.execute(chosen).scalar_one()), database, deadline)
        yield


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _wait(is_mine: Callable[[], bool], database: Database, deadline: float) -> None:
    while not is_mine():
        if time.monotonic() >= deadline:
            raise busy(database)
        time.sleep(_PAUSE)


def _is_left(database: Database, last: int) -> bool:
    """Whether a change with an id up to `last` waits."""
    with database.read() as connection:
        first = select(vector_changes.c.id).where(vector_changes.c.id <= last).limit(1)
        return connection.execute(first).first() is not None


def busy(database: Database) -> CatalogError:
    """`catalog-busy`, with how many changes wait."""
    with database.read() as connection:
        left = outbox.waiting(connection)
    return CatalogError(
        "catalog-busy",
        f"The vector engine of {database.home} is being told what changed, and {left} changes wait; run this "
        "again later, and have `medsiglip worker` run beside.",
    )


def wrong_engine(database: Database, held: str | None, named: str) -> CatalogError:
    """`wrong-engine`, for a home that is put to another than the setting names."""
    return CatalogError(
        "wrong-engine",
        f"The vectors of {database.home} are put to {held or 'no engine'}, and the setting vector_url names "
        f"{named}; set it back, or run `index rebuild` to move the vectors there.",
    )
