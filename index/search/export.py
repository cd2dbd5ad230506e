"""The whole index as one Parquet file that other tools can read."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from sqlalchemy import Connection, func, select

from medsiglip.index.catalogue import filters
from medsiglip.index.catalogue.case_queries import file_path
from medsiglip.index.catalogue.database import Database
from medsiglip.index.catalogue.labels import label_values as labels
from medsiglip.index.catalogue.one_of import one_of
from medsiglip.index.catalogue.paths import shown_path
from medsiglip.index.catalogue.rows import chunks
from medsiglip.index.catalogue.schema import images, instances, patients, series, studies
from medsiglip.index.catalogue.spaces import ActiveSpace
from medsiglip.index.errors import CatalogError
from medsiglip.index.storage.shards import listed
from medsiglip.index.vectors import ShardFolder, atomic_file, make_folder

if TYPE_CHECKING:
    import pyarrow as pa

FILE = "images.parquet"
_ROWS = 4096

_LEADING = (
    "image_id",
    "study_instance_uid",
    "series_instance_uid",
    "sop_instance_uid",
    "frame",
    "patient_key",
)
_COLUMNS = (*_LEADING, *(name for name in filters.FIELDS if name not in _LEADING))


def export(database: Database, active: ActiveSpace, folder: Path) -> int:
    """Write `images.parquet` with a row for each image of the space; returns the number of rows.

    Columns: `image_id`, UIDs, `frame`, `patient_key`, `path`, every field of
    `medsiglip.index.catalogue.filters`, `warnings`, `labels` (map of name to number) and `embedding`
    (fixed-size list of float32, unit length). The file is written completely or not at all. Raises
    `CatalogError` `changed-meanwhile`, `missing-shard` or `corrupt-shard`.
    """
    import pyarrow.parquet as pq

    schema = _schema(active)
    count = 0
    with database.translate_errors():
        make_folder(folder)
        with (
            database.read() as connection,
            atomic_file(folder / FILE) as stream,
            pq.ParquetWriter(stream, schema, compression="zstd") as writer,
        ):
            for table in _tables(connection, database, active, schema):
                writer.write_table(table)
                count += table.num_rows
    return count


def _schema(active: ActiveSpace) -> pa.Schema:
    import pyarrow as pa

    types = {
        name: pa.string()
        if kind in ("code", "text", "date")
        else pa.float64()
        if name == "patient_age"
        else pa.int64()
        for name, (_, kind) in filters.FIELDS.items()
    }
    fields = [(name, types[name]) for name in _COLUMNS]
    fields.insert(len(_LEADING), ("path", pa.string()))
    fields += [
        ("warnings", pa.list_(pa.string())),
        ("labels", pa.map_(pa.string(), pa.float64())),
        ("embedding", pa.list_(pa.float32(), active.space.dimension)),
    ]
    description = {
        "space": active.space.name,
        "model": active.space.model,
        "checkpoint": active.space.checkpoint_hash,
    }
    return pa.schema(fields, metadata=description)


def _tables(
    connection: Connection, database: Database, active: ActiveSpace, schema: pa.Schema
) -> Iterator[pa.Table]:
    import pyarrow as pa

    lowest = select(images.c.shard_id, func.min(images.c.id)).group_by(images.c.shard_id)
    first = {row[0]: row[1] for row in connection.execute(lowest)}
    rows = [shard for shard in listed(connection) if shard.space_id == active.row_id]
    for shard in sorted(rows, key=lambda one: first.get(one.id, 0)):
        try:
            held = ShardFolder(database.objects, shard.space).open(shard.name)
        except CatalogError as error:
            if error.code == "missing-shard" and not _still_named(database, shard.id):
                raise CatalogError(
                    "changed-meanwhile",
                    "Another process compacted or deleted cases during the export; run it again.",
                ) from None
            raise
        image_ids, order = held.ids, np.argsort(held.ids)
        for chunk in chunks(order.tolist(), _ROWS):
            columns = _metadata(connection, image_ids[chunk].tolist())
            values = held.vectors(np.array(chunk))
            arrays = [pa.array(columns[field.name], field.type) for field in list(schema)[:-1]]
            embedding = pa.FixedSizeListArray.from_arrays(
                pa.array(values.reshape(-1)), list_size=values.shape[1]
            )
            yield pa.table([*arrays, embedding], schema=schema)


def _still_named(database: Database, shard_id: int) -> bool:
    with database.read() as connection:
        return bool(listed(connection, [shard_id]))


def _metadata(connection: Connection, image_ids: list[int]) -> dict[str, Any]:
    statement = (
        select(*(filters.FIELDS[name][0].label(name) for name in _COLUMNS), images.c.warnings, file_path())
        .select_from(filters.joined((), instances, series, studies, patients))
        .where(one_of(images.c.id, image_ids))
        .order_by(images.c.id)
    )
    rows = list(connection.execute(statement).mappings())
    values = labels.of_images(connection, image_ids)
    columns: dict[str, Any] = {name: [row[name] for row in rows] for name in (*_COLUMNS, "path", "warnings")}
    columns["path"] = [None if path is None else shown_path(path) for path in columns["path"]]
    columns["labels"] = [sorted(values[image_id].items()) for image_id in image_ids]
    return columns
