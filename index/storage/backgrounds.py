"""Backgrounds of scores: what was measured of an archive's own, so that a score can be compared with them.

They hold numbers of the whole archive. When a case is deleted all are, as its scores were among them; they
are measured again when they are next asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, delete, select

from medsiglip.index.catalogue.database import Database, now_of
from medsiglip.index.catalogue.rows import insert_rows, plain
from medsiglip.index.catalogue.schema import spaces
from medsiglip.index.catalogue.score_schema import backgrounds

_MOST_KINDS = 100


@dataclass(frozen=True, slots=True)
class BackgroundRecord:
    """What was measured, and when; `row_id` is new each time."""

    row_id: int
    summary: Mapping[str, Any]
    measured_at: datetime


class BackgroundStore:
    """The backgrounds of one catalogue. Every method is one transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, space: str, kind: str) -> BackgroundRecord | None:
        """The background of a kind of scores in a space, by its name; None where none was measured."""
        statement = (
            select(backgrounds.c.id, backgrounds.c.summary, backgrounds.c.measured_at)
            .join(spaces, backgrounds.c.space_id == spaces.c.id)
            .where(spaces.c.name == space, backgrounds.c.kind == kind)
        )
        with self._database.read() as connection:
            row = connection.execute(statement).first()
        return None if row is None else BackgroundRecord(*row)

    def put(self, space: str, kind: str, summary: Mapping[str, Any]) -> BackgroundRecord | None:
        """Store a background in place of the former one of its kind; of more than 100 kinds of a space the
        oldest goes. Returns what is stored, None where there is no such space any more.
        """
        with self._database.write() as connection:
            space_id = connection.execute(select(spaces.c.id).where(spaces.c.name == space)).scalar()
            if space_id is None:
                return None
            theirs = backgrounds.c.space_id == space_id
            connection.execute(delete(backgrounds).where(theirs, backgrounds.c.kind == kind))
            by_age = select(backgrounds.c.id).where(theirs).order_by(backgrounds.c.id)
            kept = connection.execute(by_age).scalars().all()
            for row_id in kept[: max(0, len(kept) + 1 - _MOST_KINDS)]:
                connection.execute(delete(backgrounds).where(backgrounds.c.id == row_id))
            measured_at = now_of(connection)
            row = {"space_id": space_id, "kind": kind, "summary": plain(summary), "measured_at": measured_at}
            [row_id] = insert_rows(connection, backgrounds, [row])
        return BackgroundRecord(row_id, summary, measured_at)


def forget_backgrounds(connection: Connection) -> None:
    """Delete all backgrounds, of every space, inside a write transaction."""
    connection.execute(delete(backgrounds))
