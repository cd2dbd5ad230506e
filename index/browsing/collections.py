"""Collections: cases that somebody put together under a name."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from sqlalchemy import Connection, delete, exists, func, insert, literal, select

from medsiglip.index.browsing.browsing_records import CollectionChange, CollectionRecord
from medsiglip.index.catalogue.browsing.schema import collection_cases, collections
from medsiglip.index.catalogue.database import Database
from medsiglip.index.catalogue.one_of import one_of
from medsiglip.index.catalogue.rows import insert_rows
from medsiglip.index.catalogue.schema import studies
from medsiglip.index.errors import CatalogError

MOST_COLLECTIONS = 1000
"""The most collections of an archive: a list shows all."""


class CollectionStore:
    """The collections of one catalogue."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def listed(self) -> list[CollectionRecord]:
        """All collections, by name."""
        with self._database.read() as connection:
            return _records(connection)

    def change(
        self,
        name: str,
        author: str,
        *,
        add: Sequence[str] = (),
        remove: Sequence[str] = (),
    ) -> CollectionChange:
        """Put studies into a collection, by UID, and take studies out; a new name makes a collection. What is
        in both `add` and `remove` is out. Raises `CatalogError` `too-many-collections`.
        """
        with self._database.write() as connection:
            row_id = _row(connection, name, author)
            before = _count(connection, row_id)
            if add:
                _insert(connection, row_id, list(add))
            between = _count(connection, row_id)
            taken = select(studies.c.id).where(one_of(studies.c.study_instance_uid, list(remove)))
            out = (collection_cases.c.collection_id == row_id, collection_cases.c.study_id.in_(taken))
            removed = connection.execute(delete(collection_cases).where(*out)).rowcount if remove else 0
            named = list(dict.fromkeys([*add, *remove]))
            known = select(studies.c.study_instance_uid).where(one_of(studies.c.study_instance_uid, named))
            there = set(connection.execute(known).scalars())
            [record] = _records(connection, row_id)
        unknown = tuple(uid for uid in named if uid not in there)
        return CollectionChange(record, between - before, removed, unknown)

    def remove(self, name: str) -> bool:
        """Delete a collection, but no case; whether there was one."""
        with self._database.write() as connection:
            row_id = connection.execute(select(collections.c.id).where(collections.c.name == name)).scalar()
            if row_id is None:
                return False
            connection.execute(delete(collection_cases).where(collection_cases.c.collection_id == row_id))
            connection.execute(delete(collections).where(collections.c.id == row_id))
            return True


def _records(connection: Connection, row_id: int | None = None) -> list[CollectionRecord]:
    count = select(func.count()).where(collection_cases.c.collection_id == collections.c.id)
    columns = (collections.c.name, collections.c.author, collections.c.created_at)
    statement = select(*columns, count.correlate(collections).scalar_subquery())
    if row_id is not None:
        statement = statement.where(collections.c.id == row_id)
    return [CollectionRecord(*row) for row in connection.execute(statement.order_by(collections.c.name))]


def _row(connection: Connection, name: str, author: str) -> int:
    """The row id of a collection, which is made where there is none."""
    held: int | None = connection.execute(select(collections.c.id).where(collections.c.name == name)).scalar()
    if held is not None:
        return held
    if connection.execute(select(func.count()).select_from(collections)).scalar_one() >= MOST_COLLECTIONS:
        raise CatalogError(
            "too-many-collections",
            f"There are {MOST_COLLECTIONS} collections, as many as an archive may have: remove one first.",
        )
    row = {"name": name, "author": author, "created_at": datetime.now(UTC)}
    return insert_rows(connection, collections, [row])[0]


def _count(connection: Connection, row_id: int) -> int:
    counted = select(func.count()).where(collection_cases.c.collection_id == row_id)
    return int(connection.execute(counted).scalar_one())


def _insert(connection: Connection, row_id: int, uids: Sequence[str]) -> None:
    """Put studies into a collection; those in it stay as they are."""
    held = exists().where(
        collection_cases.c.collection_id == row_id, collection_cases.c.study_id == studies.c.id
    )
    now = literal(datetime.now(UTC), collection_cases.c.added_at.type)
    found = select(literal(row_id), studies.c.id, now).where(
        one_of(studies.c.study_instance_uid, uids), ~held.correlate(studies)
    )
    names = ["collection_id", "study_id", "added_at"]
    connection.execute(insert(collection_cases).from_select(names, found))
