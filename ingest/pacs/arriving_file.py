"""Files that come from a PACS: whole and on the disk, or not there."""

from __future__ import annotations

import io
import os
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

from medsiglip.index.vectors import sync_path


class ArrivingFile:
    """A file that is written to `folder` under a name that says nothing, and is there when it is kept."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / f"{uuid4().hex}.dcm"
        self._temporary = self._path.with_suffix(".part")
        self._stream: io.BufferedWriter | None = io.BufferedWriter(io.FileIO(self._temporary, "x"))
        self.size = 0

    def write(self, data: bytes | memoryview) -> None:
        """Add to it."""
        assert self._stream is not None
        self._stream.write(data)
        self.size += len(data)

    def keep(self) -> Path:
        """Make it durable, with its name in the folder; its path."""
        assert self._stream is not None
        self._stream.flush()
        os.fsync(self._stream.fileno())
        self._stream.close()
        self._stream = None
        self._temporary.replace(self._path)
        sync_path(self._path.parent)
        return self._path

    def discard(self) -> None:
        """Remove what was written, unless it was kept."""
        if self._stream is not None:
            with suppress(OSError):
                self._stream.close()
            self._stream = None
        self._temporary.unlink(missing_ok=True)
