"""Archives that are as they were: known by their own size and time, without being opened.

The row of an archive carries a hash of its listing. Only while every member has a row of its own, which a run
that was killed may not have come to write, do the members' rows give the same hash.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from medsiglip.index.records import FileRecord
from medsiglip.ingest.files.archive import listing_hash
from medsiglip.ingest.files.walk import FoundFile
from medsiglip.ingest.reasons import REASONS, Rejected

if TYPE_CHECKING:
    from medsiglip.index.case_index import CaseIndex

# What the row of an archive says in place of a reason; the archive itself is no file of the run.
ARCHIVE = "archive"
NOT_LISTED = frozenset({"permission-denied", "unreadable-file"})


def unchanged_members(
    index: CaseIndex, found: FoundFile, record: FileRecord | None
) -> list[FileRecord] | None:
    """The rows of an archive's members, and its own if it was rejected itself; None if it has to be opened.
    `record` is the archive's own row.
    """
    if record is None or not is_same_archive(found, record):
        return None
    members = [m for m in index.members_of(found.path) if m.mtime_ns == found.mtime_ns]
    if record.content_hash != listing_hash((m.path, m.size) for m in members):
        return None
    return [*members, record] if record.code in REASONS else members


def is_same_archive(found: FoundFile, record: FileRecord | None) -> bool:
    """Whether an archive has the size and time that it had when its members were last looked into."""
    return record is not None and (record.size, record.mtime_ns) == (found.size, found.mtime_ns)


def archive_records(archive: FoundFile, held: Sequence[FoundFile | Rejected]) -> list[FileRecord]:
    """The row of an archive just listed, and those of what in it cannot be used; none if it could not be
    listed.
    """
    own = next((one for one in held if one.path == archive.path), None)
    if isinstance(own, FoundFile) or (own is not None and own.code in NOT_LISTED):
        return []
    members = [one for one in held if one.path != archive.path]
    rows = [_rejected_row(one, archive) for one in members if isinstance(one, Rejected)]
    sizes = ((one.path, one.size if isinstance(one, FoundFile) else 0) for one in members)
    outcome = "skipped" if own is None or own.outcome == "skipped" else "quarantined"
    rows.append(
        FileRecord(
            archive.path,
            archive.size,
            archive.mtime_ns,
            content_hash=listing_hash(sizes),
            outcome=outcome,  # type: ignore[arg-type]
            code=own.code if own else ARCHIVE,
            reason=own.reason if own else None,
        )
    )
    return rows


def _rejected_row(rejected: Rejected, archive: FoundFile) -> FileRecord:
    outcome = "skipped" if rejected.outcome == "skipped" else "quarantined"
    return FileRecord(
        rejected.path,
        0,
        archive.mtime_ns,
        outcome=outcome,  # type: ignore[arg-type]
        code=rejected.code,
        reason=rejected.reason,
    )
