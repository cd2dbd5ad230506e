"""`report import`: report texts that came with the cases."""

from __future__ import annotations

import csv as csv_files
from pathlib import Path
from typing import TYPE_CHECKING

from medsiglip.answers.cases import Imported
from medsiglip.api.archive.files import AnyPath
from medsiglip.api.archive.queries import stored_study_uid
from medsiglip.api.errors import ServiceError

if TYPE_CHECKING:
    from medsiglip.api.archive.opened import OpenedArchive

_COLUMNS = ("study_instance_uid", "report")


def import_reports(archive: OpenedArchive, csv: AnyPath) -> Imported:
    """Store the report texts of a CSV with the columns study_instance_uid and report; rows of a study that is
    not in the archive are reported.

    Texts are kept as they are: they should name nobody. Raises ServiceError `bad-reports-csv`.
    """
    rows = read_reports(Path(csv).expanduser())
    given = {stored_study_uid(archive, uid): uid for uid in rows}
    texts = {stored: rows[uid] for stored, uid in given.items()}
    unmatched = archive.index.report_texts.put(texts, "import")
    return Imported(
        rows=len(rows),
        matched=len(rows) - len(unmatched),
        unmatched=tuple(given[uid] for uid in unmatched),
    )


def read_reports(file: Path) -> dict[str, str]:
    """The text of each study, by the UID that the CSV gives. Raises ServiceError `bad-reports-csv`."""
    try:
        with file.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv_files.reader(stream)
            header = next(reader, [])
            if not set(_COLUMNS) <= set(header):
                raise ServiceError(
                    "bad-reports-csv", f"{file} needs the columns {' and '.join(_COLUMNS)} in its first line."
                )
            filled = (dict(zip(header, row, strict=False)) for row in reader if row)
            return {row.get(_COLUMNS[0], ""): row.get(_COLUMNS[1], "") for row in filled}
    except (UnicodeDecodeError, csv_files.Error):
        raise ServiceError(
            "bad-reports-csv", f"{file} is not a CSV in UTF-8: save it again as such."
        ) from None
