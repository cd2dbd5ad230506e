"""Snapshots of an index on disk, below `faiss/` of the home: they spare the next start the shards."""

from __future__ import annotations

import json
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from medsiglip.index.search.kinds.index_kinds import IndexKind
from medsiglip.index.search.kinds.vector_search import VectorSearch
from medsiglip.index.vectors import atomic_file, make_folder

FORMAT = 2


class Snapshot:
    """The snapshot of one space: `<space>.vectors`, and `<space>.json` with the names of the shards in it."""

    def __init__(self, home: Path, space: str, kind: IndexKind) -> None:
        self._kind = kind
        self._vectors = home / "faiss" / f"{space}.vectors"
        self._of_format_1 = home / "faiss" / f"{space}.faiss"
        self._description = home / "faiss" / f"{space}.json"

    def save(self, index: VectorSearch, dimension: int, shards: Iterable[str]) -> None:
        """Write the index. The description is written last and deleted first, so it never describes another
        file.
        """
        make_folder(self._vectors.parent)
        self._description.unlink(missing_ok=True)
        self._of_format_1.unlink(missing_ok=True)
        with atomic_file(self._vectors) as stream:
            self._kind.write(index, stream)
        size = self._vectors.stat().st_size
        description = {"format": FORMAT, "dimension": dimension, "bytes": size, "shards": sorted(shards)}
        with atomic_file(self._description) as stream:
            stream.write(json.dumps(description).encode())

    def load(self, dimension: int) -> VectorSearch | None:
        """The index, or None where the snapshot is absent, damaged, or of another format,
        dimension or kind.
        """
        found = self._described()
        if (found.get("format"), found.get("dimension")) != (FORMAT, dimension):
            return None
        try:
            if self._vectors.stat().st_size != found.get("bytes"):
                return None
        except OSError:
            return None
        return self._kind.read(self._vectors, dimension)

    def shards(self) -> set[str] | None:
        """The names of the shards in the snapshot; None where there is no readable snapshot."""
        names = self._described().get("shards")
        return set(names) if isinstance(names, list) else None

    def discard(self) -> None:
        """Delete the snapshot; a process that is loading it is not disturbed."""
        for path in (self._description, self._vectors, self._of_format_1):
            with suppress(FileNotFoundError):
                path.unlink()

    def _described(self) -> dict[str, Any]:
        try:
            found = json.loads(self._description.read_bytes())
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}
