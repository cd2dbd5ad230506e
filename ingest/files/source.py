"""Opening the files of a run: plain files, and members of archives, `<archive>!/<member>`."""

from __future__ import annotations

import hashlib
import os
from io import BufferedReader
from typing import BinaryIO, cast

from medsiglip.index.records import SEPARATOR
from medsiglip.ingest.files.archive import Archive, open_archive, open_inner_archive
from medsiglip.ingest.files.archive_listing import is_archive


def open_source(path: str, buffering: int = -1) -> BinaryIO:
    """Open a file, or an archive's member, for reading; seekable. `buffering` is that of `open`, for files.

    Raises OSError: as `open` does, and `DamagedStreamError` while a damaged member is read.
    """
    try:
        return open(path, "rb", buffering=buffering)
    except (FileNotFoundError, NotADirectoryError):
        parts = split_source(path)
        if parts is None:
            raise
    return parts[0].open(parts[1])


def hash_file(path: str) -> str:
    """SHA-256 of a whole file, its first 128 bits in hex."""
    with cast(BufferedReader, open_source(path)) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:32]


def source_status(path: str) -> tuple[int, int]:
    """Size in bytes and modification time in nanoseconds; that of a member is its archive's.

    The times inside archives are not used: many are constant, and another export of the same size would go
    unnoticed. Raises OSError if there is no such file or member.
    """
    try:
        status = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        parts = split_source(path)
        if parts is None or parts[1] not in parts[0].members:
            raise
        return parts[0].members[parts[1]].size, os.stat(parts[0].file).st_mtime_ns
    return status.st_size, status.st_mtime_ns


def split_source(path: str) -> tuple[Archive, str] | None:
    """The archive and the member's name that a path names, or None if there is no such archive.

    Raises OSError if an archive on the way cannot be read.
    """
    place = path.find(SEPARATOR)
    while place >= 0:
        if is_archive(path[:place]) and os.path.isfile(path[:place]):
            break
        place = path.find(SEPARATOR, place + 1)
    else:
        return None
    archive = open_archive(path[:place])
    *inner, name = path[place + len(SEPARATOR) :].split(SEPARATOR)
    for member in inner:
        archive = open_inner_archive(archive, member)
    return archive, name


def archive_at(path: str) -> Archive:
    """The archive that a path names, a file or a member of another archive. Raises OSError."""
    parts = None if os.path.exists(path) else split_source(path)
    return open_archive(path) if parts is None else open_inner_archive(*parts)
