"""Labels as readers give them: rows that are only added, and the labels of the archive that follow from them.

A case that no reader has labelled has rows in `labels` alone. Once one does, what was stored there before
becomes a row of nobody.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, Row, bindparam, delete, insert, select

from medsiglip.index.catalogue.browsing.schema import reader_labels
from medsiglip.index.catalogue.labels.label_values import Key
from medsiglip.index.catalogue.one_of import one_of
from medsiglip.index.catalogue.readers.consensus import NOBODY, Changes, Given, Opinions
from medsiglip.index.catalogue.rows import insert_rows, reserve_ids
from medsiglip.index.catalogue.schema import labels
from medsiglip.index.label_records import LabelRecord

_CASE = (reader_labels.c.level, reader_labels.c.uid, reader_labels.c.pixel_hash)


class Undone(NamedTuple):
    """What an undoing changed: `action` is the one that was undone, `keys` its cases, `names` its labels."""

    action: int
    keys: set[Key]
    names: set[str]


def give(connection: Connection, values: Mapping[tuple[Key, str], LabelRecord], reader: str) -> None:
    """Note what a reader says of cases, and change the archive's labels of these; nothing is noted twice."""
    said: dict[Key, dict[str, Given | None]] = {}
    for (key, name), record in values.items():
        said.setdefault(key, {})[name] = _given(record)
    opinions, adopted = _opinions(connection, said)
    changes = {key: opinions[key].changes(reader, theirs) for key, theirs in said.items()}
    changes = {key: theirs for key, theirs in changes.items() if theirs}
    _append(connection, {key: theirs for key, theirs in adopted.items() if key in changes})
    _append(connection, changes)
    _apply(connection, changes, opinions)


def known_to_readers(connection: Connection, keys: Collection[Key]) -> set[Key]:
    """Those of the cases that readers have labelled, or had."""
    held = select(*_CASE).where(_at(reader_labels.c.level, reader_labels.c.uid, keys)).distinct()
    return {(row[0], row[1], row[2]) for row in connection.execute(held)}.intersection(keys)


def undo_last(connection: Connection, reader: str) -> Undone | None:
    """Take back the last action of a reader that still counts: each label is as it was before it. None where
    there is none.
    """
    undoing = reader_labels.alias()
    undone = select(undoing.c.id).where(undoing.c.undoes == reader_labels.c.action)
    last = (
        select(reader_labels.c.action)
        .where(reader_labels.c.reader == reader, reader_labels.c.undoes.is_(None), ~undone.exists())
        .order_by(reader_labels.c.action.desc())
        .limit(1)
    )
    action = connection.execute(last).scalar()
    if action is None:
        return None
    written = connection.execute(select(reader_labels).where(reader_labels.c.action == action)).all()
    keys = {_key(row) for row in written}
    opinions, _ = _opinions(connection, keys)
    before = _before(connection, keys, action)
    changes: dict[Key, Changes] = {}
    for row in written:
        now = opinions[_key(row)].by_reader.get(row.reader, {}).get(row.name)
        # What nobody is named for may have come anew with files meanwhile.
        if row.reader == reader or now is None:
            former = before.get((_key(row), row.reader, row.name))
            changes.setdefault(_key(row), []).append((row.reader, row.name, former))
    _append(connection, changes, undoes=action)
    _apply(connection, changes, opinions)
    return Undone(action, keys, {row.name for row in written if row.reader == reader})


def forget_reader_labels(connection: Connection, level: str, uids: Any) -> None:
    """Delete what readers said of the cases of a level with these UIDs, a statement."""
    theirs = (reader_labels.c.level == level, reader_labels.c.uid.in_(uids))
    connection.execute(delete(reader_labels).where(*theirs))


