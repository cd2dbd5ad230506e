"""Steps shared by statements on the catalogue: new ids, inserts, records and JSON values, lists in chunks."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, TypeVar

import numpy as np
from sqlalchemy import Connection, Row, insert, select, update
from sqlalchemy import Table as SqlTable

from medsiglip.index.catalogue.schema import home

T = TypeVar("T")


def chunks(values: Collection[T], size: int) -> Iterator[list[T]]:
    """The values in lists of at most `size`."""
    remaining = iter(values)
    while chunk := list(islice(remaining, size)):
        yield chunk


def record_of(kind: type[T], row: Row[*tuple[Any, ...]]) -> T:
    """A record, a dataclass with slots, from the columns of its fields' names."""
    names: tuple[str, ...] = kind.__slots__  # type: ignore[attr-defined]
    return kind(**{name: getattr(row, name) for name in names})


def reserve_ids(connection: Connection, count: int) -> range:
    """Ids that no row of any table has ever had. Only inside a write transaction."""
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


def plain(value: Any) -> Any:
    """A value for a JSON column: numpy values as numbers and lists, tuples as lists, NaN and infinity as
    None.
    """
    if isinstance(value, Mapping):
        return {str(key): plain(member) for key, member in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, list | tuple):
        return [plain(member) for member in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
