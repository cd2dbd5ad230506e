"""What an engine has not been told yet: rows that are written in the transaction that changes images.

A row names an image with its series and study, whose vectors change with it. Which state they are to have is
read from the catalogue when the row is worked off (`medsiglip.index.engines.draining`), so rows may be worked
off in any order and more than once. A home without an engine has no rows.
"""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import ColumnElement, Connection, Integer, exists, func, insert, literal, select, update

from medsiglip.index.catalogue.schema import home, images, spaces, vector_changes

PUT, GONE, DROP = "put", "gone", "drop"
"""What happened: an image is new or its facts changed; it is about to be deleted; all of its space is."""

_COLUMNS = ("space_id", "image_id", "series_id", "study_id", "kind")
_HAS_ENGINE = exists().where(home.c.vector_engine.is_not(None))


def note_put(connection: Connection, *conditions: ColumnElement[bool]) -> None:
    """Note that the images that meet the conditions, on columns of `images`, are new, or that facts of them,
    of their series or of their studies have changed. Inside the write transaction that does so, after it did.
    """
    _note(connection, PUT, conditions)


def note_gone(connection: Connection, *conditions: ColumnElement[bool]) -> None:
    """Note that the images that meet the conditions are deleted: before they are, in the same transaction."""
    _note(connection, GONE, conditions)


def note_dropped(connection: Connection, space_id: int) -> None:
    """Note that everything of a space is deleted, in the same transaction."""
    nothing = literal(0, Integer)
    row = select(literal(space_id, Integer), nothing, nothing, nothing, literal(DROP)).where(_HAS_ENGINE)
    connection.execute(insert(vector_changes).from_select(_COLUMNS, row))


def refill(connection: Connection, engine: str, held: Collection[int] = ()) -> None:
    """Make `engine` the one of the home, and have everything put to it afresh, in a write transaction. What
    it may have of the home, of spaces that exist or of those that it has `held`, is dropped first.
    """
    connection.execute(update(home).values(vector_engine=engine))
    connection.execute(vector_changes.delete())
    there = connection.execute(select(spaces.c.id)).scalars().all()
    for space_id in sorted({*there, *held}):
        note_dropped(connection, space_id)
    note_put(connection)


def leave(connection: Connection) -> None:
    """Make the home one without an engine again, in a write transaction."""
    connection.execute(update(home).values(vector_engine=None))
    connection.execute(vector_changes.delete())


def engine_of(connection: Connection) -> str | None:
    """The name of the engine that the home is put to, None for an embedded one."""
    name: str | None = connection.execute(select(home.c.vector_engine)).scalar_one()
    return name


def waiting(connection: Connection, space_id: int | None = None) -> int:
    """How many changes an engine has not been told, of all spaces or of one."""
    counted = select(func.count()).select_from(vector_changes)
    if space_id is not None:
        counted = counted.where(vector_changes.c.space_id == space_id)
    return int(connection.execute(counted).scalar_one())


def _note(connection: Connection, kind: str, conditions: tuple[ColumnElement[bool], ...]) -> None:
    columns = (images.c.space_id, images.c.id, images.c.series_id, images.c.study_id, literal(kind))
    chosen = select(*columns).where(*conditions, _HAS_ENGINE)
    connection.execute(insert(vector_changes).from_select(_COLUMNS, chosen))
