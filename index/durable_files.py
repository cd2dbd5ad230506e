"""Files and folders that are on disk when a function returns, whatever happens to the process."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO


def make_folder(path: Path) -> None:
    """Create a folder and its parents, for this user only, and make their names durable."""
    if path.is_dir():
        return
    make_folder(path.parent)
    path.mkdir(mode=0o700, exist_ok=True)
    sync_path(path.parent)


def sync_path(path: Path) -> None:
    """Make a file's content, or the names in a folder, durable: a rename is on disk only once its folder is
    synced.
    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def atomic_file(target: Path) -> Iterator[BinaryIO]:
    """A stream whose content appears at `target` complete and synced, or not at all.

    A killed process leaves a file `<target>.<random>.tmp`, which a glob on the target finds.
    """
    temporary = target.with_name(f"{target.name}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        with temporary.open("wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, target)
        sync_path(target.parent)
    except BaseException:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise
