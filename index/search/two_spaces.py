"""The same cases in two spaces, to compare the models or profiles that made their vectors.

Which cases there are, and what is known of them, is told by the images of the active space. An image of
another space is the same where its instance and frame are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, select

from medsiglip.index.catalogue.database import Database
from medsiglip.index.catalogue.filter_queries import passing_images
from medsiglip.index.catalogue.one_of import one_of
from medsiglip.index.catalogue.schema import LEVEL_IDS, images, shards, spaces
from medsiglip.index.catalogue.spaces import ActiveSpace
from medsiglip.index.errors import CatalogError
from medsiglip.index.records import CaseTable, Level, Space
from medsiglip.index.search.set_to_set import StoredSets
from medsiglip.index.search.table import columns, read_vectors
from medsiglip.index.vectors import Ids, Vectors, mean_directions


@dataclass(frozen=True, slots=True, eq=False)
class SharedCases:
    """Cases of which every image that is compared has a vector in both spaces.

    The tables differ in their vectors alone. `sets` are the images of their rows, in each space; `left_out`
    counts the images that one of the spaces lacks.
    """

    spaces: tuple[Space, Space]
    tables: tuple[CaseTable, CaseTable]
    sets: tuple[StoredSets, StoredSets]
    left_out: int


class TwoSpaces:
    """The cases of one catalogue in any two of its spaces."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def cases(self, names: tuple[str, str], level: Level = "image", where: Sequence[str] = ()) -> SharedCases:
        """Every image, series or study of the active space that passes the filters, in the spaces of these
        names: only images of which both have a vector count.

        Raises `CatalogError` `unknown-space` and what `CaseIndex.table` does.
        """
        with self._database.read() as connection:
            first, second = (_space(connection, name) for name in names)
            passing = np.array(sorted(passing_images(connection, where)), np.int64)
            found = [_images(connection, space, passing) for space in (first, second)]
            shared = np.array(sorted(found[0].keys() & found[1].keys()), np.int64)
            owners = _owners(connection, level, shared)
            tables, sets = [], []
            for space, theirs in zip((first, second), found, strict=True):
                places = [theirs[image_id] for image_id in shared.tolist()]
                vectors = read_vectors(
                    self._database.objects,
                    space.space,
                    np.array([image_id for image_id, _ in places], np.int64),
                    [name for _, name in places],
                )
                source = _Shared(level, shared, owners, vectors)
                tables.append(columns(connection, source, level, shared, None))
                sets.append(source.sets(tables[-1].image_ids))
        return SharedCases(
            (first.space, second.space),
            (tables[0], tables[1]),
            (sets[0], sets[1]),
            len(passing) - len(shared),
        )


def _space(connection: Connection, name: str) -> ActiveSpace:
    row = connection.execute(select(spaces).where(spaces.c.name == name)).first()
    if row is None:
        raise CatalogError(
            "unknown-space", f"There is no space {name} in this home; `index info` lists them."
        )
    return ActiveSpace(row.id, Space(row.checkpoint_hash, row.profile, row.dimension, row.model))


def _images(connection: Connection, space: ActiveSpace, image_ids: Ids) -> dict[int, tuple[int, str]]:
    """For each image of the active space that this one has too: its id there, and the shard that holds it."""
    other = images.alias()
    same = (other.c.instance_id == images.c.instance_id) & (other.c.frame == images.c.frame)
    statement = (
        select(images.c.id, other.c.id, shards.c.name)
        .join(other, same)
        .join(shards, other.c.shard_id == shards.c.id)
        .where(other.c.space_id == space.row_id, one_of(images.c.id, image_ids.tolist()))
        .order_by(images.c.id, other.c.id.desc())
    )
    # An image that was drawn in two ways has two there: the older one counts.
    return {own: (theirs, name) for own, theirs, name in connection.execute(statement)}


def _owners(connection: Connection, level: Level, image_ids: Ids) -> Ids:
    """The row id, at a level, of what each image belongs to."""
    if level == "image":
        return image_ids
    statement = select(images.c.id, LEVEL_IDS[level]).where(one_of(images.c.id, image_ids.tolist()))
    found = {row[0]: row[1] for row in connection.execute(statement)}
    return np.array([found[image_id] for image_id in image_ids.tolist()], np.int64)


class _Shared:
    """The vectors [n, d] of one space for images by their ids in the active one, ascending."""

    def __init__(self, level: Level, image_ids: Ids, owners: Ids, vectors: Vectors) -> None:
        self._level = level
        self._ids = image_ids
        self._vectors = vectors
        order = np.argsort(owners, kind="stable")
        held, starts = np.unique(owners[order], return_index=True)
        ends = [*starts[1:].tolist(), len(order)]
        self._members = {
            owner: order[start:end] for owner, start, end in zip(held.tolist(), starts, ends, strict=False)
        }
        self._owners = dict(zip(image_ids.tolist(), owners.tolist(), strict=True))

    def vectors(self, level: Level, row_ids: Ids) -> Vectors:
        """As `table.VectorSource` asks; of the level that this was made for."""
        if level != self._level:
            raise ValueError(f"made for {self._level} level")
        members = [self._members[row_id] for row_id in row_ids.tolist()]
        if level == "image":
            found: Vectors = self._vectors[np.concatenate([np.empty(0, np.intp), *members])]
            return found
        return mean_directions(self._vectors[rows] for rows in members) if members else self._vectors

    def sets(self, first_images: NDArray[np.int64]) -> StoredSets:
        """The images of the rows of a table whose first images are these."""
        members = [self._members[self._owners[image_id]] for image_id in first_images.tolist()]
        return StoredSets.of([self._ids[rows] for rows in members], self._rows)

    def _rows(self, image_ids: Ids) -> Vectors:
        return self._vectors[np.searchsorted(self._ids, image_ids)]
