"""Labels of cases, listed, and stored from values or a CSV file."""

from __future__ import annotations

import csv as csv_files
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medsiglip.answers.cases import ImportedLabels, Label, LabelList
from medsiglip.answers.paths import given
from medsiglip.api.archive.files import AnyPath
from medsiglip.api.errors import ServiceError
from medsiglip.ingest.header.label_columns import LabelColumnError, given_labels, label_columns

if TYPE_CHECKING:
    from medsiglip.api.archive.opened import OpenedArchive
    from medsiglip.index.label_records import LabelKey, LabelRecord

KEYS: tuple[LabelKey, ...] = ("path", "sop_instance_uid", "series_instance_uid", "study_instance_uid")
Line = tuple[int, dict[str, str]]


@dataclass(frozen=True, slots=True)
class LabelFile:
    """The rows of a label CSV; `names` are the labels that it has, `rows` counts its keys, of which
    `repeated` stand in more than one row. `parts` are the values of a column that splits the cases.
    """

    names: tuple[str, ...]
    records: tuple[LabelRecord, ...]
    rows: int
    repeated: int = 0
    parts: tuple[LabelRecord, ...] = ()


def list_labels(archive: OpenedArchive) -> LabelList:
    """The stored labels with how many rows have them and how many are positive."""
    rows = (
        Label(label=one.name, level=one.level, n=one.records, positive=one.positive)
        for one in archive.index.labels.summaries()
    )
    return LabelList(labels=tuple(rows))


def import_labels(archive: OpenedArchive, csv: AnyPath, *, reader: str | None = None) -> ImportedLabels:
    """Store the labels of a CSV, in the name of a reader: the user of this process where none is named, and
    nobody's for an empty name. Rows that name nothing in the archive are listed by key and not stored.

    Raises ServiceError `labels-unmatched` where that is every row, and what `read_labels` raises.
    """
    path = Path(csv)
    return store_labels(archive, path, read_labels(path), reader)


def store_labels(
    archive: OpenedArchive, path: Path, content: LabelFile, reader: str | None = None
) -> ImportedLabels:
    """As `import_labels`, for a file that was read already."""
    missing, warnings = _set(archive, content.records, reader)
    if content.repeated:
        warnings += (
            f"{content.repeated} keys stand in more than one row of the CSV, and say the same there.",
        )
    unmatched = sorted({record.key for record in missing})
    if len(missing) == len(content.records):
        raise ServiceError(
            "labels-unmatched",
            f"no row of {path} names anything in the archive, such as {unmatched[0]}: compare its key column "
            "with `study list` and `study show`.",
        )
    return ImportedLabels(
        labels=content.names,
        rows=content.rows,
        matched=content.rows - len(unmatched),
        unmatched=tuple(unmatched),
        warnings=warnings,
    )


def set_labels(
    archive: OpenedArchive, records: Sequence[LabelRecord], reader: str | None = None
) -> ImportedLabels:
    """As `import_labels`, for labels that come as values.

    Raises ServiceError `labels-unmatched` where none names anything in the archive.
    """
    unmatched, warnings = _set(archive, records, reader)
    missing = {record.key for record in unmatched}
    keys = {record.key for record in records}
    if missing == keys:
        raise ServiceError(
            "labels-unmatched",
            f"no row names anything in the archive, such as {min(missing)}: compare the keys.",
        )
    return ImportedLabels(
        labels=tuple(sorted({record.name for record in records})),
        rows=len(records),
        matched=len(keys - missing),
        unmatched=tuple(sorted(missing)),
        warnings=warnings,
    )


def studies_to_label(archive: OpenedArchive, records: Sequence[LabelRecord]) -> list[str]:
    """The studies whose labels `records` would change, for the audit trail; records that name nothing in the
    archive are left out.
    """
    from medsiglip.ingest.privacy.deidentify import known_key

    key = known_key(archive.index)
    found = set(archive.index.labels.studies_of(records))
    if key is not None and key.phi == "strict":
        named = [record for record in records if record.key_kind != "path"]
        found.update(archive.index.labels.studies_of([replace(one, key=key.uid(one.key)) for one in named]))
    return sorted(found)


def _set(
    archive: OpenedArchive, records: Sequence[LabelRecord], reader: str | None
) -> tuple[Sequence[LabelRecord], tuple[str, ...]]:
    """Store labels; those that name nothing in the archive, and sentences about contradictions.

    A home that hides paths and UIDs is looked up by its own UIDs, then by those of the files.
    """
    from medsiglip.api.archive.audit_trail import local_actor
    from medsiglip.ingest.privacy.deidentify import known_key

    key = known_key(archive.index)
    coded = key.uid if key is not None and key.phi == "strict" else None
    given_by = local_actor() if reader is None else reader
    outcome = archive.index.labels.put(records, given_by, coded=coded)
    return outcome.unmatched, tuple(dict.fromkeys(one.sentence for one in outcome.conflicts))


