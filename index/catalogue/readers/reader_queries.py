"""What readers have said: of one study, and of one label everywhere."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, Row, Select, func, select

from medsiglip.index.catalogue import filters
from medsiglip.index.catalogue.browsing.schema import reader_labels
from medsiglip.index.catalogue.case_queries import unknown_study
from medsiglip.index.catalogue.database import Database
from medsiglip.index.catalogue.filter_queries import parsed
from medsiglip.index.catalogue.labels.label_values import Key
from medsiglip.index.catalogue.one_of import one_of
from medsiglip.index.catalogue.readers.consensus import NOBODY
from medsiglip.index.catalogue.schema import (
    ACTIVE_SPACE,
    images,
    instances,
    labels,
    patients,
    series,
    studies,
)
from medsiglip.index.label_records import GivenLabel, Reading

_BELOW = studies.join(patients).outerjoin(series).outerjoin(instances)
_UIDS: dict[str, ColumnElement[str]] = {
    "study": studies.c.study_instance_uid,
    "series": series.c.series_instance_uid,
    "instance": instances.c.sop_instance_uid,
}


class Owner(NamedTuple):
    """Whose a labelled case is."""

    study_instance_uid: str
    patient_key: str


class ReaderLabelStore:
    """What readers said of the cases of one catalogue. Every method reads in one transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def of_study(self, study_instance_uid: str) -> list[GivenLabel]:
        """All that was said of a study and what it holds, the earliest first; raises `CatalogError`
        `unknown-study`.
        """
        with self._database.read() as connection:
            at = studies.c.study_instance_uid == study_instance_uid
            if connection.execute(select(studies.c.id).where(at)).first() is None:
                raise unknown_study(study_instance_uid)
            rows = list(_rows_below(connection, study_instance_uid))
            stored = list(_labels_below(connection, study_instance_uid))
        undone = {row.undoes for row in rows if row.undoes is not None}
        said = [row for row in rows if row.undoes is None and row.action not in undone]
        last = {(_key(row), row.reader, row.name): row.id for row in said}
        known = {_key(row) for row in rows}
        found = [
            GivenLabel(row.level, row.uid, row.name, row.value, None, None, True)
            for row in stored
            if _key(row) not in known
        ]
        for row in said:
            if row.reader != NOBODY or row.value is not None:
                counts = last[_key(row), row.reader, row.name] == row.id and row.value is not None
                is_known = row.reader != NOBODY
                reader, given_at = (row.reader, row.given_at) if is_known else (None, None)
                found.append(GivenLabel(row.level, row.uid, row.name, row.value, reader, given_at, counts))
        return found

    def readings(self, name: str) -> list[Reading]:
        """What each reader says now of a label, by case and reader. Another class of its column says that it
        is not so.
        """
        with self._database.read() as connection:
            own = _last_rows(connection, [reader_labels.c.name == name])
            columns = sorted({row.class_column for row in own if row.class_column is not None})
            others = _other_classes(connection, name, columns) if columns else []
            rows = {(_key(row), row.reader): row for row in (*others, *own)}
            owners = owners_of(connection, {key for key, _ in rows})
        return [
            Reading(key, *owners[key], reader=reader, positive=_says(row, name), given_at=row.given_at)
            for (key, reader), row in sorted(rows.items(), key=lambda item: item[0])
            if key in owners
        ]

    def readers(self) -> list[str]:
        """The names of all who ever gave a label, sorted."""
        named = select(reader_labels.c.reader).where(reader_labels.c.reader != NOBODY).distinct()
        with self._database.read() as connection:
            return sorted(connection.execute(named).scalars())

    def candidates(self, where: Sequence[str]) -> list[Owner]:
        """The studies of which an image passes the filters, in the order in which they were added; raises
        `CatalogError` `bad-filter`.
        """
        with self._database.read() as connection:
            chosen = parsed(connection, where)
            passing = select(images.c.study_id).select_from(filters.joined(chosen))
            passing = passing.where(images.c.space_id == ACTIVE_SPACE, filters.conjunction(chosen))
            statement = (
                select(studies.c.study_instance_uid, patients.c.patient_key)
                .select_from(studies.join(patients))
                .where(studies.c.id.in_(passing))
                .order_by(studies.c.id)
            )
            return [Owner(*row) for row in connection.execute(statement)]


def owners_of(connection: Connection, keys: Collection[Key]) -> dict[Key, Owner]:
    """The study and the patient of labelled cases; of what is not in the index there is none."""
    found: dict[Key, Owner] = {}
    for level, column in _UIDS.items():
        uids = sorted({uid for at, uid, _ in keys if at == level})
        if not uids:
            continue
        owned = select(column, studies.c.study_instance_uid, patients.c.patient_key)
        owned = owned.select_from(_BELOW).where(one_of(column, uids)).distinct()
        by_uid = {row[0]: Owner(row[1], row[2]) for row in connection.execute(owned)}
        found |= {key: by_uid[key[1]] for key in keys if key[0] == level and key[1] in by_uid}
    return found


def _last_rows(connection: Connection, chosen: Sequence[ColumnElement[bool]]) -> list[Row[Any]]:
    """Of each reader, case and name the last row, where that has a value."""
    rows = reader_labels
    at_last = (
        select(func.max(rows.c.id))
        .where(rows.c.reader != NOBODY, *chosen)
        .group_by(rows.c.level, rows.c.uid, rows.c.pixel_hash, rows.c.reader, rows.c.name)
    )
    return list(connection.execute(select(rows).where(rows.c.id.in_(at_last), rows.c.value.is_not(None))))


def _other_classes(connection: Connection, name: str, columns: list[str]) -> list[Row[Any]]:
    """The last rows of the classes that stood in a column with a label."""
    beside = select(reader_labels.c.name).where(
        one_of(reader_labels.c.class_column, columns), reader_labels.c.name != name
    )
    rows = _last_rows(connection, [reader_labels.c.name.in_(beside)])
    return [row for row in rows if row.class_column in columns]


def _rows_below(connection: Connection, study_instance_uid: str) -> Iterator[Row[Any]]:
    found: dict[int, Row[Any]] = {}
    for statement in _below(select(reader_labels), reader_labels, study_instance_uid):
        found |= {row.id: row for row in connection.execute(statement)}
    yield from (found[row_id] for row_id in sorted(found))


def _labels_below(connection: Connection, study_instance_uid: str) -> Iterator[Row[Any]]:
    for statement in _below(select(labels), labels, study_instance_uid):
        yield from connection.execute(statement.order_by(labels.c.id))


def _below(statement: Select[Any], table: Any, study_instance_uid: str) -> Iterator[Select[Any]]:
    for level, column in _UIDS.items():
        uids = select(column).select_from(_BELOW).where(studies.c.study_instance_uid == study_instance_uid)
        yield statement.where(table.c.level == level, table.c.uid.in_(uids))


def _says(row: Row[Any], name: str) -> bool:
    return bool(row.name == name and row.value > 0)


def _key(row: Row[Any]) -> Key:
    return row.level, row.uid, row.pixel_hash
