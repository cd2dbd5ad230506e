"""The default: objects are files of the home."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from pathlib import Path

from medsiglip.index.checksums import checksum_of_file, computed_beside
from medsiglip.index.durable_files import atomic_file, make_folder
from medsiglip.index.errors import CatalogError
from medsiglip.index.objects.object_store import FOLDERS

_PIECE = 1 << 20


class FolderStore:
    """An `ObjectStore` that is the home itself."""

    url = "file:"
    is_remote = False

    def __init__(self, home: Path) -> None:
        self._home = home

    def put_new(self, name: str, parts: Sequence[memoryview]) -> str:
        """Store an object."""
        target = self._home / name
        make_folder(target.parent)
        with computed_beside(list(parts)) as checksum:
            if target.exists():
                if checksum_of_file(target) == checksum():
                    return checksum()
                raise exists(self.place(name))
            with atomic_file(target) as stream:
                for part in parts:
                    stream.write(part)
            return checksum()

    def open_local(self, name: str) -> Path:
        """The file itself, which may not be there."""
        return self._home / name

    def read(self, name: str) -> bytes:
        """The content."""
        return (self._home / name).read_bytes()

    def fetch(self, name: str, take: Callable[[bytes], object]) -> None:
        """Read the file piece by piece."""
        with (self._home / name).open("rb") as stream:
            while piece := stream.read(_PIECE):
                take(piece)

    def checksum(self, name: str) -> str:
        """The checksum of the file."""
        return checksum_of_file(self._home / name)

    def matching(self, pattern: str) -> list[str]:
        """The names that fit a glob."""
        found = (path for path in self._home.glob(pattern) if path.is_file())
        names = (path.relative_to(self._home).as_posix() for path in found)
        return sorted(name for name in names if name.partition("/")[0] in FOLDERS)

    def delete(self, names: Collection[str]) -> list[str]:
        """Delete files; a folder has no versions."""
        for name in names:
            (self._home / name).unlink(missing_ok=True)
        return []

    def sweep(self, patterns: Sequence[str]) -> list[str]:
        """Delete files that fit globs."""
        for pattern in patterns:
            self.delete(self.matching(pattern))
        return []

    def rename(self, name: str, new: str) -> list[str]:
        """Move a file."""
        target = self._home / new
        make_folder(target.parent)
        with suppress(FileNotFoundError):
            os.replace(self._home / name, target)
        return []

    def copy_path(self, name: str) -> Path:
        """The path of the file."""
        return self._home / name

    def place(self, name: str) -> str:
        """The path of the file."""
        return str(self._home / name)

    def drop_copies(self, names: Collection[str]) -> None:
        """There are no copies."""

    def forget_copies(self, named: Collection[str]) -> None:
        """There are no copies."""


def exists(place: str) -> CatalogError:
    """The error of a second, other content."""
    return CatalogError(
        "object-exists",
        f"{place} holds something else already, and objects are written once; nothing was changed: if two "
        "archives share this place, give one of them another.",
    )
