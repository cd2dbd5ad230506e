"""Small steps that every statement on the catalogue shares: ids from the counter, long lists in portions."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from itertools import islice
from typing import Any, TypeVar

from sqlalchemy import Connection, insert, select, update
from sqlalchemy import Table as SqlTable

from medsiglip.index.catalogue.schema import home

T = TypeVar("T")

# SQLite takes 32,766 bound values in a statement, PostgreSQL 65,535.
PORTION = 5000


def portions(values: Collection[T], size: int = PORTION) -> Iterator[list[T]]:
    """The values in lists of at most `size`."""
    remaining = iter(values)
    while portion := list(islice(remaining, size)):
        yield portion


def reserve_ids(connection: Connection, count: int) -> range:
    """Ids that no row of any table has had. Inside a write transaction only."""
    first = connection.execute(select(home.c.next_id)).scalar_one()
    if count:
        connection.execute(update(home).values(next_id=first + count))
    return range(first, first + count)


def insert_rows(connection: Connection, table: SqlTable, rows: Sequence[dict[str, Any]]) -> range:
    """Insert rows under new ids, in order, and return the ids."""
    ids = reserve_ids(connection, len(rows))
    if rows:
        connection.execute(
            insert(table), [{"id": row_id, **row} for row_id, row in zip(ids, rows, strict=True)]
        )
    return ids
