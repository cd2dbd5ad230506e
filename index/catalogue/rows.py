"""Steps shared by statements on the catalogue: new ids, inserts, records and JSON values, lists in chunks."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import chain, islice
from operator import attrgetter
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, Dialect, Row, Select, insert, select, update
from sqlalchemy import Table as SqlTable
from sqlalchemy.types import TypeEngine

from medsiglip.index.catalogue.schema import PathText, home

T = TypeVar("T")
# Rows of one INSERT: with twenty columns, 2,000 parameters, of which SQLite takes 32,766.
_ROWS_AT_ONCE = 100


def chunks(values: Collection[T], size: int) -> Iterator[list[T]]:
    """The values in lists of at most `size`."""
    remaining = iter(values)
    while chunk := list(islice(remaining, size)):
        yield chunk


def record_of(kind: type[T], row: Row[*tuple[Any, ...]]) -> T:
    """A record, a dataclass with slots, from the columns of its fields' names."""
    names: tuple[str, ...] = kind.__slots__  # type: ignore[attr-defined]
    return kind(**{name: getattr(row, name) for name in names})


def columns_of(kind: type[T], records: Sequence[T]) -> dict[str, Sequence[Any]]:
    """Records, dataclasses with slots, as columns by the names of their fields, with texts as both databases
    take them.
    """
    names: tuple[str, ...] = kind.__slots__  # type: ignore[attr-defined]
    if not records:
        return dict.fromkeys(names, ())
    columns = zip(*map(attrgetter(*names), records), strict=True)
    return {name: _texts(column) for name, column in zip(names, columns, strict=True)}


def _texts(column: Sequence[Any]) -> Sequence[Any]:
    # Neither database takes half a surrogate pair, and PostgreSQL no NUL; headers in the wild hold both.
    if not any(issubclass(kind, str) for kind in set(map(type, column))):
        return column
    together = "".join([value for value in column if isinstance(value, str)])
    if together.isascii() and "\0" not in together:
        return column
    return [storable(value) if isinstance(value, str) else value for value in column]


def storable(value: str) -> str:
    """A text as both databases take it: without NUL and halves of surrogate pairs."""
    return value.replace("\0", "").encode("utf-8", "replace").decode("utf-8")


def row_ids(connection: Connection, statement: Select[Any]) -> NDArray[np.int64]:
    """The integers that a statement selects, int64 [n], row by row: as the driver gives them, for the rows
    that SQLAlchemy makes of them take several times as long as the database.
    """
    with connection.execute(statement) as result:
        found = result.cursor.fetchall() if result.cursor is not None else ()
    return np.fromiter(chain.from_iterable(found), np.int64)


def reserve_ids(connection: Connection, count: int) -> range:
    """Ids that no row of any table has ever had, above those of all rows. Only inside a write transaction."""
    first = connection.execute(select(home.c.next_id)).scalar_one()
    if count:
        last = first + count
        connection.execute(update(home).values(next_id=last, newest_id=last - 1))
    return range(first, first + count)


def reserve_block(connection: Connection, count: int) -> range:
    """Ids that no row of any table has ever had, for a write transaction to come; never given out again,
    whatever becomes of it.
    """
    moved = update(home).values(next_id=home.c.next_id + count).returning(home.c.next_id)
    end: int = connection.execute(moved).scalar_one()
    return range(end - count, end)


def claim_block(connection: Connection, block: range) -> bool:
    """Whether a write transaction may use a block: not where others have committed rows with higher ids since
    it was reserved, for ids rise in the order of commits.
    """
    free = update(home).where(home.c.newest_id < block.start)
    return not block or connection.execute(free.values(newest_id=block.stop - 1)).rowcount == 1


class NewIds:
    """New ids of one write transaction: those of a block that it has claimed, then those that follow all."""

    def __init__(self, block: range = range(0)) -> None:
        self._left = block

    def take(self, connection: Connection, count: int) -> range:
        """So many ids in a row."""
        if count > len(self._left):
            self._left = range(0)  # ids rise within the transaction, too
            return reserve_ids(connection, count)
        taken, self._left = self._left[:count], self._left[count:]
        return taken


def insert_rows(connection: Connection, table: SqlTable, rows: Sequence[dict[str, Any]]) -> range:
    """Insert rows under new ids, in order, and return the ids."""
    ids = reserve_ids(connection, len(rows))
    if rows:
        connection.execute(
            insert(table), [{"id": row_id, **row} for row_id, row in zip(ids, rows, strict=True)]
        )
    return ids


def insert_columns(connection: Connection, table: SqlTable, columns: Mapping[str, Sequence[Any]]) -> None:
    """Insert rows given as columns of one length, by name, under ids that are among them.

    SQLAlchemy's own inserts prepare the parameters of each row by itself, which takes several times as long
    as the database; here each column is converted at once, and statements take a hundred rows. Nothing is
    filled in for columns that are left out.
    """
    dialect = connection.dialect
    quoted = dialect.identifier_preparer
    names = ", ".join(quoted.format_column(table.c[name]) for name in columns)
    mark = "?" if dialect.paramstyle == "qmark" else "%s"
    values = [_to_database(table.c[name].type, dialect, column) for name, column in columns.items()]
    one = f"({', '.join([mark] * len(columns))})"
    statement = f"INSERT INTO {quoted.format_table(table)} ({names}) VALUES "
    rows = list(zip(*values, strict=True))
    whole = len(rows) // _ROWS_AT_ONCE * _ROWS_AT_ONCE
    if whole:
        starts = range(0, whole, _ROWS_AT_ONCE)
        together = [tuple(chain.from_iterable(rows[low : low + _ROWS_AT_ONCE])) for low in starts]
        connection.exec_driver_sql(statement + ", ".join([one] * _ROWS_AT_ONCE), together)
    if rows[whole:]:
        connection.exec_driver_sql(statement + one, rows[whole:])


def _to_database(kind: TypeEngine[Any], dialect: Dialect, column: Sequence[Any]) -> Sequence[Any]:
    """A column as the driver takes it. Most documents are empty, and most paths plain ASCII."""
    convert = kind.dialect_impl(dialect).bind_processor(dialect)
    if convert is None or (isinstance(kind, PathText) and "".join(column).isascii()):
        return column
    if not any(column) and set(map(type, column)) in ({dict}, {list}):
        return [convert(column[0])] * len(column)
    return [convert(value) for value in column]


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
