"""Adding cases: the rows of patients, studies, series, instances, images and files, and the shard with the
vectors. The shard is on disk before the transaction begins that names it: writers wait for each other's rows,
not for each other's disks.
"""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, delete

from medsiglip.index.catalogue import spaces
from medsiglip.index.catalogue.connecting.server_errors import was_undone
from medsiglip.index.catalogue.database import Database
from medsiglip.index.catalogue.one_of import one_of
from medsiglip.index.catalogue.rows import NewIds, columns_of, insert_columns, plain
from medsiglip.index.catalogue.schema import files, images
from medsiglip.index.catalogue.spaces import ActiveSpace
from medsiglip.index.engines import outbox
from medsiglip.index.errors import CatalogError
from medsiglip.index.objects.object_store import ObjectStore
from medsiglip.index.records import FileRecord, ImageRecord, SeriesBundle
from medsiglip.index.storage.placing.places import Columns, Identity, Place, known_places, place_instances
from medsiglip.index.storage.placing.redelivery import (
    ImageKey,
    clear_replaced,
    identities_of,
    key_of,
    known_images,
    redrawn,
    renew_facts,
)
from medsiglip.index.storage.shards import (
    OvertakenError,
    WriteTransaction,
    WrittenShard,
    commit_files,
    new_files,
    write_transaction,
)
from medsiglip.index.storage.thumbnails import insert_thumbnails
from medsiglip.index.vectors import Dtype, unit_length

# How often a shard is written beside other writers before one is written while they wait.
_ATTEMPTS = 5


class Addition(NamedTuple):
    """What is to be added to the active space: `vectors` float32 [n, d] follow the bundles' images."""

    active: ActiveSpace
    bundles: Sequence[SeriesBundle]
    vectors: NDArray[np.float32]
    dtype: Dtype


class _Plan(NamedTuple):
    """What the index holds of an addition: `known` are its images there by what they are known by, and
    `stays` those of them that keep their ids; `fresh` are the positions of the others, each once.
    """

    known: Mapping[ImageKey, int]
    stays: Mapping[ImageKey, int]
    fresh: Mapping[ImageKey, int]
    new_instances: int


def add_cases(database: Database, addition: Addition) -> list[int]:
    """Insert what is new and return the image id of every image, in order; what the index holds already stays
    as it is.

    What is known is looked up, ids are reserved and the shard is written while others may write. The
    transaction looks again: where another writer has changed what is known of these images meanwhile, or has
    given higher ids to rows, the shard is taken back and all is repeated; at last inside the transaction.
    """
    identities = identities_of(addition.bundles)
    for image in _records(addition):
        if (image.sop_instance_uid, image.pixel_hash) not in identities:
            raise ValueError(f"image of {image.sop_instance_uid} without its instance in the bundle")
    with _UNCOLLECTED:
        for _ in range(_ATTEMPTS):
            try:
                return _add_beside_others(database, addition)
            except OvertakenError:
                continue
            except CatalogError as error:
                if not was_undone(error):
                    raise
        return _add_alone(database, addition)


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


def _add_beside_others(database: Database, addition: Addition) -> list[int]:
    with database.read() as connection:
        plan = _planned(connection, database.objects, addition)
    if not plan.fresh:
        with write_transaction(database) as transaction:
            return _store(transaction, addition, plan, range(0), None)
    with new_files(database, _rows_at_most(addition, plan)) as written:
        ids = written.block[: len(plan.fresh)]
        shard = written.write_shard(addition.active.space.name, *_content(addition, plan, ids))
        with commit_files(database, written) as transaction:
            transaction.ids.take(transaction.connection, len(ids))
            return _store(transaction, addition, plan, ids, shard)


def _add_alone(database: Database, addition: Addition) -> list[int]:
    with write_transaction(database) as transaction:
        plan = _planned(transaction.connection, database.objects, addition)
        ids = transaction.ids.take(transaction.connection, len(plan.fresh))
        shard = None
        if ids:
            shard = transaction.files.write_shard(addition.active.space.name, *_content(addition, plan, ids))
        return _store(transaction, addition, plan, ids, shard)


