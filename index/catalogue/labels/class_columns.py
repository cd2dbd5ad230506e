"""Class columns: which classes were asked of a case together.

A column `label` of a CSV gives each of its rows one class of several, and so says of every other class of
the column that it is not the row's. Of a class of another column it says nothing. A column is known by the
classes that it has, so that a file which is imported again, or in parts with the same classes, is one column.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from hashlib import sha256
from typing import NamedTuple

from sqlalchemy import Connection, Row, or_, select

from medsiglip.index.catalogue.labels.label_values import (
    GivenValues,
    Key,
    Values,
    image_keys,
    matched,
    stored_values,
)
from medsiglip.index.catalogue.one_of import one_of
from medsiglip.index.catalogue.schema import LEVEL_IDS, instances, labels, series, studies
from medsiglip.index.label_records import LabelRecord
from medsiglip.index.records import Level

Classes = frozenset[str]


def class_column(names: Iterable[str]) -> str:
    """The name of the column that has these classes."""
    listed = json.dumps(sorted(set(names)))
    return sha256(listed.encode("ascii")).hexdigest()[:32]


class AskedClasses(NamedTuple):
    """The classes that were asked of images, series or studies, by row id; `columnless` are their classes
    that version 0005 of the catalogue stored, of which the classes beside them are not known.
    """

    by_row: dict[int, Classes]
    columnless: Classes = frozenset()


def classes_of_level(connection: Connection, level: Level, row_ids: Collection[int]) -> AskedClasses:
    """The classes that were asked of images, series or studies."""
    columns: dict[int, set[str]] = {row_id: set() for row_id in row_ids}
    columnless = set()
    for row_id, name, column in _classes_of(connection, level, row_ids):
        if column is None:
            columnless.add(name)
        else:
            columns[row_id].add(column)
    wanted = {column for theirs in columns.values() for column in theirs}
    return AskedClasses(_united(columns, _names_of(connection, wanted)), frozenset(columnless))


def given_of_level(
    connection: Connection, level: Level, row_ids: Collection[int], records: Sequence[LabelRecord]
) -> tuple[dict[int, Values], AskedClasses]:
    """The labels of images, series or studies by row id, and the classes that were asked of them, if
    `records` were all that is stored.
    """
    given = matched(connection, records).values
    values = GivenValues(level, row_ids, given)
    names: dict[str, set[str]] = defaultdict(set)
    held: dict[Key, set[str]] = defaultdict(set)
    for (key, name), record in given.items():
        if record.class_column is not None and record.value is not None:
            names[record.class_column].add(name)
            held[key].add(record.class_column)
    columns: dict[int, set[str]] = {row_id: set() for row_id in row_ids}
    for row_id, keys in image_keys(connection, level, row_ids):
        values.add(row_id, keys)
        columns[row_id].update(*(held[key] for key in keys if key in held))
    return values.by_row, AskedClasses(_united(columns, names))


def continued_columns(
    connection: Connection, records: Iterable[LabelRecord], new: Mapping[Key, str]
) -> dict[Key, str]:
    """The column that the new class of a key stays in, by key: that of its stored class, where this has all
    classes that `records` have of the `new` column. So a small file corrects rows of a larger one.
    """
    classes: dict[str, set[str]] = defaultdict(set)
    for record in records:
        if record.class_column is not None:
            classes[record.class_column].add(record.name.strip())
    stored = _stored_columns(connection, new)
    names = _names_of(connection, set(stored.values()))
    return {key: column for key, column in stored.items() if classes[new[key]] <= names[column]}


def _classes_of(
    connection: Connection, level: Level, row_ids: Collection[int]
) -> Iterator[Row[int, str, str | None]]:
    owner = LEVEL_IDS[level]
    fits = or_(labels.c.pixel_hash == "", labels.c.pixel_hash == instances.c.pixel_hash)
    for statement in (
        stored_values(owner, "study", studies.c.study_instance_uid),
        stored_values(owner, "series", series.c.series_instance_uid),
        stored_values(owner, "instance", instances.c.sop_instance_uid).where(fits),
    ):
        chosen = statement.with_only_columns(owner, labels.c.name, labels.c.class_column).where(
            one_of(owner, list(row_ids)), labels.c.is_class
        )
        yield from connection.execute(chosen.distinct())


def _names_of(connection: Connection, columns: Collection[str]) -> dict[str, set[str]]:
    """The stored classes of each column."""
    names: dict[str, set[str]] = {column: set() for column in columns}
    held = select(labels.c.class_column, labels.c.name).where(one_of(labels.c.class_column, sorted(columns)))
    for column, name in connection.execute(held.distinct()):
        names[column].add(name)
    return names


def _stored_columns(connection: Connection, keys: Collection[Key]) -> dict[Key, str]:
    """The column of each key's stored class."""
    statement = select(labels.c.level, labels.c.uid, labels.c.pixel_hash, labels.c.class_column).where(
        one_of(labels.c.level, sorted({key[0] for key in keys})),
        one_of(labels.c.uid, sorted({key[1] for key in keys})),
        labels.c.class_column.is_not(None),
    )
    wanted = set(keys)
    found = {(row[0], row[1], row[2]): row[3] for row in connection.execute(statement)}
    return {key: column for key, column in found.items() if key in wanted}


def _united(columns: Mapping[int, Collection[str]], names: Mapping[str, set[str]]) -> dict[int, Classes]:
    """The classes of each row's columns; rows of the same columns share one set."""
    united: dict[frozenset[str], Classes] = {}
    found = {}
    for row_id, theirs in columns.items():
        key = frozenset(theirs)
        if key not in united:
            united[key] = frozenset().union(*(names[column] for column in key))
        found[row_id] = united[key]
    return found
