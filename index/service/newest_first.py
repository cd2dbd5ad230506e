"""Lists of rows that were created one after the other, the newest first, in pages.

A page begins after a row, which a cursor names by its moment and id: rows that come later do not shift the
pages, and a row that is deleted meanwhile leaves no gap.
"""

from __future__ import annotations

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Select, Table, and_, or_

from medsiglip.index.errors import CatalogError

LONGEST_CURSOR = 128
"""The most characters of a cursor."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LATEST = 10**17  # microseconds: the year 5138
# Ids of rows, and UIDs as they exist.
_ID = re.compile(r"[0-9A-Za-z._-]{1,64}")


@dataclass(frozen=True, slots=True)
class Place:
    """A row by when it was created, to the microsecond, and its id."""

    created_at: datetime
    id: str

    def cursor(self) -> str:
        """The cursor that asks for what comes after this row: letters, digits, `-` and `_`."""
        moment = (self.created_at - _EPOCH) // timedelta(microseconds=1)
        return urlsafe_b64encode(f"{moment} {self.id}".encode()).decode("ascii").rstrip("=")


def read_place(cursor: str) -> Place:
    """The row that a cursor names; raises `CatalogError` `bad-cursor`."""
    try:
        if len(cursor) > LONGEST_CURSOR or not cursor.isascii():
            raise ValueError
        moment, _, row_id = (
            urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode("ascii").partition(" ")
        )
        if not (_ID.fullmatch(row_id) and moment.isdecimal()):
            raise ValueError
        found = Place(_EPOCH + timedelta(microseconds=min(int(moment), _LATEST)), row_id)
        if found.cursor() != cursor:
            raise ValueError
    except ValueError:
        raise CatalogError(
            "bad-cursor", "The cursor cannot be read: give it as it came with an answer, or ask without one."
        ) from None
    return found


def newest_first(
    statement: Select[Any], table: Table, after: Place | None, limit: int, **equal: str | None
) -> Select[Any]:
    """A page of the rows of a statement on a table with `created_at` and `id`: the newest first, rows of one
    moment by id, those that come `after` a row. `equal` are columns of the table with the values that are
    wanted, None for any.
    """
    moment = table.c.created_at
    wanted = [table.c[name] == value for name, value in equal.items() if value is not None]
    if after is not None:
        wanted.append(or_(moment < after.created_at, and_(moment == after.created_at, table.c.id > after.id)))
    return statement.where(*wanted).order_by(moment.desc(), table.c.id).limit(limit)
