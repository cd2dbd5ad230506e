"""The files under the given paths, in a fixed order; only archives are opened."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from medsiglip.index.records import SEPARATOR
from medsiglip.ingest.errors import IngestError
from medsiglip.ingest.files.archive import Archive, open_inner_archive
from medsiglip.ingest.files.archive_listing import (
    MAX_DEPTH,
    MAX_MEMBERS,
    NO_ARCHIVE,
    is_archive,
    is_unread_archive,
    unpacks_too_far,
)
from medsiglip.ingest.files.inflate import DamagedStreamError
from medsiglip.ingest.files.source import archive_at, source_status
from medsiglip.ingest.reasons import Rejected


@dataclass(frozen=True, slots=True)
class FoundFile:
    """A regular file: absolute path, size in bytes, modification time in nanoseconds.

    A member of an archive has the path `<archive>!/<member>` and the archive's time.
    """

    path: str
    size: int
    mtime_ns: int


def walk(paths: Sequence[str | Path]) -> Iterator[FoundFile | Rejected]:
    """Yield every file under `paths` once, with archives replaced by their members; see `walk_files`."""
    for found in walk_files(paths):
        if isinstance(found, FoundFile) and is_archive(found.path):
            yield from walk_archive(found)
        else:
            yield found


def walk_archive(found: FoundFile) -> Iterator[FoundFile | Rejected]:
    """Yield the members of an archive in its own order, with inner archives replaced by their members, and
    each archive itself if something is wrong with it.
    """
    try:
        yield from _Members(found).of(archive_at(found.path), 1)
    except _TooLargeError:
        yield Rejected(found.path, "archive-too-large")
    except PermissionError:
        yield Rejected(found.path, "permission-denied")
    except OSError:
        yield Rejected(found.path, "unreadable-file")


class _TooLargeError(Exception):
    """All levels of an archive together hold too much."""


class _Members:
    """The members of the archive `found`, counted over all its levels."""

    def __init__(self, found: FoundFile) -> None:
        self._found = found
        self._count = self._unpacked = 0

    def of(self, archive: Archive, depth: int) -> Iterator[FoundFile | Rejected]:
        if archive.code == NO_ARCHIVE:
            size = self._found.size if depth == 1 else source_status(archive.path)[0]
            yield FoundFile(archive.path, size, self._found.mtime_ns)
            return
        for name, member in archive.members.items():
            self._count += 1
            self._unpacked += member.size
            if self._count > MAX_MEMBERS or unpacks_too_far(self._unpacked, self._found.size):
                raise _TooLargeError
            path = f"{archive.path}{SEPARATOR}{name}"
            if member.code:
                yield Rejected(path, member.code)
            elif is_archive(name):
                yield from self._inside(archive, name, path, depth)
            else:
                yield FoundFile(path, member.size, self._found.mtime_ns)
        if archive.code is not None:
            yield Rejected(archive.path, archive.code)

    def _inside(self, outer: Archive, name: str, path: str, depth: int) -> Iterator[FoundFile | Rejected]:
        if depth == MAX_DEPTH:
            yield Rejected(path, "nested-archive")
            return
        try:
            inner = open_inner_archive(outer, name)
        except DamagedStreamError:
            yield Rejected(path, "damaged-archive")
            return
        yield from self.of(inner, depth + 1)


def walk_files(
    paths: Sequence[str | Path], within: Sequence[Path] | None = None
) -> Iterator[FoundFile | Rejected]:
    """Yield every regular file under `paths` once, including archives, sorted within each folder; the order
    of `paths` does not matter. Symbolic links to folders are followed, but no folder is walked twice. An
    unreadable folder below is one `Rejected`, and so is an archive of a kind that is not read, and, if
    `within` names folders, a link below `paths` that leads out of all of them.

    Raises `IngestError`: `no-such-path`, `path-unreadable` for the named paths themselves.
    """
    seen = _Seen(within)
    roots = {os.path.abspath(path) for path in paths}
    # No folder is walked twice, so only what was named may come again.
    named = roots | {root.partition(SEPARATOR)[0] for root in roots}
    yielded: set[str] = set()
    # Members that are named come last, so that those of a named archive are not counted again.
    for root in sorted(roots, key=lambda root: (SEPARATOR in root, root)):
        if SEPARATOR in root and root.partition(SEPARATOR)[0] in yielded:
            continue
        for found in _walk_root(root, seen):
            if found.path in yielded:
                continue
            if found.path in named:
                yielded.add(found.path)
            is_unread = isinstance(found, FoundFile) and is_unread_archive(found.path)
            yield Rejected(found.path, "unsupported-archive") if is_unread else found


class _Seen:
    """Folders that were walked, by device and inode, and whether links may be followed."""

    def __init__(self, within: Sequence[Path] | None) -> None:
        self._within = None if within is None else [os.path.realpath(folder) for folder in within]
        self._folders: set[tuple[int, int]] = set()

    def is_new(self, status: os.stat_result) -> bool:
        place = status.st_dev, status.st_ino
        is_new = place not in self._folders
        self._folders.add(place)
        return is_new

    def leads_out(self, entry: os.DirEntry[str]) -> bool:
        if self._within is None or not entry.is_symlink():
            return False
        real = Path(os.path.realpath(entry.path))
        return not any(real.is_relative_to(folder) for folder in self._within)


def _walk_root(root: str, seen: _Seen) -> Iterator[FoundFile | Rejected]:
    try:
        status = os.stat(root)
    except (FileNotFoundError, NotADirectoryError):
        yield _named_member(root)
        return
    except OSError as error:
        raise _unreadable(root, error) from None
    if not stat.S_ISDIR(status.st_mode):
        if not os.access(root, os.R_OK):
            raise _unreadable(root, PermissionError(13, "Permission denied"))
        yield FoundFile(root, status.st_size, status.st_mtime_ns)
        return
    try:
        entries = _sorted_entries(root)
    except OSError as error:
        raise _unreadable(root, error) from None
    if seen.is_new(status):
        yield from _walk_entries(entries, seen)


def _named_member(path: str) -> FoundFile:
    try:
        return FoundFile(path, *source_status(path))
    except OSError:
        raise IngestError("no-such-path", f"There is no file or folder {path}; check the path.") from None


def _unreadable(root: str, error: OSError) -> IngestError:
    cause = (error.strerror or "unknown cause").lower()
    return IngestError(
        "path-unreadable", f"{root} cannot be read ({cause}); give read permission and run again."
    )


def _sorted_entries(folder: str) -> list[os.DirEntry[str]]:
    with os.scandir(folder) as entries:
        return sorted(entries, key=lambda entry: entry.name)


def _walk_entries(entries: Iterable[os.DirEntry[str]], seen: _Seen) -> Iterator[FoundFile | Rejected]:
    stack = [iter(entries)]
    while stack:
        entry = next(stack[-1], None)
        if entry is None:
            stack.pop()
            continue
        try:
            if seen.leads_out(entry):
                yield Rejected(entry.path, "outside-roots")
                continue
            status = entry.stat()
            if stat.S_ISDIR(status.st_mode):
                if seen.is_new(status):
                    stack.append(iter(_sorted_entries(entry.path)))
            elif stat.S_ISREG(status.st_mode):
                yield FoundFile(entry.path, status.st_size, status.st_mtime_ns)
        except PermissionError:
            yield Rejected(entry.path, "permission-denied")
        except FileNotFoundError:
            continue  # a dangling link, or a file removed since the folder was listed
        except OSError:
            yield Rejected(entry.path, "unreadable-file")
