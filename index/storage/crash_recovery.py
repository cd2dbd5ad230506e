"""Crash recovery: the log of files that are being written, and the removal of those that were left
unfinished.

A row is committed before its file exists, and deleted in the transaction that adds the file's own row. So
every file that a killed process leaves has a row in the log; a file without one is not touched.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from itertools import filterfalse
from uuid import uuid4

from sqlalchemy import Connection, delete, insert, select

from medsiglip.index.catalogue.browsing.schema import maps
from medsiglip.index.catalogue.database import Database, now_of
from medsiglip.index.catalogue.one_of import one_of
from medsiglip.index.catalogue.rows import reserve_block
from medsiglip.index.catalogue.schema import probes, shards
from medsiglip.index.catalogue.service_schema import unfinished_files
from medsiglip.index.errors import CatalogError
from medsiglip.index.storage import trash
from medsiglip.index.storage.sweeping import note_remaining

Named = Callable[[str], bool]
"""Whether a row refers to a file, by its path below the home."""
UNFINISHED_HOURS = 24
"""The age of a row from which on its writer is considered dead."""


def announce(database: Database, pattern: str) -> str:
    """Log that files are about to be written; returns the token for `finish`.

    `pattern` is a glob relative to the home, in which `{token}` stands for the token.
    """
    return announce_with_ids(database, pattern, 0)[0]


def announce_with_ids(database: Database, pattern: str, count: int) -> tuple[str, range]:
    """As `announce`, with a block of so many ids for the rows of the files and those that come with them. The
    transaction is one of its own: no lock is held when it returns.
    """
    token = uuid4().hex
    with database.write_service_tables() as connection:
        row = {"token": token, "pattern": pattern.format(token=token), "since": now_of(connection)}
        connection.execute(insert(unfinished_files).values(**row))
        block = reserve_block(connection, count) if count else range(0)
    return token, block


def finish(connection: Connection, token: str) -> bool:
    """Remove a token from the log, in the transaction that adds its files or deletes them; whether it was
    there. A transaction that is just removing it is waited for.
    """
    return connection.execute(delete(unfinished_files).where(unfinished_files.c.token == token)).rowcount == 1


def collect(database: Database) -> None:
    """Move files to the trash whose write began more than a day ago, unless a row refers to them."""
    with database.read() as connection:
        before = now_of(connection) - timedelta(hours=UNFINISHED_HOURS)
        old = unfinished_files.c.since < before
        rows = connection.execute(select(unfinished_files).where(old)).all()
        named = _named(connection) if rows else bool
    done, home = [], database.home
    for row in rows:
        files = {path.relative_to(home).as_posix(): path for path in home.glob(row.pattern)}
        found = [path for name, path in files.items() if not named(name)]
        trash.move(home, found, trash.UNFINISHED)
        if not any(path.exists() for path in found) and _set_aside(database, row.pattern, named):
            done.append(row.token)
    if done:
        with database.write_service_tables() as connection:
            connection.execute(delete(unfinished_files).where(one_of(unfinished_files.c.token, done)))


def _set_aside(database: Database, pattern: str, named: Named) -> bool:
    """Move what a bucket holds of an interrupted write to the trash there; whether all of it is gone. Only
    what the log names is looked for: that no row names an object proves nothing.
    """
    objects = database.objects
    if not objects.is_remote:
        return True
    try:
        left = filterfalse(named, objects.matching(pattern))
        note_remaining(database, trash.move_objects(objects, left, trash.UNFINISHED))
    except CatalogError:  # it is tried again
        return False
    return True


def _named(connection: Connection) -> Named:
    """Whether a row refers to a file: to the shard or map of its name, in whichever folder, or to it as that
    of a probe.
    """
    names = set(connection.execute(select(shards.c.name)).scalars())
    names.update(connection.execute(select(maps.c.file)).scalars())
    of_probes = set(connection.execute(select(probes.c.file)).scalars())
    endings = {f"{name}.parquet" for name in names}
    return lambda name: name.rpartition("/")[2] in endings or name in of_probes