def _planned(connection: Connection, objects: ObjectStore, addition: Addition) -> _Plan:
    _, bundles, vectors, _ = addition
    identities = identities_of(bundles)
    places = known_places(connection, identities)
    keys = list(map(key_of, _records(addition)))
    known = _known(connection, addition, places)
    changed = redrawn(connection, objects, bundles, known, vectors)
    stays = {key: image_id for key, image_id in known.items() if image_id not in changed}
    fresh: dict[ImageKey, int] = {}
    for position, key in enumerate(keys):
        if key not in stays:
            fresh.setdefault(key, position)
    return _Plan(known, stays, fresh, len(identities) - len(places))


def _known(
    connection: Connection, addition: Addition, places: Mapping[Identity, Place]
) -> dict[ImageKey, int]:
    wanted = set(map(key_of, _records(addition)))
    found = known_images(connection, addition.active.row_id, places)
    return {key: image_id for key, image_id in found.items() if key in wanted}


def _records(addition: Addition) -> list[ImageRecord]:
    return [image for bundle in addition.bundles for image in bundle.images]


def _rows_at_most(addition: Addition, plan: _Plan) -> int:
    """How many rows an addition inserts at most; the shard's own is one."""
    bundles = addition.bundles
    studies = {bundle.study.study_instance_uid for bundle in bundles}
    series = {(bundle.study.study_instance_uid, bundle.series.series_instance_uid) for bundle in bundles}
    own = len(plan.fresh) + 1 + plan.new_instances + sum(len(bundle.files) for bundle in bundles)
    return own + 2 * len(studies) + len(series)


def _content(
    addition: Addition, plan: _Plan, ids: range
) -> tuple[NDArray[np.int64], NDArray[np.float32], Dtype]:
    """The content of the shard: ids, vectors, and how they are stored."""
    vectors = unit_length(addition.vectors[list(plan.fresh.values())])
    return np.array(ids, np.int64), vectors, addition.dtype


def _store(
    transaction: WriteTransaction,
    addition: Addition,
    plan: _Plan,
    image_ids: range,
    shard: WrittenShard | None,
) -> list[int]:
    """The rows of an addition, of which the shard is that of the fresh images; raises `OvertakenError` if the
    plan does not hold any more.
    """
    connection, bundles, space_id = transaction.connection, addition.bundles, addition.active.row_id
    spaces.require_active(connection, addition.active)
    places = known_places(connection, identities_of(bundles))
    if _known(connection, addition, places) != plan.known:
        raise OvertakenError
    if clear_replaced(transaction, bundles, plan.stays):
        places = known_places(connection, identities_of(bundles))
    places = place_instances(transaction, bundles, places)
    renew_facts(connection, bundles, places, plan.stays)
    if shard is not None:
        shard_id = transaction.insert_shard(space_id, shard)
        _insert_images(connection, addition, plan, places, image_ids, shard_id)
    written = [file for bundle in bundles for file in bundle.files]
    write_files(connection, written, places, transaction.ids)
    ids = {**plan.stays, **dict(zip(plan.fresh, image_ids, strict=True))}
    return [ids[key_of(image)] for image in _records(addition)]


def _insert_images(
    connection: Connection,
    addition: Addition,
    plan: _Plan,
    places: Mapping[Identity, Place],
    image_ids: Sequence[int],
    shard_id: int,
) -> None:
    records = _records(addition)
    chosen = [records[position] for position in plan.fresh.values()]
    columns = _image_columns(chosen, places)
    constant = {"space_id": [addition.active.row_id] * len(chosen), "shard_id": [shard_id] * len(chosen)}
    insert_columns(connection, images, {"id": image_ids, **constant, **columns})
    outbox.note_put(connection, images.c.shard_id == shard_id)
    small = (image.thumbnail for image in chosen)
    insert_thumbnails(connection, dict(zip(image_ids, small, strict=True)))


def write_files(
    connection: Connection,
    records: Iterable[FileRecord],
    places: Mapping[Identity, Place] | None = None,
    new_ids: NewIds | None = None,
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
    ids = (new_ids or NewIds()).take(connection, len(latest))
    insert_columns(connection, files, {"id": ids, **_file_columns(list(latest.values()), held)})


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
