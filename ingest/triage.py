"""What a run has to do: which files are as they were, which cannot be used, which hold something new."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from index.records import FileRecord
from ingest._clock import StageClock
from ingest.deidentify import SecretKey
from ingest.reasons import REASONS, Rejected
from ingest.report import OnProgress
from ingest.walk import FoundFile, walk

if TYPE_CHECKING:
    from ingest.header import Header
    from ingest.metadata import PictureMetadata

Identity = tuple[str, str]
# What may have been put right without touching the file.
RETRIED = frozenset({"permission-denied", "unreadable-file", "no-decoder"})
OTHER_PIXELS = "same-uid-other-pixels"


@dataclass(slots=True)
class Triage:
    """Every file of the run once: `unchanged`, `rejected`, or to embed (`headers`, and `copies` of those by
    path).

    `records` are those of files that are settled already and not yet noted in the index.
    """

    files: int = 0
    unchanged: list[FileRecord] = field(default_factory=list)
    rejected: list[Rejected] = field(default_factory=list)
    headers: list[Header] = field(default_factory=list)
    copies: dict[str, list[Header]] = field(default_factory=dict)
    records: list[FileRecord] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def find_changes(
    paths: Sequence[str | Path], known: Mapping[str, FileRecord], on_progress: OnProgress | None
) -> tuple[Triage, list[FoundFile]]:
    """Walk, and set aside what path, size and time say is unchanged; returns it with the files to
    look into.
    """
    triage, changed = Triage(), []
    clock = StageClock(on_progress, "walk", None)
    for found in walk(paths):
        triage.files += 1
        clock.advance(1)
        if isinstance(found, Rejected):
            triage.rejected.append(found)
            continue
        record = known.get(found.path)
        if record is None or (record.size, record.mtime_ns) != (found.size, found.mtime_ns):
            changed.append(found)
        elif record.outcome == "embedded":
            triage.unchanged.append(record)
        elif record.code in REASONS and record.code not in RETRIED:
            triage.rejected.append(Rejected(found.path, record.code))
        else:
            changed.append(found)
    return triage, changed


def look_into(
    triage: Triage,
    changed: Sequence[FoundFile],
    known_instances: Mapping[str, set[str]],
    key: SecretKey,
    metadata: Mapping[str, PictureMetadata],
    on_progress: OnProgress | None,
) -> None:
    """Read the headers of changed files and add each file to its place in `triage`."""
    from ingest.scan import scan_file

    clock = StageClock(on_progress, "scan", len(changed))
    headers = []
    for found in changed:
        scanned = scan_file(found, key, metadata.get(found.path))
        if isinstance(scanned, Rejected):
            _reject(triage, scanned, found.size, found.mtime_ns)
        else:
            headers.append(scanned)
        clock.advance(1)
    _identify(triage, headers, known_instances)


def _reject(triage: Triage, rejected: Rejected, size: int, mtime_ns: int) -> None:
    triage.rejected.append(rejected)
    triage.records.append(rejected_record(rejected, size, mtime_ns))


def rejected_record(rejected: Rejected, size: int, mtime_ns: int) -> FileRecord:
    """The row that remembers a file that is not used."""
    outcome = "skipped" if rejected.outcome == "skipped" else "quarantined"
    return FileRecord(
        rejected.path,
        size,
        mtime_ns,
        outcome=outcome,  # type: ignore[arg-type]
        code=rejected.code,
        reason=rejected.reason,
    )


def _identify(triage: Triage, headers: Sequence[Header], known: Mapping[str, set[str]]) -> None:
    """Hash the pixels of every file whose UID is not its own, and set aside copies; others are hashed when
    drawn.
    """
    uses = Counter(header.sop_instance_uid for header in headers)
    seen: dict[Identity, Header] = {}
    hashes: dict[str, set[str]] = {}
    for header in headers:
        uid = header.sop_instance_uid
        if uses[uid] == 1 and uid not in known:
            triage.headers.append(header)
            continue
        digest = _hash(header)
        if isinstance(digest, Rejected):
            _reject(triage, digest, header.size, header.mtime_ns)
            continue
        if digest in known.get(uid, ()):
            record = FileRecord(
                header.path, header.size, header.mtime_ns, sop_instance_uid=uid, pixel_hash=digest
            )
            triage.unchanged.append(record)
            triage.records.append(record)
        elif (uid, digest) in seen:
            triage.copies.setdefault(seen[uid, digest].path, []).append(header)
        else:
            others = known.get(uid, set()) | hashes.setdefault(uid, set())
            if others:
                header = replace(header, warnings=(*header.warnings, OTHER_PIXELS))
                warning = f"{uid}: this SOP Instance UID came with different pixels; all are kept."
                triage.warnings += [] if warning in triage.warnings else [warning]
            hashes[uid].add(digest)
            seen[uid, digest] = header
            triage.headers.append(header)


def _hash(header: Header) -> str | Rejected:
    from ingest.decode import open_dataset, pixel_hash
    from ingest.errors import DecodeError
    from ingest.scan import hash_file, quiet

    try:
        if header.kind == "picture":
            return hash_file(header.path)
        with quiet():
            return pixel_hash(open_dataset(header.path))
    except DecodeError as error:
        return Rejected(header.path, error.code)
    except OSError:
        return Rejected(header.path, "unreadable-file")


def is_as_recorded(record: FileRecord) -> bool:
    """Whether the file of a record is still there, with the same size and time."""
    try:
        status = os.stat(record.path)
    except OSError:
        return False
    return (status.st_size, status.st_mtime_ns) == (record.size, record.mtime_ns)
