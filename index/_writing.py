"""The one transaction that puts cases into the catalogue: rows, and the shard that holds their vectors."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, delete, select, tuple_

from index import deletion
from index._rows import insert_rows, portions, reserve_ids
from index._shards import Writing
from index.records import FileRecord, ImageRecord, InstanceRecord, SeriesBundle, SeriesRecord, StudyRecord
from index.schema import files, images, instances, patients, series, studies
from index.vectors import Dtype

Identity = tuple[str, str]


class Place(NamedTuple):
    """Row ids of an instance and of what it belongs to."""

    instance_id: int
    series_id: int
    study_id: int


def add(
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
    places = _place_instances(connection, bundles)
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
    for paths in portions(latest):
        connection.execute(delete(files).where(files.c.path.in_(paths)))
    insert_rows(connection, files, [_file_row(record, held) for record in latest.values()])


def known_places(connection: Connection, identities: Iterable[Identity]) -> dict[Identity, Place]:
    """Where the instances that are held already are."""
    found: dict[Identity, Place] = {}
    wanted = set(identities)
    source = instances.join(series, instances.c.series_id == series.c.id)
    for uids in portions({sop_instance_uid for sop_instance_uid, _ in wanted}):
        statement = (
            select(
                instances.c.sop_instance_uid,
                instances.c.pixel_hash,
                instances.c.id,
                instances.c.series_id,
                series.c.study_id,
            )
            .select_from(source)
            .where(instances.c.sop_instance_uid.in_(uids))
        )
        for uid, pixel_hash, *ids in connection.execute(statement):
            found[uid, pixel_hash] = Place(*ids)
    return {identity: place for identity, place in found.items() if identity in wanted}


def _clear_replaced(writing: Writing, bundles: Sequence[SeriesBundle]) -> None:
    replaced = {
        (bundle.study.study_instance_uid, bundle.series.series_instance_uid)
        for bundle in bundles
        if bundle.replace_series
    }
    found: list[int] = []
    for keys in portions(replaced):
        statement = (
            select(series.c.id)
            .join(studies, series.c.study_id == studies.c.id)
            .where(tuple_(studies.c.study_instance_uid, series.c.series_instance_uid).in_(keys))
        )
        found.extend(writing.connection.execute(statement).scalars())
    if found:
        deletion.clear_series(writing, found)


def _place_instances(connection: Connection, bundles: Sequence[SeriesBundle]) -> dict[Identity, Place]:
    """Insert the instances that are new, with the patients, studies and series that they need."""
    wanted: dict[Identity, tuple[SeriesBundle, InstanceRecord]] = {}
    for bundle in bundles:
        for instance in bundle.instances:
            wanted.setdefault((instance.sop_instance_uid, instance.pixel_hash), (bundle, instance))
    places = known_places(connection, wanted)
    new = {identity: found for identity, found in wanted.items() if identity not in places}
    needed = list({id(bundle): bundle for bundle, _ in new.values()}.values())
    study_ids = _place_studies(connection, needed)
    series_ids = _place_series(connection, needed, study_ids)
    owners = []
    for bundle, _ in new.values():
        study_id = study_ids[bundle.study.study_instance_uid]
        owners.append((series_ids[study_id, bundle.series.series_instance_uid], study_id))
    rows = [
        {**_row(instance), "series_id": series_id}
        for (_, instance), (series_id, _) in zip(new.values(), owners, strict=True)
    ]
    ids = insert_rows(connection, instances, rows)
    for identity, instance_id, owner in zip(new, ids, owners, strict=True):
        places[identity] = Place(instance_id, *owner)
    return places


def _place_studies(connection: Connection, bundles: Sequence[SeriesBundle]) -> dict[str, int]:
    wanted: dict[str, SeriesBundle] = {}
    for bundle in bundles:
        wanted.setdefault(bundle.study.study_instance_uid, bundle)
    held: dict[str, int] = {}
    for uids in portions(wanted):
        statement = select(studies.c.study_instance_uid, studies.c.id)
        found = connection.execute(statement.where(studies.c.study_instance_uid.in_(uids)))
        held.update({row[0]: row[1] for row in found})
    new = [bundle.study for uid, bundle in wanted.items() if uid not in held]
    patient_ids = _place_patients(connection, [study.patient_key for study in new])
    now = datetime.now(UTC)
    rows = []
    for study in new:
        row = _row(study)
        row["patient_id"] = patient_ids[row.pop("patient_key")]
        rows.append({**row, "added_at": now})
    ids = insert_rows(connection, studies, rows)
    return held | {study.study_instance_uid: row_id for study, row_id in zip(new, ids, strict=True)}


def _place_patients(connection: Connection, keys: Sequence[str]) -> dict[str, int]:
    wanted = dict.fromkeys(keys)
    held: dict[str, int] = {}
    for portion in portions(wanted):
        statement = select(patients.c.patient_key, patients.c.id)
        found = connection.execute(statement.where(patients.c.patient_key.in_(portion)))
        held.update({row[0]: row[1] for row in found})
    new = [key for key in wanted if key not in held]
    ids = insert_rows(connection, patients, [{"patient_key": key} for key in new])
    return held | dict(zip(new, ids, strict=True))


def _place_series(
    connection: Connection, bundles: Sequence[SeriesBundle], study_ids: Mapping[str, int]
) -> dict[tuple[int, str], int]:
    wanted: dict[tuple[int, str], SeriesBundle] = {}
    for bundle in bundles:
        study_id = study_ids[bundle.study.study_instance_uid]
        wanted.setdefault((study_id, bundle.series.series_instance_uid), bundle)
    held: dict[tuple[int, str], int] = {}
    for uids in portions({uid for _, uid in wanted}):
        statement = select(series.c.study_id, series.c.series_instance_uid, series.c.id)
        for study_id, uid, row_id in connection.execute(
            statement.where(series.c.series_instance_uid.in_(uids))
        ):
            held[study_id, uid] = row_id
    new = {key: bundle for key, bundle in wanted.items() if key not in held}
    rows = [{**_row(bundle.series), "study_id": key[0]} for key, bundle in new.items()]
    ids = insert_rows(connection, series, rows)
    return held | dict(zip(new, ids, strict=True))


def _known_images(
    connection: Connection, space_id: int, instance_ids: set[int]
) -> dict[tuple[int, int, str], int]:
    known: dict[tuple[int, int, str], int] = {}
    for portion in portions(instance_ids):
        statement = select(images.c.instance_id, images.c.frame, images.c.rendering, images.c.id).where(
            images.c.instance_id.in_(portion), images.c.space_id == space_id
        )
        for instance_id, frame, rendering, image_id in connection.execute(statement):
            known[instance_id, frame, rendering] = image_id
    return known


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
    row = _row(record)
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


def _row(record: StudyRecord | SeriesRecord | InstanceRecord | FileRecord) -> dict[str, Any]:
    row = {}
    for name in record.__slots__:
        value = getattr(record, name)
        row[name] = _text(value) if isinstance(value, str) else value
    return row


def _text(value: str) -> str:
    # Neither database takes half a surrogate pair, and PostgreSQL no NUL; headers in the wild hold both.
    if value.isascii() and "\0" not in value:
        return value
    return value.replace("\0", "").encode("utf-8", "replace").decode("utf-8")
