"""The one transaction that puts cases into the catalogue: rows, and the shard that holds their vectors."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, delete, select

from medsiglip.index.catalogue.one_of import one_of
from medsiglip.index.catalogue.rows import insert_rows, reserve_ids
from medsiglip.index.catalogue.schema import files, images, series, studies
from medsiglip.index.records import FileRecord, ImageRecord, SeriesBundle
from medsiglip.index.storage import deletion
from medsiglip.index.storage.placing import Identity, Place, known_places, place_instances, row_of
from medsiglip.index.storage.shards import Writing
from medsiglip.index.vectors import Dtype


def add_cases(
    writing: Writing,
    space_id: int,
    space: str,
    bundles: Sequence[SeriesBundle],
    vectors: NDArray[np.float32],
    dtype: Dtype,
) -> list[int]:
    """Insert what is new and return the image id of every image, in order; what is held already is left
    alone.

    `vectors` float32 [n, d] follow the bundles' images. The new shard is on disk before its row is inserted,
    so the caller's commit is the moment at which all of it exists.
    """
    connection = writing.connection
    _clear_replaced(writing, bundles)
    places = place_instances(connection, bundles)
    wanted = [_image_key(places, image) for bundle in bundles for image in bundle.images]
    known = _known_images(connection, space_id, {key[0] for key in wanted})
    fresh: dict[tuple[int, int, str], int] = {}
    for position, key in enumerate(wanted):
        if key not in known:
            fresh.setdefault(key, position)
    image_ids = reserve_ids(connection, len(fresh))
    known.update(zip(fresh, image_ids, strict=True))
    if fresh:
        records = [image for bundle in bundles for image in bundle.images]
        positions = list(fresh.values())
        shard_id = writing.shard(space_id, space, np.array(image_ids, np.int64), vectors[positions], dtype)
        rows = [
            _image_row(image_id, space_id, shard_id, places, records[position])
            for image_id, position in zip(image_ids, positions, strict=True)
        ]
        connection.execute(images.insert(), rows)
    write_files(connection, [file for bundle in bundles for file in bundle.files], places)
    return [known[key] for key in wanted]


def write_files(
    connection: Connection, records: Iterable[FileRecord], places: Mapping[Identity, Place] | None = None
) -> None:
    """Note what became of each file, in place of what was noted before."""
    latest = {record.path: record for record in records}
    held = dict(places or {})
    unknown = {
        (record.sop_instance_uid, record.pixel_hash)
        for record in latest.values()
        if record.sop_instance_uid is not None and record.pixel_hash is not None
    }
    held.update(known_places(connection, [key for key in unknown if key not in held]))
    connection.execute(delete(files).where(one_of(files.c.path, list(latest))))
    insert_rows(connection, files, [_file_row(record, held) for record in latest.values()])


def _clear_replaced(writing: Writing, bundles: Sequence[SeriesBundle]) -> None:
    replaced = {
        (bundle.study.study_instance_uid, bundle.series.series_instance_uid)
        for bundle in bundles
        if bundle.replace_series
    }
    if not replaced:
        return
    statement = (
        select(series.c.id, studies.c.study_instance_uid, series.c.series_instance_uid)
        .join(studies, series.c.study_id == studies.c.id)
        .where(one_of(series.c.series_instance_uid, list({uid for _, uid in replaced})))
    )
    rows = writing.connection.execute(statement)
    found = [series_id for series_id, study, uid in rows if (study, uid) in replaced]
    if found:
        beside = known_places(writing.connection, {one for bundle in bundles for one in bundle.beside})
        deletion.clear_series(writing, found, {place.instance_id for place in beside.values()})


def _known_images(
    connection: Connection, space_id: int, instance_ids: set[int]
) -> dict[tuple[int, int, str], int]:
    statement = select(images.c.instance_id, images.c.frame, images.c.rendering, images.c.id).where(
        one_of(images.c.instance_id, list(instance_ids)), images.c.space_id == space_id
    )
    return {
        (instance_id, frame, rendering): image_id
        for instance_id, frame, rendering, image_id in connection.execute(statement)
    }


def _image_key(places: Mapping[Identity, Place], image: ImageRecord) -> tuple[int, int, str]:
    place = places.get((image.sop_instance_uid, image.pixel_hash))
    if place is None:
        raise ValueError(f"image of {image.sop_instance_uid} without its instance in the bundle")
    return place.instance_id, image.frame, image.rendering


def _image_row(
    image_id: int, space_id: int, shard_id: int, places: Mapping[Identity, Place], image: ImageRecord
) -> dict[str, Any]:
    place = places[image.sop_instance_uid, image.pixel_hash]
    return {
        "id": image_id,
        "space_id": space_id,
        "shard_id": shard_id,
        **place._asdict(),
        "frame": image.frame,
        "slice_index": image.slice_index,
        "rendering": image.rendering,
        "rendering_params": plain(image.rendering_params),
        "warnings": list(image.warnings),
        "quality": plain(image.quality),
    }


def _file_row(record: FileRecord, places: Mapping[Identity, Place]) -> dict[str, Any]:
    identity = (record.sop_instance_uid or "", record.pixel_hash or "")
    place = places.get(identity)
    row = row_of(record)
    row["path"] = record.path
    row["instance_id"] = place.instance_id if place else None
    return row


def plain(value: Any) -> Any:
    """The value as JSON knows it: numpy scalars as numbers, tuples as lists, what is not finite as null."""
    if isinstance(value, Mapping):
        return {str(key): plain(member) for key, member in value.items()}
    if isinstance(value, list | tuple | np.ndarray):
        return [plain(member) for member in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value
