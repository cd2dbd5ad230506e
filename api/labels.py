"""Labels from a CSV file: which cases its rows name, and which values its columns hold."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from api.errors import ServiceError

if TYPE_CHECKING:
    from api.service import Answer, Archive
    from index.records import LabelKey, LabelRecord

KEYS: tuple[LabelKey, ...] = ("path", "sop_instance_uid", "series_instance_uid", "study_instance_uid")
_PREFIX = "label:"


@dataclass(frozen=True, slots=True)
class LabelFile:
    """The rows of a label CSV; `names` are the labels it speaks of, `rows` counts its rows."""

    names: tuple[str, ...]
    records: tuple[LabelRecord, ...]
    rows: int


def import_labels(archive: Archive, path: Path) -> Answer:
    """Store the labels of a CSV. Rows that name nothing in the archive are listed by line and not stored."""
    content = read_labels(path)
    outcome = archive.index.set_labels(_with_changed_classes(archive, content))
    unmatched = sorted({record.key for record in outcome.unmatched})
    return {
        "labels": list(content.names),
        "rows": content.rows,
        "matched": content.rows - len(unmatched),
        "unmatched": unmatched,
    }


def read_labels(path: Path) -> LabelFile:
    """Read a CSV keyed by one of `KEYS`, with `label` (a class name) or `label:<name>` (0, 1 or empty) columns.

    Relative paths are those beside the CSV. Raises ServiceError `labels-unreadable` or `bad-labels`, naming the line.
    """
    file = path.expanduser().absolute()
    try:
        with file.open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.DictReader(stream)
            key, columns = _columns(file, [name.strip() for name in reader.fieldnames or ()])
            reader.fieldnames = [name.strip() for name in reader.fieldnames or ()]
            records: dict[tuple[str, str], LabelRecord] = {}
            rows = set()
            for row in reader:
                for record in _records(file, reader.line_num, row, key, columns):
                    rows.add(record.key)
                    records[record.key, record.name] = record
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise ServiceError("labels-unreadable", f"{file} cannot be read as CSV ({reason}): give a UTF-8 CSV file.") from None
    if not records:
        raise ServiceError("bad-labels", f"{file} holds no label: fill in its label columns.")
    return LabelFile(tuple(sorted({record.name for record in records.values()})), tuple(records.values()), len(rows))


def _columns(file: Path, header: list[str]) -> tuple[LabelKey, list[str]]:
    keys = [key for key in KEYS if key in header]
    columns = [name for name in header if name == "label" or name.startswith(_PREFIX)]
    if len(keys) != 1:
        found = " and ".join(keys) or "none of them"
        raise ServiceError(
            "bad-labels", f"{file} must have exactly one of the columns {', '.join(KEYS)}: it has {found}."
        )
    if not columns or _PREFIX in columns:
        raise ServiceError("bad-labels", f"{file} needs a column `label`, or columns `label:<name>` with a name.")
    return keys[0], columns


def _records(
    file: Path, line: int, row: Mapping[str, str | None], key_kind: LabelKey, columns: list[str]
) -> Iterator[LabelRecord]:
    from index.records import LabelRecord

    key = (row.get(key_kind) or "").strip()
    if not key:
        raise ServiceError("bad-labels", f"{file} line {line}: the column {key_kind} is empty; fill it in.")
    if key_kind == "path":
        # Ingest stores the path as it was walked, so symbolic links stay as they are.
        key = str((file.parent / Path(key).expanduser()).absolute()) if not Path(key).is_absolute() else key
    for column in columns:
        text = (row.get(column) or "").strip()
        if not text:
            continue
        if column == "label":
            yield LabelRecord(text, 1.0, key_kind, key)
            continue
        if text not in {"0", "1", "0.0", "1.0"}:
            raise ServiceError(
                "bad-labels", f"{file} line {line}: {column} holds {text!r}; write 0, 1 or leave it empty."
            )
        yield LabelRecord(column.removeprefix(_PREFIX).strip(), float(text), key_kind, key)


def _with_changed_classes(archive: Archive, content: LabelFile) -> list[LabelRecord]:
    """The records, and the removal of classes that a row had before and has no more."""
    from index.records import LabelRecord

    classes = {record.name for record in content.records if record.value == 1.0}
    classes -= {record.name for record in content.records if record.value == 0.0}
    stored = classes & {summary.name for summary in archive.index.labels()}
    given = {(record.key, record.name) for record in content.records}
    rows = {record.key: record.key_kind for record in content.records}
    removed = [
        LabelRecord(name, None, kind, key) for key, kind in rows.items() for name in stored if (key, name) not in given
    ]
    return [*content.records, *removed]
