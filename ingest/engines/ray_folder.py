"""The folder of a Ray that a run starts.

Ray writes model inputs, pictures of patients, there when its memory is full. A run that is killed leaves it
behind, and the next start of one removes it.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

_PREFIX = "medsiglip-ray-"
_LOCK = "in-use.lock"
# Names of sockets may have 107 bytes, of which Ray takes about 65.
_LONGEST_FOLDER = 40
_SHORT_PARENT = Path("/tmp")


class RayFolder:
    """A new folder of this user alone, in use until it is closed or the process ends."""

    def __init__(self) -> None:
        """Make it, and remove those that killed runs of this user left."""
        parent = Path(tempfile.gettempdir())
        for each in {parent, _SHORT_PARENT}:
            _sweep(each)
        self.path, self._lock = _made(parent)
        if len(str(self.path)) > _LONGEST_FOLDER:
            self.close()
            self.path, self._lock = _made(_SHORT_PARENT)

    def close(self) -> None:
        """Remove the folder; safe to call again."""
        shutil.rmtree(self.path, ignore_errors=True)
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def _made(parent: Path) -> tuple[Path, int | None]:
    """A folder, and the descriptor that locks it: no child inherits it."""
    while True:
        path = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent))
        lock = os.open(path / _LOCK, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600)
        fcntl.flock(lock, fcntl.LOCK_EX)
        if os.fstat(lock).st_nlink:  # else another start took it for one that was left
            return path, lock
        os.close(lock)


def _sweep(parent: Path) -> None:
    """Remove folders of this user that no process uses."""
    for path in parent.glob(f"{_PREFIX}*"):
        with suppress(OSError):  # it is in use, or somebody else's, or gone meanwhile
            if path.is_symlink() or path.stat().st_uid != os.getuid():
                continue
            lock = os.open(path / _LOCK, os.O_RDWR | os.O_NOFOLLOW)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(path, ignore_errors=True)
            finally:
                os.close(lock)
