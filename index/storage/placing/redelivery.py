"""What stays of a series that is replaced: an image that is drawn as it was keeps its id and its vector, so
that a series that comes again changes nothing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, Table, bindparam, select, update

from medsiglip.index.catalogue.one_of import one_of
from medsiglip.index.catalogue.rows import columns_of, plain
from medsiglip.index.catalogue.schema import images, instances, series, studies
from medsiglip.index.engines import outbox
from medsiglip.index.errors import CatalogError
from medsiglip.index.objects.object_store import ObjectStore
from medsiglip.index.records import ImageRecord, InstanceRecord, SeriesBundle
from medsiglip.index.storage import deletion
from medsiglip.index.storage.placing.places import Identity, Place, known_places
from medsiglip.index.storage.shards import UNREADABLE, WriteTransaction, listed
from medsiglip.index.vectors import ShardFolder

ImageKey = tuple[str, str, int, str]
"""SOP Instance UID, pixel hash, frame and rendering of an image."""

SAME_VECTOR = 0.999
"""The least cosine of two vectors of one picture. Stores of float16 and encoders on other devices round by
less; pictures of neighbouring slices may be as alike, but are never compared with each other.
"""


def key_of(image: ImageRecord) -> ImageKey:
    """What an image is known by."""
    return image.sop_instance_uid, image.pixel_hash, image.frame, image.rendering


def identities_of(bundles: Sequence[SeriesBundle]) -> set[Identity]:
    """The instances of bundles."""
    return {(one.sop_instance_uid, one.pixel_hash) for bundle in bundles for one in bundle.instances}


def known_images(
    connection: Connection, space_id: int, places: Mapping[Identity, Place]
) -> dict[ImageKey, int]:
    """The id of each image of these instances in a space."""
    identities = {place.instance_id: identity for identity, place in places.items()}
    columns = (images.c.instance_id, images.c.frame, images.c.rendering, images.c.id)
    theirs = one_of(images.c.instance_id, list(identities)), images.c.space_id == space_id
    rows = connection.execute(select(*columns).where(*theirs))
    return {
        (*identities[instance_id], frame, rendering): image_id
        for instance_id, frame, rendering, image_id in rows
    }


def redrawn(
    connection: Connection,
    objects: ObjectStore,
    bundles: Sequence[SeriesBundle],
    known: Mapping[ImageKey, int],
    vectors: NDArray[np.float32],
) -> set[int]:
    """The ids of the known images of series to be replaced that are drawn in another way now: with other
    parameters of the rendering, or, as vectors float32 [n, d] of the bundles' images tell, from other pixels.
    """
    drawn: dict[int, tuple[ImageRecord, int]] = {}
    position = 0
    for bundle in bundles:
        for image in bundle.images:
            if bundle.replace_series and key_of(image) in known:
                drawn[known[key_of(image)]] = image, position
            position += 1
    if not drawn:
        return set()
    columns = (images.c.id, images.c.shard_id, images.c.rendering_params)
    rows = connection.execute(select(*columns).where(one_of(images.c.id, list(drawn)))).all()
    as_before: dict[int, list[int]] = defaultdict(list)
    for row in rows:
        if row.rendering_params == _params(drawn[row.id][0]):
            as_before[row.shard_id].append(row.id)
    stays: set[int] = set()
    for shard in listed(connection, sorted(as_before)):
        theirs = as_before[shard.id]
        new = vectors[[drawn[image_id][1] for image_id in theirs]]
        stays |= _alike(ShardFolder(objects, shard.space), shard.name, np.array(theirs, np.int64), new)
    return set(drawn) - stays


def _params(image: ImageRecord) -> Any:
    return plain(image.rendering_params) if image.rendering_params else {}


def _alike(
    folder: ShardFolder, name: str, image_ids: NDArray[np.int64], vectors: NDArray[np.float32]
) -> set[int]:
    """The images of a shard whose stored vectors are as good as these; of one that cannot be read, none."""
    try:
        held = folder.open(name)
    except CatalogError as error:
        if error.code not in UNREADABLE:
            raise
        return set()
    order = np.argsort(held.ids)
    places = np.searchsorted(held.ids, image_ids, sorter=order)
    there = places < len(held.ids)
    rows = order[places[there]]
    there[there] = held.ids[rows] == image_ids[there]
    rows = order[places[there]]
    if vectors.shape[1] != held.values.shape[1]:
        return set()
    cosines = np.einsum("ij,ij->i", held.vectors(rows), vectors[there], dtype=np.float64)
    return set(image_ids[there][cosines >= SAME_VECTOR].tolist())


def clear_replaced(
    transaction: WriteTransaction, bundles: Sequence[SeriesBundle], stays: Mapping[ImageKey, int]
) -> bool:
    """Delete what series to be replaced hold beside the bundles' images that stay; whether there was any.

    Instances of the bundles themselves stay, with those `beside` and those that another process added since.
    Images that this one drew of the bundles' own go: the bundles' are inserted in their place.
    """
    found = _replaced_series(transaction.connection, bundles)
    if not found:
        return False
    replacing = [bundle for bundle in bundles if bundle.replace_series]
    beside = {one for bundle in replacing for one in bundle.beside}
    places = known_places(transaction.connection, identities_of(replacing) | beside)
    since = _added_since(transaction.connection, found, replacing)
    # Beside one bundle may be what another draws: slides and volumes of one series.
    drawn = {one for bundle in replacing for one in identities_of([bundle]) - bundle.beside}
    own = {place.instance_id for identity, place in places.items() if identity in drawn}
    stale = _stale(transaction.connection, found, own, replacing, stays)
    return deletion.clear_series(
        transaction, found, since | {one.instance_id for one in places.values()}, stale
    )


def _replaced_series(connection: Connection, bundles: Sequence[SeriesBundle]) -> list[int]:
    replaced = {
        (bundle.study.study_instance_uid, bundle.series.series_instance_uid)
        for bundle in bundles
        if bundle.replace_series
    }
    if not replaced:
        return []
    statement = (
        select(series.c.id, studies.c.study_instance_uid, series.c.series_instance_uid)
        .join(studies, series.c.study_id == studies.c.id)
        .where(one_of(series.c.series_instance_uid, list({uid for _, uid in replaced})))
    )
    rows = connection.execute(statement)
    return [series_id for series_id, study, uid in rows if (study, uid) in replaced]


def _stale(
    connection: Connection,
    series_ids: Sequence[int],
    instance_ids: Collection[int],
    replacing: Sequence[SeriesBundle],
    stays: Mapping[ImageKey, int],
) -> list[int]:
    """The images of these instances, in every space, of which the bundles draw none, and those, of whichever
    instance, that they draw anew.
    """
    drawn = {key_of(image) for bundle in replacing for image in bundle.images}
    columns = (images.c.id, instances.c.id.label("instance_id"), images.c.frame, images.c.rendering)
    uids = (instances.c.sop_instance_uid, instances.c.pixel_hash)
    statement = (
        select(*columns, *uids)
        .join(instances, images.c.instance_id == instances.c.id)
        .where(one_of(instances.c.series_id, list(series_ids)))
    )
    found = []
    for row in connection.execute(statement):
        key = row.sop_instance_uid, row.pixel_hash, row.frame, row.rendering
        if key not in stays if key in drawn else row.instance_id in instance_ids:
            found.append(row.id)
    return found


def _added_since(
    connection: Connection, series_ids: Sequence[int], replacing: Sequence[SeriesBundle]
) -> set[int]:
    """The instances of these series that the bundles that replace them did not know of."""
    known: dict[tuple[str, str], set[Identity]] = defaultdict(set)
    for bundle in replacing:
        if bundle.replaced is not None:
            known[bundle.study.study_instance_uid, bundle.series.series_instance_uid] |= bundle.replaced
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
    return {
        instance_id
        for instance_id, uid, pixel_hash, *where in connection.execute(statement)
        if (uid, pixel_hash) not in known.get((where[0], where[1]), {(uid, pixel_hash)})
    }


def renew_facts(
    connection: Connection,
    bundles: Sequence[SeriesBundle],
    places: Mapping[Identity, Place],
    stays: Mapping[ImageKey, int],
) -> None:
    """Write what the bundles of replaced series say of instances and images that stay, where the rows say
    something else: places among slices, warnings, qualities.
    """
    replacing = [bundle for bundle in bundles if bundle.replace_series]
    shown = {
        stays[key_of(image)]: {
            "slice_index": image.slice_index,
            "warnings": list(image.warnings),
            "quality": plain(image.quality) if image.quality else {},
        }
        for bundle in replacing
        for image in bundle.images
        if key_of(image) in stays
    }
    changed = _renew(connection, images, shown)
    if changed:
        outbox.note_put(connection, one_of(images.c.id, changed))
    described = {}
    for bundle in replacing:
        for one in bundle.instances:
            columns = columns_of(InstanceRecord, [one])
            place = places[one.sop_instance_uid, one.pixel_hash]
            described[place.instance_id] = {name: value for name, [value] in columns.items()}
    _renew(connection, instances, described)


def _renew(connection: Connection, table: Table, wanted: Mapping[int, Mapping[str, Any]]) -> list[int]:
    """Update rows by id where they differ; returns the ids of those."""
    if not wanted:
        return []
    names = list(next(iter(wanted.values())))
    held = select(table.c.id, *(table.c[name] for name in names)).where(one_of(table.c.id, list(wanted)))
    changed = [
        row.id
        for row in connection.execute(held).all()
        if {name: getattr(row, name) for name in names} != dict(wanted[row.id])
    ]
    if changed:
        values = {name: bindparam(f"new_{name}", type_=table.c[name].type) for name in names}
        statement = update(table).where(table.c.id == bindparam("row_id")).values(values)
        rows = [{"row_id": one, **{f"new_{name}": wanted[one][name] for name in names}} for one in changed]
        connection.execute(statement, rows)
    return changed
