"""Labels from a CSV file: which cases its rows name, and which values its columns hold."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from api.errors import ServiceError

if TYPE_CHECKING:
    from api.service import Answer, Archive
    from index.records import LabelKey, LabelRecord

KEYS: tuple[LabelKey, ...] = ("path", "sop_instance_uid", "series_instance_uid", "study_instance_uid")
_PREFIX = "label:"
_VALUES = {"0", "1", "0.0", "1.0", ""}


@dataclass(frozen=True, slots=True)
class LabelFile:
    """The rows of a label CSV; `names` are the labels it speaks of, `rows` counts its rows."""

    names: tuple[str, ...]
    records: tuple[LabelRecord, ...]
    rows: int


def import_labels(archive: Archive, path: Path) -> Answer:
    """Store the labels of a CSV. Rows that name nothing in the archive are listed by line and not stored."""
    content = read_labels(path)
    unmatched = sorted({record.key for record in _set(archive, content.records)})
    return {
        "labels": list(content.names),
        "rows": content.rows,
        "matched": content.rows - len(unmatched),
        "unmatched": unmatched,
    }


def _set(archive: Archive, records: Sequence[LabelRecord]) -> list[LabelRecord]:
    """Store labels; those that name nothing in the archive.

    A home that hides paths and UIDs is asked in its own terms and in those of the files.
    """
    from ingest.pipeline import known_key

    key = known_key(archive.index)
    unmatched = list(archive.index.set_labels(records).unmatched)
    if key is None or key.phi != "strict":
        return unmatched
    originals = {key.uid(record.key): record for record in unmatched if record.key_kind != "path"}
    again = [replace(record, key=key.uid(record.key)) for record in unmatched if record.key_kind != "path"]
    missing = {originals[record.key].key for record in archive.index.set_labels(again).unmatched}
    return [record for record in unmatched if record.key_kind == "path" or record.key in missing]


def read_labels(path: Path) -> LabelFile:
    """Read a CSV keyed by one of `KEYS`, with `label` (a class name) or `label:<name>` (0, 1 or empty)
    columns.

    A file with neither has a label in every other column that holds nothing but 0, 1 and empty fields.
    Relative paths are those beside the CSV. Raises ServiceError `labels-unreadable` or `bad-labels`, naming
    the line.
    """
    file = path.expanduser().absolute()
    rows = _rows(file)
    key_kind, columns = _columns(file, rows)
    records: dict[tuple[str, str], LabelRecord] = {}
    keys = set()
    for line, row in enumerate(rows, start=2):
        key = _key(file, line, row, key_kind)
        keys.add(key)
        for record in _records(file, line, row, (key_kind, key), columns):
            records[key, record.name] = record
    if not records:
        raise ServiceError("bad-labels", f"{file} holds no label: fill in its label columns.")
    names = tuple(sorted({record.name for record in records.values()}))
    return LabelFile(names, tuple(records.values()), len(keys))


def _rows(file: Path) -> list[dict[str, str]]:
    try:
        with file.open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.reader(stream)
            header = [name.strip() for name in next(reader, [])]
            rows = [[field.strip() for field in row] for row in reader if row]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise ServiceError(
            "labels-unreadable", f"{file} cannot be read as CSV ({reason}): give a UTF-8 CSV file."
        ) from None
    for line, row in enumerate(rows, start=2):
        if len(row) > len(header):
            raise ServiceError("bad-labels", f"{file} line {line} has more fields than the first line.")
    return [dict(zip(header, row + [""] * len(header), strict=False)) for row in rows] or [
        dict.fromkeys(header, "")
    ]


def _columns(file: Path, rows: list[dict[str, str]]) -> tuple[LabelKey, list[str]]:
    """The key column and the label columns."""
    header = list(rows[0])
    keys = [key for key in KEYS if key in header]
    if not keys:
        raise ServiceError(
            "bad-labels", f"{file} must have one of the columns {', '.join(KEYS)}: it has none of them."
        )
    columns = [name for name in header if name == "label" or name.startswith(_PREFIX)]
    if _PREFIX in columns:
        raise ServiceError("bad-labels", f"{file} has a column `label:` without a name.")
    if not columns:
        others = [name for name in header if name and name not in KEYS]
        columns = [
            name
            for name in others
            if {row[name] for row in rows} <= _VALUES and any(row[name] for row in rows)
        ]
    if not columns:
        raise ServiceError(
            "bad-labels", f"{file} needs a column `label`, or columns `label:<name>` of 0, 1 or empty."
        )
    return keys[0], columns


def _key(file: Path, line: int, row: Mapping[str, str], kind: LabelKey) -> str:
    key = row[kind]
    if not key:
        raise ServiceError("bad-labels", f"{file} line {line}: the column {kind} is empty; fill it in.")
    return os.path.normpath(file.parent / Path(key).expanduser()) if kind == "path" else key


def _records(
    file: Path, line: int, row: Mapping[str, str], key: tuple[LabelKey, str], columns: list[str]
) -> Iterator[LabelRecord]:
    from index.records import LabelRecord

    for column in columns:
        text = row[column]
        if not text:
            continue
        if column == "label":
            yield LabelRecord(text, 1.0, *key, is_class=True)
        elif text in _VALUES:
            yield LabelRecord(column.removeprefix(_PREFIX).strip(), float(text), *key)
        else:
            raise ServiceError(
                "bad-labels", f"{file} line {line}: {column} holds something else than 0, 1 or nothing."
            )
