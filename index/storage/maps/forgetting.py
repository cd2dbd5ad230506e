"""Deleted rows leave the maps: their points, and where they are named as neighbours."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
from sqlalchemy import ColumnElement, Connection, Row, delete, select, update

from medsiglip.index.catalogue.browsing.schema import maps
from medsiglip.index.catalogue.schema import spaces
from medsiglip.index.errors import CatalogError
from medsiglip.index.storage.maps.map_file import MapFolder, MapPoints
from medsiglip.index.storage.shards import WriteTransaction


def forget_in_maps(transaction: WriteTransaction, gone: Sequence[Row[*tuple[Any, ...]]]) -> None:
    """Take images that are being deleted (`id`, `series_id`, `study_id` of each), and their series and
    studies, which are others without them, from every map. Files that named one are replaced, and listed for
    deletion. Raises `CatalogError` where it is not known what a file names, such as
    `object-store-unreachable`.
    """
    if not gone:
        return
    connection = transaction.connection
    # No two tables share an id.
    named = {row.id for row in gone} | {row.series_id for row in gone} | {row.study_id for row in gone}
    ids = np.array(sorted(named), np.int64)
    for one in connection.execute(_listed()).all():
        folder = MapFolder(transaction.objects, one.space)
        points = _read(transaction, folder, one.file)
        if points is not None and points.names(ids):
            kept = points.without(ids)
            name = transaction.new_name(folder)
            folder.write(name, kept)
            changed = update(maps).where(maps.c.id == one.id)
            connection.execute(changed.values(file=name, summary={**one.summary, "left": len(kept.row_ids)}))
            transaction.delete_files([_pattern(one.space, one.file)])


def _read(transaction: WriteTransaction, folder: MapFolder, name: str) -> MapPoints | None:
    """The points of a map, from the bucket where this machine's copy is damaged; None for a file that is
    gone, which names nobody.
    """
    for _ in range(2 if transaction.objects.is_remote else 1):
        try:
            return folder.read(name)
        except CatalogError as error:
            if error.code != "map-gone":
                raise
        transaction.objects.drop_copies([folder.object_name(name)])
    return None


def drop_maps(transaction: WriteTransaction, chosen: ColumnElement[bool]) -> None:
    """Delete maps, with their files after the commit."""
    connection = transaction.connection
    found = connection.execute(_listed().where(chosen)).all()
    transaction.delete_files([_pattern(one.space, one.file) for one in found])
    connection.execute(delete(maps).where(chosen))


def map_files(connection: Connection) -> Collection[str]:
    """The files of all maps, relative to the home."""
    return [f"maps/{one.space}/{one.file}.parquet" for one in connection.execute(_listed())]


def _listed() -> Any:
    statement = select(maps.c.id, maps.c.file, maps.c.summary, spaces.c.name.label("space"))
    return statement.join(spaces, maps.c.space_id == spaces.c.id).order_by(maps.c.id)


def _pattern(space: str, name: str) -> str:
    return f"maps/{space}/{name}.parquet"
