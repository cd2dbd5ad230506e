"""Paths of a run of which there may be millions."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from medsiglip.index.scratch import Scratch

_BUFFERED = 5000


class PathList(Collection[str]):
    """A set of paths in about ten MB of memory, however many there are, read in the order of paths.

    The rest lies in a temporary file without a name; with `in_memory` it does not, as in a home that keeps no
    paths. Raises `CatalogError` `disk-full`.
    """

    def __init__(self, *, in_memory: bool = False) -> None:
        self._scratch = Scratch(
            "CREATE TABLE paths (path BLOB PRIMARY KEY) WITHOUT ROWID", in_memory=in_memory
        )
        self._buffer: dict[str, None] = {}
        self._stored = 0

    def add(self, path: str) -> None:
        """Add a path, unless it is in the list."""
        self._buffer[path] = None
        if len(self._buffer) >= _BUFFERED:
            self._store()

    def __len__(self) -> int:
        return self._stored + len(self._buffer)

    def __contains__(self, path: object) -> bool:
        self._store()
        query = "SELECT 1 FROM paths WHERE path = ?"
        return isinstance(path, str) and any(self._scratch.ask(query, (as_bytes(path),)))

    def __iter__(self) -> Iterator[str]:
        self._store()
        return (as_path(row[0]) for row in self._scratch.ask("SELECT path FROM paths ORDER BY path"))

    def close(self) -> None:
        """Forget the paths."""
        self._scratch.close()

    def _store(self) -> None:
        if self._buffer:
            rows = [(as_bytes(path),) for path in self._buffer]
            self._buffer = {}
            self._stored += self._scratch.put("INSERT OR IGNORE INTO paths VALUES (?)", rows)


def as_bytes(path: str) -> bytes:
    """A path, of any bytes, as SQLite keeps and orders it: as Python orders paths."""
    return path.encode("utf-8", "surrogatepass")


def as_path(stored: bytes) -> str:
    """The path of `as_bytes`."""
    return stored.decode("utf-8", "surrogatepass")
