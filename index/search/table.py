"""A level as columns, for evaluation and probes.

The vectors of few studies are read from their shards where no search has loaded the vectors of all.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, select

from medsiglip.index.catalogue.case_queries import image_rows
from medsiglip.index.catalogue.database import Database
from medsiglip.index.catalogue.filter_queries import passing_images
from medsiglip.index.catalogue.labels import class_columns
from medsiglip.index.catalogue.labels import label_values as labels
from medsiglip.index.catalogue.one_of import one_of
from medsiglip.index.catalogue.schema import LEVEL_IDS, images, shards
from medsiglip.index.catalogue.spaces import ActiveSpace
from medsiglip.index.label_records import LabelRecord
from medsiglip.index.objects.object_store import ObjectStore
from medsiglip.index.records import CaseTable, Level, Space
from medsiglip.index.search.current_space import CurrentSpace
from medsiglip.index.vectors import Ids, ShardFolder, Vectors, mean_directions

# Up to this many studies are read from their shards instead of loading all vectors.
_FEW_STUDIES = 1000


def table(
    database: Database,
    space: CurrentSpace,
    level: Level,
    where: Sequence[str],
    among: Sequence[str] | None,
    given: Sequence[LabelRecord] | None,
) -> CaseTable:
    """Everything of a level that passes the filters; see `CaseIndex.table`."""
    active = space.needed()
    if among is not None and len(among) <= _FEW_STUDIES and not space.is_loaded:
        with database.read() as connection:
            source = ShardVectors(connection, database.objects, active)
            few = np.array(passing_images(connection, where, among), np.int64)
            return columns(connection, source, level, few, given)
    return space.settled(lambda: _table(space, level, where, among, given))


def _table(
    space: CurrentSpace,
    level: Level,
    where: Sequence[str],
    among: Sequence[str] | None,
    given: Sequence[LabelRecord] | None,
) -> CaseTable:
    with space.view() as (loaded, connection):
        chosen = loaded.index.ids
        if where or among is not None:
            passing = np.array(passing_images(connection, where, among), np.int64)
            chosen = passing[np.isin(passing, chosen)]
        return columns(connection, loaded, level, chosen, given)


class VectorSource(Protocol):
    """Vectors of images, and of the series and studies that they belong to."""

    def vectors(self, level: Level, row_ids: Ids) -> Vectors:
        """Vectors of a level by row id, float32 [n, d] of unit length; `KeyError` for an unknown one."""


class ShardVectors:
    """Vectors read from the shards that hold them, without any in memory."""

    def __init__(self, connection: Connection, objects: ObjectStore, active: ActiveSpace) -> None:
        self._connection = connection
        self._active = active
        self._objects = objects

    def vectors(self, level: Level, row_ids: Ids) -> Vectors:
        """As in `VectorSource`; raises also `CatalogError` `missing-shard` and `corrupt-shard`."""
        owner = LEVEL_IDS[level]
        statement = (
            select(images.c.id, owner, shards.c.name)
            .join(shards, images.c.shard_id == shards.c.id)
            .where(images.c.space_id == self._active.row_id, one_of(owner, row_ids.tolist()))
            .order_by(images.c.id)
        )
        rows = self._connection.execute(statement).all()
        image_ids = np.array([row[0] for row in rows], np.int64)
        owners = np.array([row[1] for row in rows], np.int64)
        missing = np.setdiff1d(row_ids, owners)
        if len(missing):
            raise KeyError(*missing.tolist())
        held = read_vectors(self._objects, self._active.space, image_ids, [row[2] for row in rows])
        if level == "image":
            return held[np.searchsorted(image_ids, row_ids)]
        # Within a group by image id, as in `LoadedSpace`: the sum depends on the order.
        return mean_directions(held[owners == row_id] for row_id in row_ids) if len(row_ids) else held


def read_vectors(objects: ObjectStore, space: Space, image_ids: Ids, names: Sequence[str]) -> Vectors:
    """The vectors of images of a space, each from the shard of the same place in `names`."""
    folder = ShardFolder(objects, space.name)
    found = np.empty((len(image_ids), space.dimension), np.float32)
    places: dict[str, list[int]] = defaultdict(list)
    for place, name in enumerate(names):
        places[name].append(place)
    for name, theirs in places.items():
        held, vectors = folder.read(name, space.dimension)
        order = np.argsort(held)
        found[theirs] = vectors[order[np.searchsorted(held, image_ids[theirs], sorter=order)]]
    return found


def columns(
    connection: Connection,
    source: VectorSource,
    level: Level,
    image_ids: Ids,
    given: Sequence[LabelRecord] | None,
) -> CaseTable:
    """A row for each image of the active space, or for each series or study that holds one of them."""
    image_ids = np.sort(image_ids)
    rows = image_rows(connection, image_ids.tolist())
    image_ids = np.array([one for one in image_ids.tolist() if one in rows], np.int64)
    if level == "image":
        groups, first = image_ids, image_ids
        ids = [str(one) for one in groups.tolist()]
    else:
        owners = np.array([getattr(rows[one], f"{level}_id") for one in image_ids.tolist()], np.int64)
        groups, places = np.unique(owners, return_index=True)
        order = np.argsort(image_ids[places])
        groups, first = groups[order], image_ids[places][order]
        ids = [getattr(rows[one], f"{level}_instance_uid") for one in first.tolist()]
    if given is None:
        values = labels.of_level(connection, level, groups.tolist())
        classes = class_columns.classes_of_level(connection, level, groups.tolist())
    else:
        values, classes = class_columns.given_of_level(connection, level, groups.tolist(), given)
    chosen = [rows[one] for one in first.tolist()]
    return CaseTable(
        level=level,
        ids=tuple(ids),
        image_ids=first,
        study_instance_uids=tuple(row.study_instance_uid for row in chosen),
        patient_keys=tuple(row.patient_key for row in chosen),
        modalities=tuple(row.modality for row in chosen),
        body_parts=tuple(row.body_part_examined for row in chosen),
        paths=tuple(row.path for row in chosen),
        vectors=source.vectors(level, groups),
        labels=_label_columns([values[group] for group in groups.tolist()]),
        classes=tuple(classes.by_row[group] for group in groups.tolist()),
        columnless=classes.columnless,
    )


def _label_columns(values: Sequence[dict[str, float]]) -> dict[str, NDArray[np.float64]]:
    names = sorted({name for row in values for name in row})
    return {name: np.array([row.get(name, np.nan) for row in values], np.float64) for name in names}
