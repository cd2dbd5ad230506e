"""Archives that are as they were: known by their own size and time, without being opened.

The row of an archive carries a hash of its listing. Only while every member has a row of its own, which a run
that was killed may not have come to write, do the members' rows give the same hash.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from index.records import SEPARATOR, FileRecord
from ingest.archive import is_archive, listing_hash
from ingest.reasons import REASONS, Rejected
from ingest.walk import FoundFile

# What the row of an archive says in place of a reason; the archive itself is no file of the run.
ARCHIVE = "archive"
NOT_LISTED = frozenset({"permission-denied", "unreadable-file"})


class ArchiveRecords:
    """The rows of archives and their members among those of all files."""

    def __init__(self, known: Mapping[str, FileRecord]) -> None:
        self._known = known
        self._members: dict[str, list[FileRecord]] | None = None

    def unchanged(self, found: FoundFile) -> list[FileRecord] | None:
        """The rows of an archive's members, and its own if it was rejected itself; None if it has to be
        opened.
        """
        record = self._known.get(found.path)
        if record is None or (record.size, record.mtime_ns) != (found.size, found.mtime_ns):
            return None
        members = [m for m in self._by_archive().get(found.path, ()) if m.mtime_ns == found.mtime_ns]
        if record.content_hash != listing_hash((m.path, m.size) for m in members):
            return None
        return [*members, record] if record.code in REASONS else members

    def is_same_archive(self, found: FoundFile) -> bool:
        """Whether an archive has the size and time that it had when its members were last looked into."""
        record = self._known.get(found.path)
        return record is not None and (record.size, record.mtime_ns) == (found.size, found.mtime_ns)

    def _by_archive(self) -> dict[str, list[FileRecord]]:
        if self._members is None:
            self._members = {}
            for path in self._known:
                end = path.find(SEPARATOR)
                while end >= 0:
                    if is_archive(path[:end]):
                        self._members.setdefault(path[:end], []).append(self._known[path])
                        break
                    end = path.find(SEPARATOR, end + 1)
        return self._members


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
