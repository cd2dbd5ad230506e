"""The log of files that are being written: what proves that a file is the remainder of an interrupted write.

A row is committed before its file exists, and goes in the transaction that names the file. What a killed
process leaves therefore has a row; a file without one belongs to somebody.
"""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from uuid import uuid4

from sqlalchemy import Connection, delete, insert, select

from medsiglip.index.catalogue.database import Database
from medsiglip.index.catalogue.one_of import one_of
from medsiglip.index.catalogue.schema import probes, shards, unfinished_files
from medsiglip.index.service.jobs import now_of
from medsiglip.index.storage import trash

UNFINISHED_HOURS = 24
"""So old is a row whose writer is taken for dead."""


def announce(database: Database, pattern: str) -> str:
    """Log that files are about to be written, before they are; the token that frees them of suspicion.

    `pattern` is a glob relative to the home, in which `{token}` stands for the token.
    """
    token = uuid4().hex
    with database.write_beside() as connection:
        row = {"token": token, "pattern": pattern.format(token=token), "since": now_of(connection)}
        connection.execute(insert(unfinished_files).values(**row))
    return token


def finish(connection: Connection, token: str) -> None:
    """In the transaction that names the files of a token, or after they were deleted: forget it."""
    connection.execute(delete(unfinished_files).where(unfinished_files.c.token == token))


def collect(database: Database) -> None:
    """Move to the trash what writers left behind that began a day ago, unless a row names it."""
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
        with database.write_beside() as connection:
            connection.execute(delete(unfinished_files).where(one_of(unfinished_files.c.token, done)))


def _named(connection: Connection, home: Path) -> set[Path]:
    """The shards, by every folder they could lie in, and the files of probes that rows name."""
    names = connection.execute(select(shards.c.name)).scalars().all()
    spaces = [path for path in (home / "vectors").glob("*") if path.is_dir()]
    found = {space / f"{name}.parquet" for space in spaces for name in names}
    return found | {home / file for file in connection.execute(select(probes.c.file)).scalars()}
