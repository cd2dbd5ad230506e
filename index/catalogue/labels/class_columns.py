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

from sqlalchemy import Connection, Row, or_, select

from medsiglip.index.catalogue.labels.label_values import Key, image_keys, matched, stored_values
from medsiglip.index.catalogue.one_of import one_of
from medsiglip.index.catalogue.schema import LEVEL_IDS, instances, labels, series, studies
from medsiglip.index.label_records import LabelRecord
from medsiglip.index.records import Level

Classes = frozenset[str]


def class_column(names: Iterable[str]) -> str:
    """The name of the column that has these classes."""
    listed = json.dumps(sorted(set(names)))
    return sha256(listed.encode("ascii")).hexdigest()[:32]


def classes_of_level(connection: Connection, level: Level, row_ids: Collection[int]) -> dict[int, Classes]:
    """The classes that were asked of images, series or studies, by row id."""
    columns: dict[int, set[str]] = {row_id: set() for row_id in row_ids}
    for row_id, column in _columns_of(connection, level, row_ids):
        columns[row_id].add(column)
    wanted = sorted({column for theirs in columns.values() for column in theirs})
    names: dict[str, set[str]] = defaultdict(set)
    if wanted:
        held = select(labels.c.class_column, labels.c.name).where(one_of(labels.c.class_column, wanted))
        for column, name in connection.execute(held.distinct()):
            names[column].add(name)
    return _united(columns, names)


def given_classes_of_level(
    connection: Connection, level: Level, row_ids: Collection[int], records: Sequence[LabelRecord]
) -> dict[int, Classes]:
    """The classes that would have been asked of them if `records` were all labels, by row id."""
    names: dict[str, set[str]] = defaultdict(set)
    held: dict[Key, set[str]] = defaultdict(set)
    for (key, name), record in matched(connection, records).values.items():
        if record.class_column is not None and record.value is not None:
            names[record.class_column].add(name)
            held[key].add(record.class_column)
    columns: dict[int, set[str]] = {row_id: set() for row_id in row_ids}
    if names:
        for row_id, keys in image_keys(connection, level, row_ids):
            columns[row_id].update(*(held[key] for key in keys if key in held))
    return _united(columns, names)


def _columns_of(connection: Connection, level: Level, row_ids: Collection[int]) -> Iterator[Row[int, str]]:
    owner = LEVEL_IDS[level]
    fits = or_(labels.c.pixel_hash == "", labels.c.pixel_hash == instances.c.pixel_hash)
    for statement in (
        stored_values(owner, "study", studies.c.study_instance_uid),
        stored_values(owner, "series", series.c.series_instance_uid),
        stored_values(owner, "instance", instances.c.sop_instance_uid).where(fits),
    ):
        chosen = statement.with_only_columns(owner, labels.c.class_column).where(
            one_of(owner, list(row_ids)), labels.c.class_column.is_not(None)
        )
        yield from connection.execute(chosen.distinct())


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
