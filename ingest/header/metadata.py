"""The metadata CSV: for pictures what a DICOM header would hold, and labels for any file."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from medsiglip.answers.paths import given as given_path
from medsiglip.ingest.errors import IngestError
from medsiglip.ingest.header.label_columns import LabelColumnError, given_labels, label_columns
from medsiglip.ingest.privacy.deidentify import MAX_PLAUSIBLE_AGE

COLUMNS = frozenset(
    {
        "path",
        "patient_id",
        "study_id",
        "modality",
        "body_part",
        "view",
        "age",
        "sex",
        "site",
        "split",
        "caption",
        "report",
        "label",
    }
)
_SEXES = {"": None, "M": "M", "F": "F", "O": "O", "MALE": "M", "FEMALE": "F", "OTHER": "O"}


@dataclass(frozen=True, slots=True)
class PictureMetadata:
    """One row of the CSV. `labels` maps names to 0 or 1; a class in column `label` is the label of that name,
    1, and named in `class_name`. `report` is the column of that name, else the caption.
    """

    patient_id: str = field(default="", repr=False)
    study_id: str = field(default="", repr=False)
    modality: str | None = None
    body_part: str | None = None
    view: str | None = None
    age: float | None = None
    sex: str | None = None
    split: str | None = None
    site: str | None = None
    labels: Mapping[str, float] = field(default_factory=dict)
    class_name: str | None = None
    report: str | None = field(default=None, repr=False)


def read_metadata(csv_path: Path) -> dict[str, PictureMetadata]:
    """Read a CSV of rows keyed by absolute path; relative paths count from the CSV's folder, and bytes that
    are not UTF-8 may be written as answers show them (`medsiglip.answers.paths`).

    Unknown columns are ignored. Raises `IngestError`: `metadata-unreadable`, `metadata-no-path-column`,
    `metadata-bad-row` (with the line number), `metadata-duplicate-path`.
    """
    rows: dict[str, PictureMetadata] = {}
    folder = Path(os.path.abspath(csv_path)).parent
    for line, row in _lines(csv_path):
        given = row.get("path", "")
        if not given:
            raise _bad(csv_path, line, "has no path")
        path = given_path(os.path.normpath(folder / given))
        if path in rows:
            raise IngestError(
                "metadata-duplicate-path", f"{csv_path} line {line} names a file a second time."
            )
        rows[path] = _parse(csv_path, line, row)
    return rows


def _lines(csv_path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    try:
        with csv_path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file)
            header = next(reader, [])
            if "path" not in header:
                raise IngestError(
                    "metadata-no-path-column",
                    f"{csv_path} has no column `path`; add one, or check the first line.",
                )
            for row in reader:
                if len(row) > len(header):
                    raise _bad(csv_path, reader.line_num, "has more fields than the first line")
                if row:
                    yield reader.line_num, dict(zip(header, map(str.strip, row), strict=False))
    except OSError as error:
        cause = (error.strerror or "unknown cause").lower()
        raise IngestError(
            "metadata-unreadable", f"{csv_path} cannot be read ({cause}); check the path."
        ) from None
    except (UnicodeDecodeError, csv.Error):
        raise IngestError(
            "metadata-unreadable",
            f"{csv_path} is not a CSV in UTF-8; save it again as such, with \\xNN for each byte of a path "
            "that is not.",
        ) from None


def _parse(csv_path: Path, line: int, row: Mapping[str, str]) -> PictureMetadata:
    try:
        # The class comes last: it takes precedence over a column of the same name with 0.
        given = sorted(given_labels(row, frozenset(label_columns(row))), key=lambda one: one.is_class)
    except LabelColumnError as error:
        raise _bad(csv_path, line, str(error)) from None
    sex = row.get("sex", "").upper()
    if sex not in _SEXES:
        raise _bad(csv_path, line, "has an unknown sex; use M, F, O or nothing")
    return PictureMetadata(
        patient_id=row.get("patient_id", ""),
        study_id=row.get("study_id", ""),
        modality=row.get("modality", "").upper() or None,
        body_part=row.get("body_part") or None,
        view=row.get("view") or None,
        age=_age(csv_path, line, row.get("age", "")),
        sex=_SEXES[sex],
        split=row.get("split") or None,
        site=row.get("site") or None,
        labels={one.name: one.value for one in given},
        class_name=row.get("label") or None,
        report=row.get("report") or row.get("caption") or None,
    )


def _age(csv_path: Path, line: int, text: str) -> float | None:
    if not text:
        return None
    try:
        age = float(text)
    except ValueError:
        age = -1.0
    if not 0.0 <= age <= MAX_PLAUSIBLE_AGE:
        raise _bad(csv_path, line, "has an age that is not a number of years")
    return age


def _bad(csv_path: Path, line: int, what: str) -> IngestError:
    return IngestError("metadata-bad-row", f"{csv_path} line {line} {what}.")
