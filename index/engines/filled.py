"""Whether an engine holds what it was told: an engine that lost rows answers as if it never had them."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Column, func, select

from medsiglip.index.catalogue.database import Database
from medsiglip.index.catalogue.schema import home, images
from medsiglip.index.engines import outbox
from medsiglip.index.engines.engine import Collection, VectorEngine
from medsiglip.index.records import Level

# The part of its rows that an engine may lack before it counts as one that lost them: `index verify` finds
# single ones.
_MAY_LACK = 0.01

_OWNERS: dict[Level, Column[Any]] = {
    "image": images.c.id,
    "series": images.c.series_id,
    "study": images.c.study_id,
}


def lost_rows(database: Database, engine: VectorEngine, collection: Collection, rows: int) -> int | None:
    """How many rows an engine has of a collection, where these are clearly fewer than the `rows` of a state
    and than the catalogue has now; else None. What waits to be told, and what others change meanwhile, does
    not count.
    """
    count = engine.count(collection)
    if not _is_fewer(count, rows):
        return None
    owner = _OWNERS[collection.level]
    with database.read() as connection:
        version = connection.execute(select(home.c.version)).scalar_one()
        counted = select(func.count(owner.distinct())).where(images.c.space_id == collection.space_id)
        told = connection.execute(counted).scalar_one() - outbox.waiting(connection, collection.space_id)
    count = engine.count(collection)
    with database.read() as connection:
        if connection.execute(select(home.c.version)).scalar_one() != version:
            return None
    return count if _is_fewer(count, told) else None


def _is_fewer(count: int, rows: int) -> bool:
    return count < (1 - _MAY_LACK) * rows
