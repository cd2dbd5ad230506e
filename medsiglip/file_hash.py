"""SHA-256 of files, remembered for large ones by path, size and modification time."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from pathlib import Path
from typing import Any

LARGE = 64 * 1024**2


class FileHashes:
    """Hashes files; those of at least `LARGE` bytes are kept in the JSON file `cache`, where one is given.

    A cache that cannot be read or written costs time and is no error.
    """

    def __init__(self, cache: Path | None) -> None:
        self._cache = cache

    def sha256(self, path: Path) -> str:
        """Hash of a file's content, 64 hex digits."""
        status = path.stat()
        if self._cache is None or status.st_size < LARGE:
            return _sha256(path)
        key, stamp = os.path.realpath(path), [status.st_size, status.st_mtime_ns]
        known = self._read()
        entry = known.get(key)
        if isinstance(entry, dict) and entry.get("stamp") == stamp and isinstance(entry.get("sha256"), str):
            return str(entry["sha256"])
        digest = _sha256(path)
        self._write(known | {key: {"stamp": stamp, "sha256": digest}})
        return digest

    def _read(self) -> dict[str, Any]:
        assert self._cache is not None
        try:
            known = json.loads(self._cache.read_bytes())
        except (OSError, ValueError):
            return {}
        return known if isinstance(known, dict) else {}

    def _write(self, known: dict[str, Any]) -> None:
        assert self._cache is not None
        try:
            self._cache.parent.mkdir(parents=True, exist_ok=True)
            descriptor, temporary = tempfile.mkstemp(dir=self._cache.parent, prefix=self._cache.name)
        except OSError:
            return
        try:
            with os.fdopen(descriptor, "w") as file:
                json.dump(known, file, indent=1)
            os.replace(temporary, self._cache)
        except OSError:
            Path(temporary).unlink(missing_ok=True)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
