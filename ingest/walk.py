"""Which files the named paths hold, in a fixed order, without opening any."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ingest.errors import IngestError
from ingest.reasons import Rejected


@dataclass(frozen=True, slots=True)
class FoundFile:
    """A regular file: absolute path, size in bytes, modification time in nanoseconds."""

    path: str
    size: int
    mtime_ns: int


def walk(paths: Sequence[str | Path]) -> Iterator[FoundFile | Rejected]:
    """Yield every regular file under `paths` once, sorted within each folder; a folder inside a folder is
    followed through symbolic links, but never twice. An unreadable folder inside is one `Rejected`.

    Raises `IngestError`: `no-such-path`, `path-unreadable` for the named paths themselves.
    """
    seen: set[tuple[int, int]] = set()
    yielded: set[str] = set()
    for named in paths:
        root = os.path.abspath(named)
        for found in _walk_root(root, seen):
            if found.path not in yielded:
                yielded.add(found.path)
                yield found


def _walk_root(root: str, seen: set[tuple[int, int]]) -> Iterator[FoundFile | Rejected]:
    try:
        status = os.stat(root)
    except FileNotFoundError:
        raise IngestError("no-such-path", f"There is no file or folder {root}; check the path.") from None
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
    seen.add((status.st_dev, status.st_ino))
    yield from _walk_entries(entries, seen)


def _unreadable(root: str, error: OSError) -> IngestError:
    cause = (error.strerror or "unknown cause").lower()
    return IngestError(
        "path-unreadable", f"{root} cannot be read ({cause}); give read permission and run again."
    )


def _sorted_entries(folder: str) -> list[os.DirEntry[str]]:
    with os.scandir(folder) as entries:
        return sorted(entries, key=lambda entry: entry.name)


def _walk_entries(
    entries: Iterable[os.DirEntry[str]], seen: set[tuple[int, int]]
) -> Iterator[FoundFile | Rejected]:
    stack = [iter(entries)]
    while stack:
        entry = next(stack[-1], None)
        if entry is None:
            stack.pop()
            continue
        try:
            status = entry.stat()
            if stat.S_ISDIR(status.st_mode):
                if (status.st_dev, status.st_ino) not in seen:
                    seen.add((status.st_dev, status.st_ino))
                    stack.append(iter(_sorted_entries(entry.path)))
            elif stat.S_ISREG(status.st_mode):
                yield FoundFile(entry.path, status.st_size, status.st_mtime_ns)
        except PermissionError:
            yield Rejected(entry.path, "permission-denied")
        except FileNotFoundError:
            continue  # a dangling link, or a file removed since the folder was listed
        except OSError:
            yield Rejected(entry.path, "unreadable-file")
