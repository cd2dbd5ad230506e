"""What a run has to do: which files are unchanged, which are unusable, and which are new."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from medsiglip.index.records import FileRecord
from medsiglip.index.scratch import PORTION, portions
from medsiglip.ingest.files.archive_listing import is_archive
from medsiglip.ingest.files.inflate import DamagedStreamError
from medsiglip.ingest.files.source import source_status
from medsiglip.ingest.files.walk import FoundFile, walk_archive, walk_files
from medsiglip.ingest.privacy.deidentify import SecretKey
from medsiglip.ingest.reasons import REASONS, Rejected
from medsiglip.ingest.run.file_records import (
    archive_records,
    is_same_archive,
    rejected_record,
    unchanged_members,
)
from medsiglip.ingest.run.path_list import PathList
from medsiglip.ingest.run.progress import OnProgress, StageClock

if TYPE_CHECKING:
    from medsiglip.index.case_index import CaseIndex
    from medsiglip.ingest.header.header import Header
    from medsiglip.ingest.header.metadata import PictureMetadata
    from medsiglip.ingest.pixels.pixel_hash import PixelHash

Identity = tuple[str, str]
_LOOKED_UP_TOGETHER = 5000
# Causes that may be gone although the file is unchanged.
RETRIED = frozenset(
    {
        "permission-denied",
        "unreadable-file",
        "no-decoder",
        "decoder-crashed",
        "decoder-timeout",
        "decoder-memory",
    }
)


@dataclass(slots=True)
class Triage:
    """Every file of the run once: `unchanged`, `rejected`, or to embed (`headers`, and `copies` of those by
    path). Of what is unchanged, memory holds only the rows of pictures that the metadata CSV names
    (`in_table`).

    `records` are rows of files that are settled but not yet in the index; `known_paths` are the paths to scan
    that an earlier run scanned. `renewed` are new hashes of pixels that the index holds under an older one,
    by that.
    """

    unchanged: PathList = field(default_factory=PathList)
    table_paths: Collection[str] = ()
    in_table: list[FileRecord] = field(default_factory=list)
    files: int = 0
    rejected: list[Rejected] = field(default_factory=list)
    headers: list[Header] = field(default_factory=list)
    copies: dict[str, list[Header]] = field(default_factory=dict)
    records: list[FileRecord] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    known_paths: set[str] = field(default_factory=set)
    renewed: dict[str, str] = field(default_factory=dict)

    def keep(self, record: FileRecord) -> None:
        """Count a file as unchanged."""
        self.unchanged.add(record.path)
        if record.path in self.table_paths:
            self.in_table.append(record)


def find_changes(
    triage: Triage,
    paths: Sequence[str | Path],
    index: CaseIndex,
    key: SecretKey,
    on_progress: OnProgress | None,
    metadata_csv: Path | None = None,
    within: Sequence[Path] | None = None,
) -> list[FoundFile]:
    """Walk, and set aside in `triage` files whose path, size and time are unchanged; returns those to scan.
    Links out of the folders `within` are not followed.
    """
    changed: list[FoundFile] = []
    clock = StageClock(on_progress, "walk", None)
    tables = {os.path.abspath(metadata_csv), os.path.realpath(metadata_csv)} if metadata_csv else set()
    for found, record in _with_records(walk_files(paths, within), index):
        if isinstance(found, FoundFile) and key.phi == "strict":
            found = replace(found, mtime_ns=key.moment(found.mtime_ns))
        if isinstance(found, FoundFile) and is_archive(found.path):
            changed += _triage_archive(triage, found, record, index)
        elif found.path in tables:
            triage.rejected.append(Rejected(found.path, "metadata-csv"))
        elif isinstance(found, Rejected):
            triage.rejected.append(found)
        elif not _is_settled(triage, found, record):
            changed.append(found)
            if record is not None:
                triage.known_paths.add(found.path)
        clock.advance(_counted(triage, changed) - triage.files)
        triage.files = _counted(triage, changed)
    clock.report()
    return changed


def _with_records(
    walk: Iterable[FoundFile | Rejected], index: CaseIndex
) -> Iterator[tuple[FoundFile | Rejected, FileRecord | None]]:
    """The found files, each with its row, looked up many at a time."""
    for together in portions(walk, _LOOKED_UP_TOGETHER):
        known = index.files.at([found.path for found in together])
        yield from ((found, known.get(found.path)) for found in together)


def _counted(triage: Triage, changed: Sequence[FoundFile]) -> int:
    return len(triage.unchanged) + len(triage.rejected) + len(changed)


def _is_settled(triage: Triage, found: FoundFile, record: FileRecord | None) -> bool:
    """Set a file aside if its row is still valid."""
    if record is None or (record.size, record.mtime_ns) != (found.size, found.mtime_ns):
        return False
    if record.outcome == "embedded":
        triage.keep(record)
    elif record.code in REASONS and record.code not in RETRIED:
        triage.rejected.append(Rejected(found.path, record.code))
    else:
        return False
    return True


def _triage_archive(
    triage: Triage, archive: FoundFile, record: FileRecord | None, index: CaseIndex
) -> list[FoundFile]:
    """Set aside the settled members of an archive, of which `record` is the row; returns those to scan."""
    held: list[FoundFile | Rejected]
    records = unchanged_members(index, archive, record)
    if records is not None:
        held = [FoundFile(one.path, one.size, one.mtime_ns) for one in records]
        known = {one.path: one for one in records}
    else:
        held = list(walk_archive(archive))
        triage.records += archive_records(archive, held)
        known = index.files.at([one.path for one in held])
    may_be_settled = is_same_archive(archive, record)
    changed = []
    for found in held:
        if isinstance(found, Rejected):
            triage.rejected.append(found)
        elif not (may_be_settled and _is_settled(triage, found, known.get(found.path))):
            changed.append(found)
            if found.path in known:
                triage.known_paths.add(found.path)
    return changed


def scan_changes(
    triage: Triage,
    changed: Sequence[FoundFile],
    index: CaseIndex,
    key: SecretKey,
    metadata: Mapping[str, PictureMetadata],
    on_progress: OnProgress | None,
) -> None:
    """Read the headers of changed files and sort the files into `triage`."""
    from medsiglip.ingest.privacy.quiet import quiet
    from medsiglip.ingest.scan.scan import scan_file

    clock = StageClock(on_progress, "scan", len(changed))
    headers, listings = [], []
    with quiet():  # once, not file by file
        for found in changed:
            scanned = scan_file(found, key, metadata.get(found.path))
            if isinstance(scanned, Rejected):
                _reject(triage, scanned, found.size, found.mtime_ns)
                if scanned.code == "dicomdir":
                    listings.append(found.path)
            else:
                headers.append(scanned)
            clock.advance(1)
    known: dict[str, set[str]] = {}
    for uids in portions({header.sop_instance_uid for header in headers}, PORTION):
        known |= index.instances.pixel_hashes(uids)
    _identify(triage, headers, known, older=bool(known) and index.pixel_hashes.any_older())
    _warn_of_missing_files(triage, listings)
    _warn_of_copies(triage)


def _warn_of_missing_files(triage: Triage, paths: Sequence[str]) -> None:
    from medsiglip.ingest.scan.dicomdir import count_missing

    counts = [(missing, listed) for missing, listed in map(count_missing, paths) if missing]
    if not counts:
        return
    missing, listed = map(sum, zip(*counts, strict=True))
    whose = "A DICOMDIR lists" if len(counts) == 1 else f"{len(counts)} DICOMDIRs list"
    media = "its medium" if len(counts) == 1 else "their media"
    triage.warnings.append(f"{whose} {listed} files, {missing} of which are not there; copy {media} again.")


def _warn_of_copies(triage: Triage) -> None:
    settled = (record for record in triage.records if record.outcome == "embedded")
    count = sum(record.path not in triage.known_paths for record in settled)
    count += sum(map(len, triage.copies.values()))
    if count:
        triage.warnings.append(
            f"{count} files hold the same SOP instance with the same pixels as another file; "
            "each was counted as unchanged."
        )


def _reject(triage: Triage, rejected: Rejected, size: int, mtime_ns: int) -> None:
    triage.rejected.append(rejected)
    triage.records.append(rejected_record(rejected, size, mtime_ns))


def _identify(
    triage: Triage, headers: Sequence[Header], known: Mapping[str, set[str]], *, older: bool
) -> None:
    """Hash the pixels of every file whose UID is not unique, and set aside copies of the first by path; other
    files are hashed when they are rendered.
    """
    uses = Counter(header.sop_instance_uid for header in headers)
    seen: dict[Identity, Header] = {}
    hashes: dict[str, set[str]] = {}
    set_aside: set[str] = set()
    for header in sorted(headers, key=lambda header: header.path):
        uid = header.sop_instance_uid
        if uses[uid] == 1 and uid not in known:
            continue
        hashed = _hash(header, older=older)
        digest = hashed if isinstance(hashed, Rejected) else _renewed(triage, hashed, known.get(uid, set()))
        if (
            not isinstance(digest, Rejected)
            and digest not in known.get(uid, ())
            and (uid, digest) not in seen
        ):
            seen[uid, digest] = header
            _warn_of_other_pixels(triage, uid, known.get(uid, set()) | hashes.setdefault(uid, set()))
            hashes[uid].add(digest)
            continue
        set_aside.add(header.path)
        if isinstance(digest, Rejected):
            _reject(triage, digest, header.size, header.mtime_ns)
        elif digest in known.get(uid, ()):
            record = FileRecord(
                header.path, header.size, header.mtime_ns, sop_instance_uid=uid, pixel_hash=digest
            )
            triage.keep(record)
            triage.records.append(record)
        else:
            triage.copies.setdefault(seen[uid, digest].path, []).append(header)
    triage.headers += [header for header in headers if header.path not in set_aside]


def _renewed(triage: Triage, digest: PixelHash, known: set[str]) -> str:
    """The hash of pixels as it will stand in the index, among those of its UID that are `known`."""
    if digest.older is not None and digest.older in known:
        triage.renewed[digest.older] = digest.value
        known.remove(digest.older)
        known.add(digest.value)
    return digest.value


def _warn_of_other_pixels(triage: Triage, uid: str, others: set[str]) -> None:
    warning = f"{uid}: this SOP Instance UID came with different pixels; all are kept."
    if others and warning not in triage.warnings:
        triage.warnings.append(warning)


def _hash(header: Header, *, older: bool) -> PixelHash | Rejected:
    from medsiglip.ingest.errors import DecodeError
    from medsiglip.ingest.files.source import hash_file
    from medsiglip.ingest.pixels.decode import open_dataset, pixel_hash
    from medsiglip.ingest.pixels.pixel_hash import PixelHash
    from medsiglip.ingest.privacy.quiet import quiet
    from medsiglip.ingest.slides.tiles import open_tiles

    try:
        if header.kind == "picture":
            return PixelHash(hash_file(header.path))
        if header.is_slide:
            with quiet(), closing(open_tiles(header.path)) as tiles:
                return tiles.pixel_hash(older=older)
        if header.kind == "volume":
            from medsiglip.ingest.volumes.volume_source import volume_hash

            return PixelHash(volume_hash(header.path))
        with quiet():
            return pixel_hash(open_dataset(header.path), older=older)
    except DecodeError as error:
        return header.refused(error.code)
    except DamagedStreamError:
        return header.refused("damaged-archive")
    except OSError:
        return header.refused("unreadable-file")
    except Exception:  # whatever a mangled file makes pydicom raise is one line of the report
        return header.refused("unreadable-header")


def is_as_recorded(record: FileRecord, key: SecretKey) -> bool:
    """Whether the file of a record still exists, with the same size and time."""
    try:
        size, mtime_ns = source_status(record.path)
    except OSError:
        return False
    return (size, key.moment(mtime_ns)) == (record.size, record.mtime_ns)
