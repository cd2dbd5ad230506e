"""What a place for the files of a home can do, whether it is a folder or a bucket."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Protocol

FOLDERS: Mapping[str, int] = {"vectors": 3, "maps": 3, "previews": 2}
"""The folders of a home whose files are objects, and how many parts their names have; everything else in a
home is of one machine.
"""


COPIED = ("vectors", "maps")
"""The folders of which machines keep copies, so that they can be mapped."""


class DamagedObjectError(OSError):
    """An object that is not what was put there."""


class ObjectStore(Protocol):
    """Objects by name, such as `vectors/<space>/<name>.parquet`, each written once, as a whole.

    Every method may raise `CatalogError` `object-store-unreachable` or `object-store-refused`, and those of
    local files OSError.
    """

    url: str
    """What the catalogue remembers of the place: `file:` or `s3://bucket/prefix`, without credentials."""
    is_remote: bool
    """Whether the home holds no more than copies."""

    def put_new(self, name: str, parts: Sequence[memoryview]) -> str:
        """Store an object, which is durable when this returns; returns its checksum, as of `checksum_of`.

        Putting the same bytes twice succeeds; others under the name of an object are refused: `CatalogError`
        `object-exists`.
        """

    def open_local(self, name: str) -> Path:
        """A local file with the content, to be opened at once, of an object of `COPIED`; raises
        FileNotFoundError or DamagedObjectError.
        """

    def read(self, name: str) -> bytes:
        """The content; raises FileNotFoundError."""

    def fetch(self, name: str, take: Callable[[bytes], object]) -> None:
        """Give the content, piece by piece, from where it is stored: copies are neither read nor made. Raises
        FileNotFoundError, and DamagedObjectError once all was given.
        """

    def checksum(self, name: str) -> str:
        """The checksum of what the store holds now, all of which is read; raises FileNotFoundError."""

    def matching(self, pattern: str) -> list[str]:
        """The names that fit a glob, whose wildcards match within a part of the path, sorted."""

    def delete(self, names: Collection[str]) -> list[str]:
        """Delete objects in all their versions, and copies on this machine; returns the names of which
        versions remain. One that is not there counts as deleted.
        """

    def sweep(self, patterns: Sequence[str]) -> list[str]:
        """Delete what fits globs, as `delete` does; returns the globs of which something may remain, for the
        store cannot be reached, or does not let this user see or delete all versions.
        """

    def rename(self, name: str, new: str) -> list[str]:
        """Move an object that is there to another name; returns the first, if versions remain there."""

    def copy_path(self, name: str) -> Path:
        """Where `open_local` puts an object, whether or not it is there."""

    def place(self, name: str) -> str:
        """Where an object lies, as messages show it."""

    def drop_copies(self, names: Collection[str]) -> None:
        """Delete this machine's copies of objects; of a folder that holds the objects themselves, nothing."""

    def forget_copies(self, named: Collection[str]) -> None:
        """Delete this machine's copies of objects but those `named`; of a folder that holds the objects
        themselves, nothing.
        """
