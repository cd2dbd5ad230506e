"""Maps: their rows, by space, level and version, and the points of their files.

A stored map changes only by what is deleted from it; one that is made again is the next version.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Select, func, select

from medsiglip.index.catalogue.browsing.schema import maps
from medsiglip.index.catalogue.database import Database, now_of
from medsiglip.index.catalogue.rows import insert_rows, plain
from medsiglip.index.catalogue.schema import ACTIVE_SPACE, LEVEL_IDS, images, spaces
from medsiglip.index.errors import CatalogError
from medsiglip.index.records import Level
from medsiglip.index.storage.maps.forgetting import drop_maps
from medsiglip.index.storage.maps.map_file import MapFolder, MapPoints
from medsiglip.index.storage.shards import write_transaction
from medsiglip.index.storage.sweeping import sweep

_KEPT = 3
"""Versions of a level that are kept, so that a page that shows one can still ask about it."""


@dataclass(frozen=True, slots=True)
class MapRecord:
    """A map of the space that the home works in. `file` is its name below the space's folder, `summary` holds
    how it was made and what it is worth, and nothing of a case.
    """

    space: str
    level: Level
    version: int
    file: str
    summary: Mapping[str, Any]
    created_at: datetime


class MapStore:
    """The maps of one catalogue."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def put(self, space: str, level: Level, points: MapPoints, summary: Mapping[str, Any]) -> int:
        """Store a map as the next version of its level, which is returned; of more than three the oldest
        goes.

        Rows that were deleted while it was made are left out. Raises `CatalogError` `space-switched` where
        the home works in another space by now.
        """
        with write_transaction(self._database) as transaction:
            connection = transaction.connection
            active = select(spaces.c.id, spaces.c.name).where(spaces.c.id == ACTIVE_SPACE)
            row = connection.execute(active).first()
            if row is None or row.name != space:
                raise CatalogError(
                    "space-switched", "The home was switched to another model meanwhile; make the map again."
                )
            there = _rows_there(connection, level)
            gone = points.row_ids[[one not in there for one in points.row_ids.tolist()]]
            kept = points.without(gone) if len(gone) else points
            folder = MapFolder(transaction.objects, space)
            name = transaction.new_name(folder)
            folder.write(name, kept)
            same = (maps.c.space_id == row.id) & (maps.c.level == level)
            newest = select(func.coalesce(func.max(maps.c.version), 0)).where(same)
            version = int(connection.execute(newest).scalar_one()) + 1
            values = {"space_id": row.id, "level": level, "version": version, "file": name}
            values |= {
                "summary": plain({**summary, "points": len(points.row_ids), "left": len(kept.row_ids)})
            }
            insert_rows(connection, maps, [{**values, "created_at": now_of(connection)}])
            drop_maps(transaction, same & (maps.c.version <= version - _KEPT))
        sweep(self._database)
        return version

    def find(self, level: Level, version: int | None = None) -> MapRecord | None:
        """A map of the active space, without a number the newest of its level; None where there is none."""
        statement = _records().where(maps.c.level == level)
        if version is not None:
            statement = statement.where(maps.c.version == version)
        with self._database.read() as connection:
            row = connection.execute(statement.order_by(maps.c.version.desc()).limit(1)).first()
        return None if row is None else MapRecord(*row)

    def listed(self) -> list[MapRecord]:
        """The maps of the active space, by level, the newest first."""
        with self._database.read() as connection:
            rows = connection.execute(_records().order_by(maps.c.level, maps.c.version.desc()))
            return [MapRecord(*row) for row in rows]

    def points(self, record: MapRecord) -> MapPoints:
        """The points of a map; raises `CatalogError` `map-gone`."""
        return MapFolder(self._database.objects, record.space).read(record.file)

    def newest_image(self) -> int:
        """The highest image id of the active space, 0 for none."""
        newest = select(func.coalesce(func.max(images.c.id), 0)).where(images.c.space_id == ACTIVE_SPACE)
        with self._database.read() as connection:
            return int(connection.execute(newest).scalar_one())


def _records() -> Select[Any]:
    """The columns of a `MapRecord`, of the active space."""
    columns = (maps.c.level, maps.c.version, maps.c.file, maps.c.summary, maps.c.created_at)
    joined = select(spaces.c.name, *columns).join(spaces, maps.c.space_id == spaces.c.id)
    return joined.where(maps.c.space_id == ACTIVE_SPACE)


def _rows_there(connection: Connection, level: Level) -> frozenset[int]:
    column = LEVEL_IDS[level]
    found = select(column).where(images.c.space_id == ACTIVE_SPACE).distinct()
    return frozenset(connection.execute(found).scalars())
