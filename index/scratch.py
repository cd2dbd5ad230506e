"""Scratch tables: what one task has to remember for a while and what may not fit in memory."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Any, TypeVar

from medsiglip.index.errors import CatalogError

PORTION = 25_000
"""How many things are asked about, or handed on, at a time."""
# Beyond this SQLite writes to a file in the temporary folder, without a name; it ends with the process.
_CACHE_KIB = 8 << 10
_T = TypeVar("_T")


class Scratch:
    """Tables of SQLite's temporary database (sqlite.org/inmemorydb.html), for one thread at a time. With
    `in_memory` nothing is ever written to a disk.

    Every method raises `CatalogError` `disk-full` or `disk-error` where the temporary folder takes no more.
    """

    def __init__(self, definition: str, *, in_memory: bool = False) -> None:
        with _translated():
            place = ":memory:" if in_memory else ""
            self._connection = sqlite3.connect(place, isolation_level=None, check_same_thread=False)
            for setting in ("journal_mode=OFF", "synchronous=OFF", f"cache_size=-{_CACHE_KIB}"):
                self._connection.execute(f"PRAGMA {setting}")
            self._connection.execute(definition)

    def put(self, statement: str, rows: Iterable[Sequence[Any]]) -> int:
        """Execute a statement for each row; how many rows it changed."""
        with _translated():
            if not self._connection.in_transaction:  # left open where this was interrupted
                self._connection.execute("BEGIN")
            changed = self._connection.executemany(statement, rows).rowcount
            self._connection.execute("COMMIT")
        return max(changed, 0)

    def ask(self, query: str, parameters: Sequence[Any] = ()) -> Iterator[tuple[Any, ...]]:
        """The rows of a query, as they are taken."""
        with _translated():
            yield from self._connection.execute(query, parameters)

    def close(self) -> None:
        """Drop the tables."""
        self._connection.close()


def portions(items: Iterable[_T], size: int = PORTION) -> Iterator[list[_T]]:
    """The items, so many at a time."""
    left = iter(items)
    while portion := list(islice(left, size)):
        yield portion


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        is_full = getattr(error, "sqlite_errorname", "").startswith("SQLITE_FULL")
        raise CatalogError(
            "disk-full" if is_full else "disk-error",
            f"The temporary folder takes no more of what this has to remember ({error}); free space in it, "
            "or name another one in SQLITE_TMPDIR, and run this again.",
        ) from None
