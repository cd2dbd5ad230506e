"""Which studies of the spool are complete as far as one can tell: nothing was added to them for a while.

DICOM storage has no end of a study: senders pause between series, and some add to a study for hours.
"""

from __future__ import annotations

import os
import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from medsiglip.index.storage.spool import SPOOL

_STUDY = re.compile(r"[0-9a-f]{32}", re.ASCII)


@dataclass(slots=True)
class _Seen:
    """A folder as it was at the last look; moments are those of the caller's clock."""

    inode: int
    changed_ns: int
    first: float
    last: float


class QuietStudies:
    """What changed from look to look. The clock is that of the machine since its start, which is never set:
    the times of files only say whether something changed.
    """

    def __init__(self, home: Path, quiet_seconds: float, longest_seconds: float) -> None:
        """A study waits until nothing came for `quiet_seconds`, and `longest_seconds` at most."""
        self._folder = home / SPOOL
        self._quiet, self._longest = quiet_seconds, longest_seconds
        self._seen: dict[str, _Seen] = {}

    def __len__(self) -> int:
        """How many studies waited at the last look."""
        return len(self._seen)

    def look(self, now: float) -> list[Path]:
        """The folders of studies that wait no longer; raises OSError where the spool cannot be read."""
        seen: dict[str, _Seen] = {}
        for name, status in _folders(self._folder):
            inode, changed = status.st_ino, status.st_mtime_ns
            former = self._seen.get(name)
            if former is None or former.inode != inode:
                former = _Seen(inode, changed, now, now)
            elif former.changed_ns != changed:
                former.changed_ns, former.last = changed, now
            seen[name] = former
        self._seen = seen
        return [self._folder / name for name, one in seen.items() if self._is_due(one, now)]

    def _is_due(self, one: _Seen, now: float) -> bool:
        return now - one.last >= self._quiet or now - one.first >= self._longest


def _folders(spool: Path) -> list[tuple[str, os.stat_result]]:
    found = []
    with suppress(FileNotFoundError), os.scandir(spool) as entries:
        for entry in entries:
            if _STUDY.fullmatch(entry.name):
                with suppress(FileNotFoundError):  # another receiver of this home has handed it over
                    if entry.is_dir(follow_symlinks=False):
                        found.append((entry.name, entry.stat(follow_symlinks=False)))
    return sorted(found)
