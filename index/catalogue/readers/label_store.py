"""The stored labels of a catalogue: given, replaced, counted."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from sqlalchemy import Connection, bindparam, delete, func, select

from medsiglip.index.catalogue.database import Database
from medsiglip.index.catalogue.labels.class_columns import continued_columns
from medsiglip.index.catalogue.labels.label_conflicts import label_conflicts
from medsiglip.index.catalogue.labels.label_values import Key, Matched, keys_by_kind, matched, studies_with
from medsiglip.index.catalogue.paths import StoredPaths
from medsiglip.index.catalogue.readers.consensus import NOBODY
from medsiglip.index.catalogue.readers.reader_labels import give, known_to_readers, undo_last
from medsiglip.index.catalogue.readers.reader_queries import owners_of
from medsiglip.index.catalogue.rows import insert_rows
from medsiglip.index.catalogue.schema import labels
from medsiglip.index.label_records import LabelOutcome, LabelRecord, LabelSummary, UndoneLabels


class LabelStore:
    """The labels of one catalogue. Every method reads, or writes, in one transaction."""

    def __init__(self, database: Database, paths: StoredPaths) -> None:
        self._database = database
        self._paths = paths

    def put(
        self,
        records: Sequence[LabelRecord],
        reader: str = NOBODY,
        *,
        coded: Callable[[str], str] | None = None,
    ) -> LabelOutcome:
        """Label cases in the index, in the name of a reader; a later value of the same reader for the same
        name and key replaces an earlier one, and the label that the archive has follows from what all readers
        say (`medsiglip.index.catalogue.readers.consensus`).

        A path stands for the pixels that the file held when it was ingested. UIDs that are not in the index
        are looked up as `coded(uid)` too. All records are stored or none; raises `CatalogError` `bad-label`.
        """
        stored = [self._paths.label(record) for record in records]
        with self._database.write() as connection:
            found = _found(connection, stored, coded)
            values = _placed(connection, found.values, stored)
            known = known_to_readers(connection, {key for key, _ in values}) if reader == NOBODY else None
            if known is None or known:
                given = {one: record for one, record in values.items() if known is None or one[0] in known}
                give(connection, given, reader)
                values = {one: record for one, record in values.items() if one not in given}
            _replace(connection, values)
        keys = {key for key, _ in found.values}
        # What is only told of needs no lock, and others write meanwhile.
        with self._database.read() as connection:
            conflicts = label_conflicts(connection, keys, found.contradicted)
        left = tuple(replace(record, key=self._paths.given(record.key)) for record in found.unmatched)
        return LabelOutcome(len(records) - len(left), left, conflicts)

    def undo(self, reader: str) -> UndoneLabels | None:
        """Take back what a reader last gave or took back at once, as if it had not been; None where nothing
        is left to undo. Repeated, it goes further back.
        """
        with self._database.write() as connection:
            undone = undo_last(connection, reader)
            if undone is None:
                return None
            owners = owners_of(connection, undone.keys)
        uids = sorted({owners[key].study_instance_uid for key in undone.keys if key in owners})
        return UndoneLabels(tuple(uids), tuple(sorted(undone.names)), len(undone.keys))

    def studies_of(self, records: Sequence[LabelRecord]) -> list[str]:
        """The UIDs of the studies that hold what `records` would label, sorted, without those of keys that
        are not in the index. Raises `CatalogError` `bad-label` for a kind of key that there is not.
        """
        wanted = keys_by_kind(self._paths.label(record) for record in records)
        with self._database.read() as connection:
            found = {
                uid
                for kind, keys in wanted.items()
                for uid in connection.execute(studies_with(kind, list(keys))).scalars()
            }
        return sorted(found)

    def summaries(self) -> list[LabelSummary]:
        """How many records each label has, by name and level."""
        positive = func.count().filter(labels.c.value > 0)
        statement = (
            select(labels.c.name, labels.c.level, func.count(), positive)
            .group_by(labels.c.name, labels.c.level)
            .order_by(labels.c.name, labels.c.level)
        )
        with self._database.read() as connection:
            return [LabelSummary(*row) for row in connection.execute(statement)]


def _found(
    connection: Connection, records: Sequence[LabelRecord], coded: Callable[[str], str] | None
) -> Matched:
    """What the records label; those whose UID is not in the index are looked up under its code too."""
    found = matched(connection, records)
    if coded is None:
        return found
    others = {coded(one.key): one for one in found.unmatched if one.key_kind != "path"}
    again = matched(
        connection, [replace(one, key=coded(one.key)) for one in found.unmatched if one.key_kind != "path"]
    )
    missing = {others[one.key].key for one in again.unmatched}
    left = [one for one in found.unmatched if one.key_kind == "path" or one.key in missing]
    return Matched({**found.values, **again.values}, left, found.contradicted | again.contradicted)


def _placed(
    connection: Connection, values: Mapping[tuple[Key, str], LabelRecord], records: Sequence[LabelRecord]
) -> dict[tuple[Key, str], LabelRecord]:
    """The values with the class columns that they stay in."""
    classes = {key: one.class_column for (key, _), one in values.items() if one.is_class and one.class_column}
    kept = continued_columns(connection, records, classes) if classes else {}
    return {
        (key, name): replace(one, class_column=kept[key]) if one.is_class and key in kept else one
        for (key, name), one in values.items()
    }


def _replace(connection: Connection, values: dict[tuple[Key, str], LabelRecord]) -> None:
    if not values:
        return
    at_key = delete(labels).where(
        labels.c.level == bindparam("at_level"),
        labels.c.uid == bindparam("at_uid"),
        labels.c.pixel_hash == bindparam("at_hash"),
    )
    classified = dict.fromkeys(key for (key, _), record in values.items() if record.is_class)
    if classified:
        connection.execute(at_key.where(labels.c.is_class), [_place(key) for key in classified])
    named = [{**_place(key), "at_name": name} for key, name in values]
    connection.execute(at_key.where(labels.c.name == bindparam("at_name")), named)
    rows = [
        {
            "level": level,
            "uid": uid,
            "pixel_hash": pixel_hash,
            "name": name,
            "value": float(record.value),
            "is_class": record.is_class,
            "class_column": record.class_column if record.is_class else None,
        }
        for ((level, uid, pixel_hash), name), record in values.items()
        if record.value is not None
    ]
    insert_rows(connection, labels, rows)


def _place(key: Key) -> dict[str, str]:
    return dict(zip(("at_level", "at_uid", "at_hash"), key, strict=True))
