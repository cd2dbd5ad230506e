"""A SQLite file as the catalogue uses it: with a write-ahead log, synced, and with keys that are enforced."""

from __future__ import annotations

import os
import sqlite3
import time
from pathlib import Path
from typing import Any

from sqlalchemy import Connection


def prepare_sqlite(busy_seconds: float, connection: Any, _record: object) -> None:
    """Set up a new connection."""
    # The driver would begin transactions by itself, but only before some statements; `begin_sqlite` does it.
    connection.isolation_level = None
    cursor = connection.cursor()
    _use_log(cursor, busy_seconds)
    # NORMAL survives killed processes; FULL also keeps committed transactions when the power fails, for one
    # more fsync per batch (sqlite.org/pragma.html#pragma_synchronous).
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.execute("PRAGMA foreign_keys=ON")
    # Deleted rows are overwritten with zeros: `forget` must not leave them in free pages.
    cursor.execute("PRAGMA secure_delete=ON")
    cursor.close()


def _use_log(cursor: Any, busy_seconds: float) -> None:
    """Turn the write-ahead log on. While another process opens the same new catalogue, SQLite refuses this at
    once, whatever its time-out.
    """
    deadline = time.monotonic() + busy_seconds
    while True:
        try:
            cursor.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as error:
            is_busy = error.sqlite_errorname.startswith("SQLITE_BUSY")
            if not is_busy or time.monotonic() >= deadline:
                raise
        time.sleep(0.01)


def begin_sqlite(connection: Connection) -> None:
    """Begin a transaction as its execution options ask."""
    connection.exec_driver_sql(connection.get_execution_options().get("sqlite_begin", "BEGIN"))


def is_full(folder: Path) -> bool:
    """Whether the disk of a folder has less than a mebibyte left."""
    try:
        state = os.statvfs(folder)
    except OSError:
        return False
    return state.f_bavail * state.f_frsize < 1 << 20
