"""Cases as a file: CSV for people and spreadsheets, Parquet for programs."""

from __future__ import annotations

import csv
import io
import tempfile
from collections.abc import Generator, Iterator, Sequence
from typing import IO, TYPE_CHECKING, Any, Literal

from medsiglip.api.archive.browsing.cases import case_of
from medsiglip.api.archive.labels import list_labels

if TYPE_CHECKING:
    from medsiglip.answers.browsing import Case
    from medsiglip.api.archive.opened import OpenedArchive

Format = Literal["csv", "parquet"]
MEDIA_TYPES: dict[Format, str] = {
    "csv": "text/csv; charset=utf-8",
    "parquet": "application/vnd.apache.parquet",
}
COLUMNS = (
    "study_instance_uid",
    "patient_key",
    "patient_age",
    "patient_sex",
    "study_date",
    "study_description",
    "added_at",
    "modalities",
    "body_parts",
    "series",
    "images",
    "quality",
    "drafts",
    "image_id",
    "withheld",
)
"""The columns of both formats; `labels` of Parquet is a map, in CSV each has a column `label:NAME`."""
_LISTS = ("modalities", "body_parts", "quality")
_COUNTS = ("series", "images", "drafts", "image_id")
_CASES = 1000
_IN_MEMORY = 8 << 20
_READ = 1 << 16
# A cell that begins so is a formula to spreadsheets, and headers of files may say anything.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def write_cases(archive: OpenedArchive, uids: Sequence[str], kind: Format) -> Generator[bytes, None, None]:
    """The cases of these UIDs as the bytes of a file, in parts; it is written whole before the first."""
    file = tempfile.SpooledTemporaryFile(_IN_MEMORY)  # noqa: SIM115  (closed by `_read`)
    try:
        {"csv": _write_csv, "parquet": _write_parquet}[kind](archive, uids, file)
    except BaseException:
        file.close()
        raise
    parts = _read(file)
    next(parts)  # so that closing it closes the file, also before anything was read
    return parts


def _read(file: Any) -> Generator[bytes, None, None]:
    with file:
        file.seek(0)
        yield b""
        while part := file.read(_READ):
            yield part


def _cases(archive: OpenedArchive, uids: Sequence[str]) -> Iterator[Case]:
    return (case_of(one) for one in archive.index.browser.records(uids) if one.pictures)


def _write_csv(archive: OpenedArchive, uids: Sequence[str], file: IO[bytes]) -> None:
    names = sorted({one.label for one in list_labels(archive).labels})
    stream = io.TextIOWrapper(file, encoding="utf-8", newline="", write_through=True)
    writer = csv.writer(stream)
    writer.writerow([*COLUMNS, *(f"label:{name}" for name in names)])
    for one in _cases(archive, uids):
        row = one.model_dump()
        cells = [_cell(" ".join(row[name]) if name in _LISTS else row[name]) for name in COLUMNS]
        writer.writerow([*cells, *(row["labels"].get(name, "") for name in names)])
    stream.detach()


def _cell(value: Any) -> Any:
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, str) and value.startswith(_FORMULA):
        return f"'{value}"
    return "" if value is None else value


def _write_parquet(archive: OpenedArchive, uids: Sequence[str], file: IO[bytes]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    types: dict[str, Any] = {"patient_age": pa.float64(), "withheld": pa.bool_()}
    types |= dict.fromkeys(_LISTS, pa.list_(pa.string())) | dict.fromkeys(_COUNTS, pa.int64())
    fields = [(name, types.get(name, pa.string())) for name in COLUMNS]
    schema = pa.schema([*fields, ("labels", pa.map_(pa.string(), pa.float64()))])
    with pq.ParquetWriter(file, schema, compression="zstd") as writer:
        rows: list[dict[str, Any]] = []
        for one in _cases(archive, uids):
            row = one.model_dump()
            rows.append({**row, "labels": list(row["labels"].items())})
            if len(rows) == _CASES:
                writer.write_table(pa.Table.from_pylist(rows, schema))
                rows = []
        writer.write_table(pa.Table.from_pylist(rows, schema))
