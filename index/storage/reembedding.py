"""Embedding the images of a home anew: into a second space, which can then take the place of the active one,
or in the active space itself where pictures are drawn otherwise than when their vectors were made.

What is done is told from the rows alone, so that it goes on after any end: an image is done when its instance
has an image of the same frame in the second space, or when its rendering is of the current version.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import (
    ColumnElement,
    Connection,
    and_,
    delete,
    exists,
    false,
    func,
    insert,
    or_,
    select,
    update,
)

from medsiglip.index.catalogue import spaces as space_rows
from medsiglip.index.catalogue.browsing.schema import maps
from medsiglip.index.catalogue.case_queries import rendering_version
from medsiglip.index.catalogue.database import Database
from medsiglip.index.catalogue.one_of import one_of
from medsiglip.index.catalogue.rows import plain, reserve_ids
from medsiglip.index.catalogue.schema import (
    ACTIVE_SPACE,
    home,
    images,
    instances,
    probes,
    series,
    shards,
    spaces,
)
from medsiglip.index.catalogue.score_schema import backgrounds, calibrations, predictions
from medsiglip.index.catalogue.spaces import ActiveSpace
from medsiglip.index.engines import outbox
from medsiglip.index.errors import CatalogError
from medsiglip.index.records import ImageRecord, RenderingCount, Space
from medsiglip.index.storage.forgotten import forget_predictions
from medsiglip.index.storage.maps.forgetting import drop_maps, forget_in_maps
from medsiglip.index.storage.shards import WriteTransaction, listed, replace_shard, write_transaction
from medsiglip.index.storage.sweeping import sweep
from medsiglip.index.storage.thumbnails import delete_thumbnails, insert_thumbnails
from medsiglip.index.vectors import Dtype, unit_length


@dataclass(frozen=True, slots=True)
class SourceImage:
    """An image of the active space; `done` says that it needs not be embedded again."""

    image_id: int
    sop_instance_uid: str
    pixel_hash: str
    frame: int
    rendering: str
    done: bool


class Reembedding:
    """One renewal of the active space, into the space of the row `target`, or of the renderings `outdated` of
    the active space where that is None. Calls may be repeated: what is done is left unchanged.
    """

    def __init__(
        self,
        database: Database,
        source: ActiveSpace,
        target: ActiveSpace | None,
        outdated: Sequence[RenderingCount],
        dtype: Dtype,
        active: ActiveSpace | None = None,
    ) -> None:
        self._database = database
        self._source = source
        self._target = target
        self._active = active or source
        self._outdated = outdated
        self._dtype: Dtype = dtype

    def count(self) -> tuple[int, int]:
        """How many images are done, of how many."""
        with self._database.read() as connection:
            every = connection.execute(select(func.count()).where(self._of_source())).scalar_one()
            left = connection.execute(select(func.count()).where(*self._waiting())).scalar_one()
        return every - left, every

    def series(self, after: int, most: int) -> list[int]:
        """Row ids of series above `after` that have images to embed, at most so many, in order."""
        statement = select(images.c.series_id).where(*self._waiting(), images.c.series_id > after).distinct()
        with self._database.read() as connection:
            found = connection.execute(statement.order_by(images.c.series_id).limit(most))
            return list(found.scalars())

    def images(self, series_id: int) -> list[SourceImage]:
        """All images of a series in the active space, by id."""
        columns = (
            images.c.id,
            instances.c.sop_instance_uid,
            instances.c.pixel_hash,
            images.c.frame,
            images.c.rendering,
        )
        statement = select(*columns).join(instances, images.c.instance_id == instances.c.id)
        theirs = (self._of_source(), images.c.series_id == series_id)
        waiting = select(images.c.id).where(*self._waiting(), images.c.series_id == series_id)
        with self._database.read() as connection:
            left = set(connection.execute(waiting).scalars())
            rows = connection.execute(statement.where(*theirs).order_by(images.c.id)).all()
        return [SourceImage(*row, done=row.id not in left) for row in rows]

    def uid_of(self, series_id: int) -> str:
        """The Series Instance UID of a series; empty if it was forgotten."""
        with self._database.read() as connection:
            found = connection.execute(select(series.c.series_instance_uid).where(series.c.id == series_id))
            return found.scalar() or ""

    def add(self, drawn: Sequence[tuple[int, ImageRecord]], vectors: NDArray[np.float32]) -> int:
        """Store the vectors float32 [n, d] of images, each with the id of the image of the active space
        that it is of, in one transaction; returns how many were not done yet. What was forgotten meanwhile
        stays so.
        """
        place = self._target or self._source
        array = space_rows.checked_vectors(vectors, len(drawn), place.space.dimension)
        positions = {image_id: position for position, (image_id, _) in enumerate(drawn)}
        with write_transaction(self._database) as transaction:
            connection = transaction.connection
            space_rows.require_active(connection, self._active)
            space_rows.require_held(connection, place)
            chosen = select(images).where(*self._waiting(), one_of(images.c.id, list(positions)))
            held = connection.execute(chosen.order_by(images.c.id)).all()
            if not held:
                return 0
            if self._target is None:
                _delete(transaction, held)
            theirs = [positions[row.id] for row in held]
            ids = reserve_ids(connection, len(held))
            shard_id = transaction.add_shard(
                place.row_id,
                place.space.name,
                np.array(ids, np.int64),
                unit_length(array[theirs]),
                self._dtype,
            )
            rows = [
                _row(image_id, row, drawn[position][1], place.row_id, shard_id)
                for image_id, row, position in zip(ids, held, theirs, strict=True)
            ]
            connection.execute(insert(images), rows)
            outbox.note_put(connection, images.c.shard_id == shard_id)
            small = (drawn[position][1].thumbnail for position in theirs)
            insert_thumbnails(connection, dict(zip(ids, small, strict=True)))
        if self._target is None:
            sweep(self._database)
        return len(held)

    def finish(self, without: Collection[int]) -> bool:
        """Make the second space the active one, unless images other than those `without`, by id, are left to
        embed; whether it is. Without a second space nothing is switched.
        """
        if self._target in (None, self._active):
            with self._database.read() as connection:
                return not self._any_left(connection, without)
        place = self._target or self._source
        with self._database.write() as connection:
            space_rows.require_active(connection, self._active)
            space_rows.require_held(connection, place)
            if self._any_left(connection, without):
                return False
            connection.execute(update(home).values(space_id=place.row_id))
        return True

    def left_behind(self) -> list[Reembedding]:
        """Of a renewal in the active space: those that bring in what an earlier switch left behind in other
        spaces, one for each that holds such images. They read the files and switch nothing.
        """
        if self._target is not None:
            return []
        with self._database.read() as connection:
            others = space_rows.others(connection, self._source)
        works = [
            Reembedding(self._database, other, self._source, (), self._dtype, self._source)
            for other in others
        ]
        return [work for work in works if len(set(work.count())) > 1]

    def _any_left(self, connection: Connection, without: Collection[int]) -> bool:
        """Whether images other than those `without` are to be embedded."""
        # Counted: databases look up `id IN (...)` by an index, but compare `NOT IN` with each value in turn.
        waiting = select(func.count()).where(*self._waiting())
        missing = waiting.where(one_of(images.c.id, sorted(without)))
        left: int = connection.execute(waiting).scalar_one()
        return left > (connection.execute(missing).scalar_one() if without else 0)

    def _of_source(self) -> ColumnElement[bool]:
        return images.c.space_id == self._source.row_id

    def _waiting(self) -> tuple[ColumnElement[bool], ...]:
        """The conditions on images that are to be embedded."""
        if self._target is None:
            version = rendering_version().element
            kinds = (
                and_(images.c.rendering == one.rendering, version == one.version) for one in self._outdated
            )
            return self._of_source(), or_(false(), *kinds)
        other = images.alias()
        done = exists().where(
            other.c.instance_id == images.c.instance_id,
            other.c.space_id == self._target.row_id,
            other.c.frame == images.c.frame,
        )
        return self._of_source(), ~done


def _row(image_id: int, held: Any, record: ImageRecord, space_id: int, shard_id: int) -> dict[str, Any]:
    """The row of an image drawn anew; what the source does not say (such as a CSV's columns) is kept."""
    return {
        "id": image_id,
        "space_id": space_id,
        "shard_id": shard_id,
        "instance_id": held.instance_id,
        "series_id": held.series_id,
        "study_id": held.study_id,
        "frame": held.frame,
        "slice_index": held.slice_index,
        "rendering": record.rendering,
        "rendering_params": plain(record.rendering_params),
        "warnings": list(record.warnings),
        "quality": {**held.quality, **plain(record.quality)},
    }


def _delete(transaction: WriteTransaction, held: Sequence[Any]) -> None:
    """Delete images, with their vectors, thumbnails and previews; their files go after the commit."""
    connection = transaction.connection
    ids = [row.id for row in held]
    forget_predictions(connection, held)
    forget_in_maps(transaction, held)
    delete_thumbnails(connection, one_of(images.c.id, ids))
    outbox.note_gone(connection, one_of(images.c.id, ids))
    connection.execute(delete(images).where(one_of(images.c.id, ids)))
    for shard in listed(connection, sorted({row.shard_id for row in held})):
        replace_shard(transaction, shard)
    transaction.delete_files([f"previews/{image_id}.*" for image_id in ids])


def begin(
    database: Database,
    source: ActiveSpace,
    wanted: Space | None,
    outdated: Sequence[RenderingCount],
    dtype: Dtype,
) -> Reembedding:
    """A renewal into the space `wanted`, whose row is made, or in the active space where that is None or the
    same.
    """
    if wanted is None or wanted == source.space:
        return Reembedding(database, source, None, outdated, dtype)
    with database.write() as connection:
        return Reembedding(database, source, space_rows.known(connection, wanted), outdated, dtype)


class SpaceStore:
    """The spaces of one catalogue."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def listed(self) -> list[space_rows.SpaceSummary]:
        """All spaces, the active one first."""
        with self._database.read() as connection:
            return space_rows.summaries(connection)

    def drop(self, name: str) -> int:
        """Delete the images, vectors and snapshots of a space that is not the active one; returns how many
        images. Its probes and calibrations stay, and can be used again when it is embedded again.

        Raises `CatalogError` `unknown-space`, `space-in-use`, or `space-needed` if it holds images that the
        active space does not: their files would count as ingested, and nothing would find them.
        """
        with write_transaction(self._database) as transaction:
            dropped = _drop(transaction, name)
        sweep(self._database)
        return dropped


def _drop(transaction: WriteTransaction, name: str) -> int:
    connection: Connection = transaction.connection
    row_id = connection.execute(select(spaces.c.id).where(spaces.c.name == name)).scalar()
    if row_id is None:
        raise CatalogError(
            "unknown-space", f"There is no space {name} in this home; `index info` lists them."
        )
    if connection.execute(select(home.c.space_id)).scalar_one() == row_id:
        raise CatalogError(
            "space-in-use",
            f"{name} is the space that this home works in; `index reembed --to MODEL` switches to another.",
        )
    theirs = images.c.space_id == row_id
    _require_elsewhere(connection, name, row_id)
    previews = {
        name.rpartition("/")[2].partition(".")[0] for name in transaction.objects.matching("previews/*.*")
    }
    shown = [int(one) for one in previews if one.isdecimal()]
    ids = connection.execute(select(images.c.id).where(theirs, one_of(images.c.id, shown))).scalars().all()
    transaction.delete_files([f"previews/{image_id}.*" for image_id in ids])
    delete_thumbnails(connection, theirs)
    outbox.note_dropped(connection, row_id)
    dropped = connection.execute(delete(images).where(theirs)).rowcount
    old = connection.execute(select(shards.c.name).where(shards.c.space_id == row_id)).scalars().all()
    transaction.delete_files([f"vectors/{name}/{shard}.parquet" for shard in old] + [f"faiss/{name}.*"])
    connection.execute(delete(shards).where(shards.c.space_id == row_id))
    its_probes = select(probes.c.id).where(probes.c.space_id == row_id)
    connection.execute(delete(predictions).where(predictions.c.probe_id.in_(its_probes)))
    connection.execute(delete(backgrounds).where(backgrounds.c.space_id == row_id))
    drop_maps(transaction, maps.c.space_id == row_id)
    theirs_stay = (select(t.c.id).where(t.c.space_id == row_id) for t in (probes, calibrations))
    if all(connection.execute(one).first() is None for one in theirs_stay):
        connection.execute(delete(spaces).where(spaces.c.id == row_id))
    return dropped


def _require_elsewhere(connection: Connection, name: str, row_id: int) -> None:
    """Raise `CatalogError` `space-needed` unless every image of a space is in the active one too."""
    other = images.alias()
    elsewhere = exists().where(
        other.c.instance_id == images.c.instance_id,
        other.c.frame == images.c.frame,
        other.c.space_id == ACTIVE_SPACE,
    )
    counted = select(func.count()).where(images.c.space_id == row_id, ~elsewhere)
    only_here = connection.execute(counted).scalar_one()
    if only_here:
        raise CatalogError(
            "space-needed",
            f"{only_here} images of {name} are not in the space that this home works in; put their files "
            "back and run `index reembed`, or forget their studies.",
        )


def same_picture(image_id: int) -> ColumnElement[bool]:
    """The condition on images that they are of the same frame as an image of any space."""
    other = images.alias()
    return exists().where(
        other.c.id == image_id,
        other.c.instance_id == images.c.instance_id,
        other.c.frame == images.c.frame,
    )
