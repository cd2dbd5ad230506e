"""Crash recovery: the log of files that are being written, and the removal of those that were left
unfinished.

A row is committed before its file exists, and deleted in the transaction that adds the file's own row. So
every file that a killed process leaves has a row in the log; a file without one is not touched.
"""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from uuid import uuid4

from sqlalchemy import Connection, delete, insert, select

from medsiglip.index.catalogue.browsing.schema import maps
from medsiglip.index.catalogue.database import Database, now_of
from medsiglip.index.catalogue.one_of import one_of
from medsiglip.index.catalogue.rows import reserve_block
from medsiglip.index.catalogue.schema import probes, shards
from medsiglip.index.catalogue.service_schema import unfinished_files
from medsiglip.index.storage import trash

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


def finish(connection: Connection, token: str) -> None:
    """Remove a token from the log: in the transaction that adds its files, or after they were deleted."""
    connection.execute(delete(unfinished_files).where(unfinished_files.c.token == token))


def collect(database: Database) -> None:
    """Move files to the trash whose write began more than a day ago, unless a row refers to them."""
    with database.read() as connection:
        before = now_of(connection) - timedelta(hours=UNFINISHED_HOURS)
        old = unfinished_files.c.since < before
        rows = connection.execute(select(unfinished_files).where(old)).all()
        named = _named(connection, database.home) if rows else set()
    done = []
    for row in rows:
        found = [path for path in database.home.glob(row.pattern) if path not in named]
        trash.move(database.home, found, trash.UNFINISHED)
        if not any(path.exists() for path in found):
            done.append(row.token)
    if done:
        with database.write_service_tables() as connection:
            connection.execute(delete(unfinished_files).where(one_of(unfinished_files.c.token, done)))


def _named(connection: Connection, home: Path) -> set[Path]:
    """The shards and maps in every folder that may hold them, and the files of probes, that rows refer to."""
    names = connection.execute(select(shards.c.name)).scalars().all()
    spaces = [path for path in (home / "vectors").glob("*") if path.is_dir()]
    found = {space / f"{name}.parquet" for space in spaces for name in names}
    drawn = connection.execute(select(maps.c.file)).scalars().all()
    places = [path for path in (home / "maps").glob("*") if path.is_dir()]
    found |= {place / f"{name}.parquet" for place in places for name in drawn}
    return found | {home / file for file in connection.execute(select(probes.c.file)).scalars()}