def _opinions(connection: Connection, keys: Iterable[Key]) -> tuple[dict[Key, Opinions], dict[Key, Changes]]:
    """What is said of each case, and the rows of nobody that stand for the archive's labels of those that
    had no row of a reader.
    """
    opinions = {key: Opinions() for key in keys}
    known = set()
    rows = select(reader_labels).where(_at(reader_labels.c.level, reader_labels.c.uid, opinions))
    for row in connection.execute(rows.order_by(reader_labels.c.id)):
        if (key := _key(row)) in opinions:
            opinions[key].note(row.reader, row.name, _stored(row))
            known.add(key)
    adopted: dict[Key, Changes] = {}
    unknown = [key for key in opinions if key not in known]
    stored = select(labels).where(_at(labels.c.level, labels.c.uid, unknown)).order_by(labels.c.id)
    for row in connection.execute(stored) if unknown else ():
        if (key := _key(row)) in opinions and key not in known:
            opinions[key].note(NOBODY, row.name, _stored(row))
            adopted.setdefault(key, []).append((NOBODY, row.name, _stored(row)))
    return opinions, adopted


def _before(connection: Connection, keys: set[Key], action: int) -> dict[tuple[Key, str, str], Given | None]:
    """What each reader said of each label of the cases before an action."""
    found: dict[tuple[Key, str, str], Given | None] = {}
    rows = select(reader_labels).where(
        _at(reader_labels.c.level, reader_labels.c.uid, keys), reader_labels.c.id < action
    )
    for row in connection.execute(rows.order_by(reader_labels.c.id)):
        found[_key(row), row.reader, row.name] = _stored(row)
    return found


def _append(connection: Connection, changes: Mapping[Key, Changes], undoes: int | None = None) -> None:
    now = datetime.now(UTC)
    rows: list[dict[str, Any]] = [
        {
            **dict(zip(("level", "uid", "pixel_hash"), key, strict=True)),
            "name": name,
            "value": None if given is None else given.value,
            "is_class": given is not None and given.is_class,
            "class_column": None if given is None else given.class_column,
            "reader": reader,
            "given_at": now,
            "undoes": undoes,
        }
        for key, theirs in changes.items()
        for reader, name, given in theirs
    ]
    if rows:
        ids = reserve_ids(connection, len(rows))
        given_ids = [{"id": row_id, "action": ids[0], **row} for row_id, row in zip(ids, rows, strict=True)]
        connection.execute(insert(reader_labels), given_ids)


def _apply(connection: Connection, changes: Mapping[Key, Changes], opinions: Mapping[Key, Opinions]) -> None:
    """Note the changes, and store the labels of the archive that follow, in place of all of these cases."""
    rows: list[dict[str, Any]] = []
    for key, theirs in changes.items():
        for reader, name, given in theirs:
            opinions[key].note(reader, name, given)
        rows += [
            {
                **dict(zip(("level", "uid", "pixel_hash"), key, strict=True)),
                "name": name,
                "value": given.value,
                "is_class": given.is_class,
                "class_column": given.class_column,
            }
            for name, given in opinions[key].archive_labels().items()
        ]
    if changes:
        at_key = delete(labels).where(
            labels.c.level == bindparam("at_level"),
            labels.c.uid == bindparam("at_uid"),
            labels.c.pixel_hash == bindparam("at_hash"),
        )
        places = ("at_level", "at_uid", "at_hash")
        connection.execute(at_key, [dict(zip(places, key, strict=True)) for key in changes])
        insert_rows(connection, labels, rows)


def _at(level: ColumnElement[str], uid: ColumnElement[str], keys: Collection[Key]) -> ColumnElement[bool]:
    """The condition that a row may be of one of the cases: each has one of these levels and UIDs."""
    return one_of(level, sorted({key[0] for key in keys})) & one_of(uid, sorted({key[1] for key in keys}))


def _key(row: Row[Any]) -> Key:
    return row.level, row.uid, row.pixel_hash


def _stored(row: Row[Any]) -> Given | None:
    return None if row.value is None else Given(row.value, row.is_class, row.class_column)


def _given(record: LabelRecord) -> Given | None:
    if record.value is None:
        return None
    return Given(float(record.value), record.is_class, record.class_column if record.is_class else None)
