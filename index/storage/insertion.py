"""Adding cases: the rows of patients, studies, series, instances, images and files, and the shard with the
vectors, in one transaction.
"""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, Table, delete, select, update

from medsiglip.index.catalogue.agreement import Record, agree
from medsiglip.index.catalogue.one_of import one_of
from medsiglip.index.catalogue.rows import columns_of, insert_columns, plain, record_of, reserve_ids
from medsiglip.index.catalogue.schema import files, images, instances, patients, series, studies
from medsiglip.index.engines import outbox
from medsiglip.index.records import (
    FileRecord,
    ImageRecord,
    InstanceRecord,
    SeriesBundle,
    SeriesRecord,
    StudyRecord,
)
from medsiglip.index.storage import deletion
from medsiglip.index.storage.shards import WriteTransaction
from medsiglip.index.storage.thumbnails import insert_thumbnails
from medsiglip.index.vectors import Dtype, unit_length

Identity = tuple[str, str]
"""SOP Instance UID and pixel hash of an instance."""


Columns = dict[str, Sequence[Any]]
"""Values of rows by column, each of one length."""


class Place(NamedTuple):
    """Row ids of an instance and of the series and study that it belongs to."""

    instance_id: int
    series_id: int
    study_id: int


def add_cases(
    transaction: WriteTransaction,
    space_id: int,
    space: str,
    bundles: Sequence[SeriesBundle],
    vectors: NDArray[np.float32],
    dtype: Dtype,
) -> list[int]:
    """Insert what is new and return the image id of every image, in order; what the index holds already stays
    as it is.

    `vectors` float32 [n, d] follow the bundles' images. The new shard is on disk before its row is inserted,
    so all of it exists from the caller's commit on.
    """
    with _UNCOLLECTED:
        return _add_cases(transaction, space_id, space, bundles, vectors, dtype)


