"""Studies and drafts as a person names them: whole, by beginning, as a table shortens them, or by row."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from medsiglip.api.archive.last_list import last_list
from medsiglip.api.errors import ServiceError

if TYPE_CHECKING:
    from medsiglip.api.archive.opened import OpenedArchive

_ROW = re.compile(r"[0-9]{1,6}")
# The last as a terminal writes it that has no ellipsis.
_MARKS = ("\N{HORIZONTAL ELLIPSIS}", "...", r"\u2026")
_CANDIDATES = 10


def study_named(archive: OpenedArchive, name: str, *, rows: bool = False) -> str:
    """The UID of the study that is meant: a whole UID, its unique beginning, one that a table shortened in
    the middle, and with `rows` the row of the list that this user saw last.

    What names nothing is returned as it is, for the command to refuse. Raises ServiceError `ambiguous-uid`,
    `no-such-row`, and `row-not-taken` for what looks like a row where none is taken.
    """
    from medsiglip.api.archive.queries import stored_study_uid

    stored = stored_study_uid(archive, name)
    if archive.index.patients_of([stored]):
        return stored
    if _ROW.fullmatch(name):
        return _of_row(archive, int(name), rows)
    beginning, end = _parts(name)
    if not beginning:
        return name
    found = archive.index.instances.studies_named(beginning, end, _CANDIDATES + 1)
    return _only(found, name, "study", "ambiguous-uid") or name


def draft_named(archive: OpenedArchive, name: str) -> str:
    """The id of the draft that begins so. Raises ServiceError `ambiguous-id`; see `study_named`."""
    beginning, end = _parts(name)
    if not beginning:
        return name
    found = archive.index.drafts.named(beginning, end, _CANDIDATES + 1)
    return name if name in found else _only(found, name, "draft", "ambiguous-id") or name


def _parts(name: str) -> tuple[str, str]:
    """The beginning and the end of a name that a table shortened in the middle."""
    for mark in _MARKS:
        beginning, found, end = name.partition(mark)
        if found:
            return beginning, end
    return name, ""


def _of_row(archive: OpenedArchive, row: int, rows: bool) -> str:
    if not rows:
        raise ServiceError(
            "row-not-taken",
            f"{row} is no UID, and rows of a list are not taken here, for the list may have changed: give "
            "the UID or its beginning.",
        )
    listed = last_list(archive.home)
    if not 1 <= row <= len(listed):
        known = f"the last list had {len(listed)} rows" if listed else "no list was shown on a terminal yet"
        raise ServiceError("no-such-row", f"there is no row {row}: {known} (see `medsiglip study list`).")
    return listed[row - 1]


def _only(found: list[str], name: str, what: str, code: str) -> str | None:
    if len(found) < 2:
        return found[0] if found else None
    more = ", and more" if len(found) > _CANDIDATES else ""
    raise ServiceError(
        code,
        f"{name} can be any {what} of {', '.join(found[:_CANDIDATES])}{more}: give more of it.",
    )
