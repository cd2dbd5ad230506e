"""Copies of objects on this machine, so that shards can be mapped: a folder of bounded size."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Lock
from uuid import uuid4

from medsiglip.index.durable_files import make_folder, sync_path

FOLDER = "object-cache"
# A copy that was handed out so recently may be about to be opened, so it stays (seconds).
_BEING_OPENED = 60
# What a process writes to a file of its own, should it be killed; older ones were left behind (seconds).
_BEING_WRITTEN = 3600
_ENDING = ".tmp"
# The folder is looked through once so much of its limit has been added by this process.
_PART = 16


class LocalCache:
    """Files of a home's folder `object-cache/`, under the names of the objects. Several processes may use it;
    it grows beyond its limit by what they take in within a minute, and a sixteenth of it for each of them.

    A file is there complete or not at all, and one that is mapped stays readable when it is removed.
    """

    def __init__(self, home: Path, most_bytes: int) -> None:
        self._folder = home / FOLDER
        self._most = most_bytes
        self._added = most_bytes  # at the first one, what earlier processes left is counted
        self._lock = Lock()

    def path(self, name: str) -> Path:
        """Where the copy of an object is, or would be."""
        return self._folder / name

    def find(self, name: str) -> Path | None:
        """The copy of an object, marked as used now."""
        path = self.path(name)
        try:
            os.utime(path)
        except FileNotFoundError:
            return None
        except OSError:  # a home that cannot be written
            return path if path.is_file() else None
        return path

    @contextmanager
    def taking_in(self, name: str) -> Iterator[tuple[Path, Callable[[], Path]]]:
        """A file to write to, and what makes it the copy of the object; without that it is removed."""
        target = self.path(name)
        make_folder(target.parent)
        written = target.with_name(f"{target.name}.{uuid4().hex}{_ENDING}")

        def keep() -> Path:
            size = written.stat().st_size
            sync_path(written)  # a copy is trusted, also after a power failure
            os.replace(written, target)
            self._make_room(size)
            return target

        try:
            yield written, keep
        finally:
            written.unlink(missing_ok=True)

    def drop(self, names: Collection[str]) -> None:
        """Remove the copies of objects."""
        for name in names:
            self.path(name).unlink(missing_ok=True)

    def keep_only(self, named: Collection[str]) -> None:
        """Remove the copies of objects that are not `named`."""
        for path, _ in self._files(self._folder):
            if path.relative_to(self._folder).as_posix() not in named:
                path.unlink(missing_ok=True)

    def _make_room(self, added: int) -> None:
        with self._lock:
            self._added += added
            if self._added < self._most / _PART:
                return
            self._added = 0
        now, found = time.time(), []
        for path, state in self._files(self._folder):
            found.append((state.st_mtime, state.st_size, path))
        held = sum(size for _, size, _ in found)
        for used, size, path in sorted(found):
            if held <= self._most or used > now - _BEING_OPENED:
                return
            path.unlink(missing_ok=True)
            held -= size

    def _files(self, folder: Path) -> Iterator[tuple[Path, os.stat_result]]:
        """The copies below a folder; what killed processes left is removed."""
        for place, _, names in os.walk(folder):
            for name in names:
                path = Path(place) / name
                with suppress(FileNotFoundError):
                    state = path.stat()
                    if not name.endswith(_ENDING):
                        yield path, state
                    elif state.st_mtime < time.time() - _BEING_WRITTEN:
                        path.unlink()