class _Uncollected:
    """Puts garbage collection off. Rows make no cycles, but so many objects that it would look through all
    objects of the process several times, which takes as long as the database.

    Safe for several threads, of which the last one puts it on again if it was on.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._was_on = False

    def __enter__(self) -> None:
        with self._lock:
            if not self._inside:
                self._was_on = gc.isenabled()
                gc.disable()
            self._inside += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1
            if not self._inside and self._was_on:
                gc.enable()


_UNCOLLECTED = _Uncollected()


def _add_cases(
    transaction: WriteTransaction,
    space_id: int,
    space: str,
    bundles: Sequence[SeriesBundle],
    vectors: NDArray[np.float32],
    dtype: Dtype,
) -> list[int]:
    connection = transaction.connection
    _clear_replaced(transaction, bundles)
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
        shard_id = transaction.add_shard(
            space_id, space, np.array(image_ids, np.int64), unit_length(vectors[positions]), dtype
        )
        columns = _image_columns([records[position] for position in positions], places)
        constant = {"space_id": [space_id] * len(fresh), "shard_id": [shard_id] * len(fresh)}
        insert_columns(connection, images, {"id": image_ids, **constant, **columns})
        outbox.note_put(connection, images.c.shard_id == shard_id)
        small = (records[position].thumbnail for position in positions)
        insert_thumbnails(connection, dict(zip(image_ids, small, strict=True)))
    write_files(connection, [file for bundle in bundles for file in bundle.files], places)
    return [known[key] for key in wanted]


def write_files(
    connection: Connection, records: Iterable[FileRecord], places: Mapping[Identity, Place] | None = None
) -> None:
    """Store what became of each file, replacing earlier records of the same paths."""
    latest = {record.path: record for record in records}
    held = dict(places or {})
    unknown = {
        (record.sop_instance_uid, record.pixel_hash)
        for record in latest.values()
        if record.sop_instance_uid is not None and record.pixel_hash is not None
    }
    held.update(known_places(connection, [key for key in unknown if key not in held]))
    connection.execute(delete(files).where(one_of(files.c.path, list(latest))))
    _insert(connection, files, _file_columns(list(latest.values()), held))


def _clear_replaced(transaction: WriteTransaction, bundles: Sequence[SeriesBundle]) -> None:
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
    rows = transaction.connection.execute(statement)
    found = [series_id for series_id, study, uid in rows if (study, uid) in replaced]
    if found:
        beside = known_places(transaction.connection, {one for bundle in bundles for one in bundle.beside})
        kept = {place.instance_id for place in beside.values()} | _added_since(transaction, found, bundles)
        deletion.clear_series(transaction, found, kept)


def _added_since(
    transaction: WriteTransaction, series_ids: Sequence[int], bundles: Sequence[SeriesBundle]
) -> set[int]:
    """The instances of these series that the bundles that replace them did not know of."""
    known = {
        (bundle.study.study_instance_uid, bundle.series.series_instance_uid): bundle.replaced
        for bundle in bundles
        if bundle.replace_series and bundle.replaced is not None
    }
    if not known:
        return set()
    columns = (instances.c.id, instances.c.sop_instance_uid, instances.c.pixel_hash)
    uids = (studies.c.study_instance_uid, series.c.series_instance_uid)
    statement = (
        select(*columns, *uids)
        .join(series, instances.c.series_id == series.c.id)
        .join(studies, series.c.study_id == studies.c.id)
        .where(one_of(instances.c.series_id, list(series_ids)))
    )
    rows = transaction.connection.execute(statement)
    return {
        instance_id
        for instance_id, uid, pixel_hash, *where in rows
        if (uid, pixel_hash) not in known.get((where[0], where[1]), {(uid, pixel_hash)})
    }


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


def _image_columns(records: Sequence[ImageRecord], places: Mapping[Identity, Place]) -> Columns:
    owners = [places[image.sop_instance_uid, image.pixel_hash] for image in records]
    return {
        **dict(zip(Place._fields, zip(*owners, strict=True), strict=True)),
        "frame": [image.frame for image in records],
        "slice_index": [image.slice_index for image in records],
        "rendering": [image.rendering for image in records],
        "rendering_params": [
            plain(image.rendering_params) if image.rendering_params else {} for image in records
        ],
        "warnings": [list(image.warnings) for image in records],
        "quality": [plain(image.quality) if image.quality else {} for image in records],
    }


def _file_columns(records: Sequence[FileRecord], places: Mapping[Identity, Place]) -> Columns:
    columns = columns_of(FileRecord, records)
    columns["path"] = [record.path for record in records]  # of any bytes
    held = [places.get((record.sop_instance_uid or "", record.pixel_hash or "")) for record in records]
    columns["instance_id"] = [place.instance_id if place else None for place in held]
    return columns


def known_places(connection: Connection, identities: Iterable[Identity]) -> dict[Identity, Place]:
    """The places of those instances that are in the catalogue."""
    found: dict[Identity, Place] = {}
    wanted = set(identities)
    source = instances.join(series, instances.c.series_id == series.c.id)
    statement = (
        select(
            instances.c.sop_instance_uid,
            instances.c.pixel_hash,
            instances.c.id,
            instances.c.series_id,
            series.c.study_id,
        )
        .select_from(source)
        .where(one_of(instances.c.sop_instance_uid, list({uid for uid, _ in wanted})))
    )
    for uid, pixel_hash, *ids in connection.execute(statement):
        found[uid, pixel_hash] = Place(*ids)
    return {identity: place for identity, place in found.items() if identity in wanted}


def place_instances(connection: Connection, bundles: Sequence[SeriesBundle]) -> dict[Identity, Place]:
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
    of_bundle = {}
    for bundle in needed:
        study_id = study_ids[bundle.study.study_instance_uid]
        of_bundle[id(bundle)] = (series_ids[study_id, bundle.series.series_instance_uid], study_id)
    owners = [of_bundle[id(bundle)] for bundle, _ in new.values()]
    columns = columns_of(InstanceRecord, [instance for _, instance in new.values()])
    columns["series_id"] = [series_id for series_id, _ in owners]
    ids = _insert(connection, instances, columns)
    for identity, instance_id, owner in zip(new, ids, owners, strict=True):
        places[identity] = Place(instance_id, *owner)
    return places


def _place_studies(connection: Connection, bundles: Sequence[SeriesBundle]) -> dict[str, int]:
    wanted: dict[str, StudyRecord] = {}
    for bundle in bundles:
        study = bundle.study
        wanted[study.study_instance_uid] = agree(wanted.get(study.study_instance_uid, study), study)
    held: dict[str, int] = {}
    statement = select(studies, patients.c.patient_key).join(patients)
    statement = statement.where(one_of(studies.c.study_instance_uid, list(wanted)))
    for row in connection.execute(statement).all():
        held[row.study_instance_uid] = row.id
        study = record_of(StudyRecord, row)
        _update(connection, studies, row.id, study, agree(study, wanted[row.study_instance_uid]))
    new = [study for uid, study in wanted.items() if uid not in held]
    patient_ids = _place_patients(connection, [study.patient_key for study in new])
    columns = columns_of(StudyRecord, new)
    columns["patient_id"] = [patient_ids[key] for key in columns.pop("patient_key")]
    columns["added_at"] = [datetime.now(UTC)] * len(new)
    ids = _insert(connection, studies, columns)
    return held | {study.study_instance_uid: row_id for study, row_id in zip(new, ids, strict=True)}


def _place_patients(connection: Connection, keys: Sequence[str]) -> dict[str, int]:
    wanted = dict.fromkeys(keys)
    statement = select(patients.c.patient_key, patients.c.id)
    found = connection.execute(statement.where(one_of(patients.c.patient_key, list(wanted))))
    held = {row[0]: row[1] for row in found}
    new = [key for key in wanted if key not in held]
    ids = _insert(connection, patients, {"patient_key": new})
    return held | dict(zip(new, ids, strict=True))


def _place_series(
    connection: Connection, bundles: Sequence[SeriesBundle], study_ids: Mapping[str, int]
) -> dict[tuple[int, str], int]:
    wanted: dict[tuple[int, str], SeriesRecord] = {}
    whole: dict[tuple[int, str], str | None] = {}
    for bundle in bundles:
        record = bundle.series
        key = study_ids[bundle.study.study_instance_uid], record.series_instance_uid
        wanted[key] = agree(wanted.get(key, record), record)
        if bundle.replace_series:  # the orientation of all its slices, not of those added before
            whole[key] = record.orientation
    held: dict[tuple[int, str], int] = {}
    uids = list({uid for _, uid in wanted})
    for row in connection.execute(select(series).where(one_of(series.c.series_instance_uid, uids))).all():
        key = row.study_id, row.series_instance_uid
        held[key] = row.id
        if key in wanted:
            record = record_of(SeriesRecord, row)
            agreed = agree(record, wanted[key])
            agreed = replace(agreed, orientation=whole.get(key, agreed.orientation))
            _update(connection, series, row.id, record, agreed)
    new = {key: record for key, record in wanted.items() if key not in held}
    columns = columns_of(SeriesRecord, list(new.values()))
    columns["study_id"] = [study_id for study_id, _ in new]
    ids = _insert(connection, series, columns)
    return held | dict(zip(new, ids, strict=True))


def _update(connection: Connection, table: Table, row_id: int, held: Record, agreed: Record) -> None:
    """Write what several records agreed on, where it differs from the row."""
    if agreed != held:
        columns = columns_of(type(agreed), [agreed])
        values = {name: value for name, [value] in columns.items() if name in table.c}
        connection.execute(update(table).where(table.c.id == row_id).values(values))
        outbox.note_put(connection, (images.c.study_id if table is studies else images.c.series_id) == row_id)


def _insert(connection: Connection, table: Table, columns: Columns) -> range:
    """Insert rows under new ids, in order, and return the ids."""
    ids = reserve_ids(connection, len(next(iter(columns.values()))))
    insert_columns(connection, table, {"id": ids, **columns})
    return ids