def read_labels(path: Path, split: str | None = None) -> LabelFile:
    """Read a CSV keyed by one of `KEYS`, with `label` (a class name) or `label:<name>` (0, 1 or empty)
    columns. A column `split`, if it is asked for and there, says which part of a split a row is in.

    A file with neither has a label in every column but the keys and those of the metadata CSV. Relative paths
    are those beside the CSV. Raises ServiceError `labels-unreadable`, `bad-labels` or `duplicate-keys`,
    naming line and column, or `bad-split` where the column `split` is empty.
    """
    from medsiglip.index.catalogue.labels.class_columns import class_column
    from medsiglip.index.label_records import LabelRecord

    file = path.expanduser().absolute()
    header, lines = _read(file)
    key_kind, columns = _columns(file, [name for name in header if name != split])
    named = frozenset(columns)
    records: dict[tuple[str, str], LabelRecord] = {}
    parts: dict[str, LabelRecord] = {}
    first_lines: dict[str, int] = {}
    classes: dict[str, LabelRecord] = {}
    repeated = set()
    for line, row in lines:
        key = _key(file, line, row, key_kind)
        if first_lines.setdefault(key, line) != line:
            repeated.add(key)
        try:
            for one in given_labels(row, named):
                record = LabelRecord(one.name, one.value, key_kind, key, one.is_class)
                _require_same(file, line, records.setdefault((key, one.name), record), record)
                if one.is_class:
                    _require_same(file, line, classes.setdefault(key, record), record)
        except LabelColumnError as error:
            cure = "" if label_columns(header) else ", or call the columns of labels `label:<name>`"
            raise ServiceError("bad-labels", f"{file} line {line} {error}{cure}.") from None
        if split is not None and row.get(split, ""):
            record = LabelRecord(row[split], 1.0, key_kind, key)
            _require_same(file, line, parts.setdefault(key, record), record)
    if not records:
        raise ServiceError("bad-labels", f"{file} holds no label: fill in its label columns.")
    if split in header and not parts:
        raise ServiceError(
            "bad-split",
            f"{file} says in no row which part it is in: fill in the column `{split}` with train, validation "
            "and test.",
        )
    names = tuple(sorted({record.name for record in records.values()}))
    column = class_column(record.name for record in records.values() if record.is_class)
    placed = (replace(one, class_column=column) if one.is_class else one for one in records.values())
    return LabelFile(names, tuple(placed), len(first_lines), len(repeated), tuple(parts.values()))


def _require_same(file: Path, line: int, before: LabelRecord, record: LabelRecord) -> None:
    """Raise ServiceError `duplicate-keys` where a key that came before now says something else."""
    if before != record:
        raise ServiceError(
            "duplicate-keys",
            f"{file} line {line} names {record.key} again and contradicts an earlier line: keep one of them.",
        )


def _read(file: Path) -> tuple[list[str], list[Line]]:
    """The names of the columns, and the rows with the number of the line that each ends on."""
    try:
        with file.open(newline="", encoding="utf-8-sig") as stream:
            reader = csv_files.reader(stream)
            header = [name.strip() for name in next(reader, [])]
            return header, list(_lines(file, header, reader))
    except (OSError, UnicodeDecodeError, csv_files.Error) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise ServiceError(
            "labels-unreadable", f"{file} cannot be read as CSV ({reason}): give a UTF-8 CSV file."
        ) from None


def _lines(file: Path, header: Sequence[str], reader: Any) -> Iterator[Line]:
    for row in reader:
        if len(row) > len(header):
            raise ServiceError(
                "bad-labels", f"{file} line {reader.line_num} has more fields than the first line."
            )
        if row:
            yield reader.line_num, dict(zip(header, map(str.strip, row), strict=False))


def _columns(file: Path, header: Sequence[str]) -> tuple[LabelKey, list[str]]:
    """The key column and the label columns."""
    from medsiglip.ingest.header.metadata import COLUMNS

    keys = [key for key in KEYS if key in header]
    if not keys:
        raise ServiceError(
            "bad-labels", f"{file} must have one of the columns {', '.join(KEYS)}: it has none of them."
        )
    try:
        columns = label_columns(header)
    except LabelColumnError as error:
        raise ServiceError("bad-labels", f"{file} {error}.") from None
    columns = columns or [name for name in header if name and name not in COLUMNS.union(KEYS)]
    if not columns:
        raise ServiceError(
            "bad-labels", f"{file} needs a column `label`, or columns `label:<name>` of 0, 1 or empty."
        )
    return keys[0], columns


def _key(file: Path, line: int, row: Mapping[str, str], kind: LabelKey) -> str:
    key = row.get(kind, "")
    if not key:
        raise ServiceError("bad-labels", f"{file} line {line}: the column {kind} is empty; fill it in.")
    return given(os.path.normpath(file.parent / Path(key).expanduser())) if kind == "path" else key
