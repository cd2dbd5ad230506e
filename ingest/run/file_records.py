"""Rows of the index for files that give no image: rejected files, and archives.

The row of an archive holds its size, its time and a hash of its listing, so that an unchanged archive need
not be opened. The rows of its members give the same hash only if all of them were written, which a run that
was killed may not have done.
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

# The code in the row of an archive that could be listed; it does not count as a file of the run.
ARCHIVE = "archive"
NOT_LISTED = frozenset({"permission-denied", "unreadable-file"})


def unchanged_members(
    index: CaseIndex, found: FoundFile, record: FileRecord | None
) -> list[FileRecord] | None:
    """The rows of the members of an unchanged archive, and its own row `record` if that was rejected; None if
    the archive has to be opened.
    """
    if record is None or not is_same_archive(found, record):
        return None
    members = [m for m in index.files.members_of(found.path) if m.mtime_ns == found.mtime_ns]
    if record.content_hash != listing_hash((m.path, m.size) for m in members):
        return None
    return [*members, record] if record.code in REASONS else members


def is_same_archive(found: FoundFile, record: FileRecord | None) -> bool:
    """Whether an archive has the size and time that it had when its members were last read."""
    return record is not None and (record.size, record.mtime_ns) == (found.size, found.mtime_ns)


def archive_records(archive: FoundFile, held: Sequence[FoundFile | Rejected]) -> list[FileRecord]:
    """The row of an archive that was just listed and the rows of its rejected members; none if it could not
    be listed.
    """
    own = next((one for one in held if one.path == archive.path), None)
    if isinstance(own, FoundFile) or (own is not None and own.code in NOT_LISTED):
        return []
    members = [one for one in held if one.path != archive.path]
    rows = [rejected_record(one, 0, archive.mtime_ns) for one in members if isinstance(one, Rejected)]
    sizes = ((one.path, one.size if isinstance(one, FoundFile) else 0) for one in members)
    rows.append(
        FileRecord(
            archive.path,
            archive.size,
            archive.mtime_ns,
            content_hash=listing_hash(sizes),
            outcome=own.outcome if own else "skipped",
            code=own.code if own else ARCHIVE,
            reason=own.reason if own else None,
        )
    )
    return rows


def rejected_record(rejected: Rejected, size: int, mtime_ns: int) -> FileRecord:
    """The row of a file that is not used."""
    return FileRecord(
        rejected.path,
        size,
        mtime_ns,
        outcome=rejected.outcome,
        code=rejected.code,
        reason=rejected.reason,
        patient_key=rejected.patient_key,
        study_instance_uid=rejected.study_instance_uid,
    )
