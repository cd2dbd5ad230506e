"""Snapshots of a space on disk, below `faiss/` of the home: they spare the next start the shards.

A snapshot is `<space>.json`, which describes it, and files `<space>.<token>.<part>` that it names: `vectors`,
`series` and `study`, the indexes of images and means, and `owners`, the shard, series and study of each
image in the order of the index. The description is replaced in one step once the others are on disk, so a
killed process leaves the snapshot that was there.
"""

from __future__ import annotations

import glob
import json
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO
from uuid import uuid4

import numpy as np

from medsiglip.index.records import Level
from medsiglip.index.search.group_level import GroupLevel, Spread
from medsiglip.index.search.image_owners import ImageOwners
from medsiglip.index.search.kinds.index_kinds import LEVEL_KIND, IndexKind
from medsiglip.index.search.kinds.vector_search import VectorSearch
from medsiglip.index.search.query_sample import DAMAGED
from medsiglip.index.vectors import atomic_file, make_folder

FORMAT = 3
_LEVELS: tuple[Level, Level] = ("series", "study")
# Files that no description names are of a killed process once they are so old, in seconds.
_ABANDONED = 3600.0
_ATTEMPTS = 5


@dataclass(frozen=True, slots=True)
class SnapshotContent:
    """The index of images, their owners in its order, of which `shard` counts in `shards`, the names of all
    shards, and the means of both levels.
    """

    index: VectorSearch
    owners: ImageOwners
    shards: tuple[str, ...]
    levels: Mapping[Level, GroupLevel]


class Snapshot:
    """The snapshot of one space."""

    def __init__(self, home: Path, space: str, kind: IndexKind) -> None:
        self._kind = kind
        self._space = space
        self._folder = home / "faiss"
        self._description = self._folder / f"{space}.json"

    def save(self, content: SnapshotContent, dimension: int, rebuilt: str | None = None) -> None:
        """Write a snapshot in place of the former one; `rebuilt` names the rebuild that its index is of."""
        make_folder(self._folder)
        self._delete_abandoned()
        token = uuid4().hex
        files = {part: f"{self._space}.{token}.{part}" for part in ("vectors", *_LEVELS, "owners")}
        try:
            self._write(files["vectors"], partial(self._kind.write, content.index))
            for level in _LEVELS:
                self._write(files[level], partial(LEVEL_KIND.write, content.levels[level].index))
            self._write(files["owners"], partial(_write_owners, content))
            sizes = {part: [name, (self._folder / name).stat().st_size] for part, name in files.items()}
            description = {
                "format": FORMAT,
                "dimension": dimension,
                "rebuilt": rebuilt,
                "files": sizes,
                "shards": content.shards,
            }
            written = json.dumps(description).encode()
            # As late as this, for another process may have written one meanwhile.
            former = self._described()
            with atomic_file(self._description) as stream:
                stream.write(written)
        except BaseException:
            self._delete(files.values())
            raise
        self._delete(_names(former))

    def load(self, dimension: int) -> SnapshotContent | None:
        """What the snapshot holds, or None where it is absent, damaged, or of another format, dimension or
        kind. Where another process replaces it meanwhile, the new one counts.
        """
        for _ in range(_ATTEMPTS):
            found = self._described()
            if (found.get("format"), found.get("dimension")) != (FORMAT, dimension):
                return None
            with suppress(*DAMAGED, KeyError, TypeError, AttributeError):
                if (content := self._read(found, dimension)) is not None:
                    return content
            if self._described() == found:
                return None
        return None

    def _read(self, found: Mapping[str, Any], dimension: int) -> SnapshotContent | None:
        places = {part: self._folder / name for part, (name, _) in found["files"].items()}
        if any(places[part].stat().st_size != size for part, (_, size) in found["files"].items()):
            return None
        index = self._kind.read(places["vectors"], dimension)
        means = [LEVEL_KIND.read(places[level], dimension) for level in _LEVELS]
        if index is None or None in means:
            return None
        with open(places["owners"], "rb") as stream:
            arrays = [np.lib.format.read_array(stream, allow_pickle=False) for _ in range(9)]
        owners = ImageOwners(*arrays[:3])
        levels = {
            level: GroupLevel(held, Spread(*arrays[first : first + 3]))
            for level, held, first in zip(_LEVELS, means, (3, 6), strict=True)
            if held is not None
        }
        content = SnapshotContent(index, owners, tuple(found["shards"]), levels)
        return content if _fits_together(content) else None

    def shards(self) -> set[str] | None:
        """The names of the shards in the snapshot; None where there is no readable snapshot."""
        names = self._described().get("shards")
        return set(names) if isinstance(names, list) else None

    def index_files(self) -> list[Path]:
        """The files of its indexes: those of the images and of both levels' means."""
        files = self._described().get("files")
        parts = files if isinstance(files, dict) else {}
        return [self._folder / str(parts[part][0]) for part in ("vectors", *_LEVELS) if part in parts]

    def rebuilt(self) -> str | None:
        """The rebuild that the snapshot's index is of; None where it is of none, and without a snapshot."""
        found = self._described().get("rebuilt")
        return found if isinstance(found, str) else None

    def discard(self) -> None:
        """Delete the snapshot; a process that is loading it is not disturbed."""
        self._delete([self._description.name])
        self._delete(path.name for path in self._files())

    # Files

    def _write(self, name: str, write: Callable[[BinaryIO], None]) -> None:
        with atomic_file(self._folder / name) as stream:
            write(stream)

    def _files(self) -> list[Path]:
        return list(self._folder.glob(f"{glob.escape(self._space)}.*"))

    def _delete(self, names: Iterable[str]) -> None:
        for name in names:
            (self._folder / name).unlink(missing_ok=True)

    def _delete_abandoned(self) -> None:
        """Delete what killed processes and earlier formats left; another process may be writing what is
        new.
        """
        named = {self._description.name, *_names(self._described())}
        earlier = {f"{self._space}.vectors", f"{self._space}.faiss"}
        for path in self._files():
            with suppress(OSError):
                if path.name in earlier or path.stat().st_mtime < time.time() - _ABANDONED:
                    self._delete({path.name} - named)

    def _described(self) -> dict[str, Any]:
        try:
            found = json.loads(self._description.read_bytes())
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}


def _names(description: Mapping[str, Any]) -> list[str]:
    files = description.get("files")
    listed = files.values() if isinstance(files, dict) else ()
    names = [one[0] for one in listed if isinstance(one, list) and one]
    return [name for name in names if isinstance(name, str) and name == Path(name).name]


def _fits_together(content: SnapshotContent) -> bool:
    count, owners = len(content.index.ids), content.owners
    if any(one.shape != (count,) or one.dtype != np.int64 for one in owners):
        return False
    if ((owners.shard < 0) | (owners.shard >= len(content.shards))).any():
        return False
    for level, held in content.levels.items():
        groups = held.spread.groups
        if not np.array_equal(groups, np.unique(held.index.ids)):
            return False
        if not np.isin(owners.level(level), groups).all():
            return False
    return True


def _write_owners(content: SnapshotContent, stream: BinaryIO) -> None:
    arrays = [*content.owners, *(one for level in _LEVELS for one in content.levels[level].spread)]
    for array in arrays:
        np.lib.format.write_array(stream, array, allow_pickle=False)
