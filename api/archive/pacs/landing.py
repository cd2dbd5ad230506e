"""Studies on their way from a PACS into the archive, so that whatever ends the process loses none of them.

The files of a study lie in a folder of their own in `received/`, as those of an upload do. A file
`<folder>.fetching` beside it says what it is, and is locked by the process that works on it: where the lock
is free, that process has ended. It exists from before the first file until the study is in the index.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal
from uuid import uuid4

from medsiglip.index.storage.deletion import UPLOADS

Purpose = Literal["sync", "waiting", "pull", "fetch"]
"""Why a study is brought in: a sync found it, it waits, somebody asked for it, or for its files alone."""
FETCHING = ".fetching"
"""The ending of the file beside the folder of a study on its way."""
_NEW = ".new"
_MOST_BYTES = 10_000
_OLD_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Arrival:
    """What is known of a study that was fetched. `listed` is how many instances the PACS has listed, of which
    `received` are on this side by now, and `came` this time; `reported` what the ledger expected before.
    `purpose` is what it was fetched for.
    """

    connection: str
    study_instance_uid: str
    reported: int | None = None
    listed: int | None = None
    received: int = 0
    came: int = 0
    failure: dict[str, str] | None = None
    may_pass: bool = False
    is_complete: bool = False
    purpose: Purpose = "waiting"


class Landing:
    """The folder of one study that this process holds."""

    def __init__(self, marker: Path, descriptor: int, arrival: Arrival) -> None:
        self.folder = marker.with_name(marker.name.removesuffix(FETCHING))
        self.arrival = arrival
        self._marker = marker
        self._descriptor: int | None = descriptor

    @classmethod
    def begin(cls, home: Path, arrival: Arrival) -> Landing:
        """A new folder, marked before it exists."""
        place = home / UPLOADS
        place.mkdir(0o700, parents=True, exist_ok=True)
        marker = place / f"{uuid4().hex}{FETCHING}"
        new = marker.with_name(f"{marker.name}{_NEW}")  # until it is locked and says something
        descriptor = os.open(new, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        landing = cls(marker, descriptor, arrival)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        landing.note(arrival)
        new.rename(marker)
        landing.folder.mkdir(0o700)
        _sync(place)
        return landing

    def note(self, arrival: Arrival) -> None:
        """Store what is known of the study now."""
        assert self._descriptor is not None
        content = json.dumps(asdict(arrival)).encode()
        os.ftruncate(self._descriptor, 0)  # a half-written one is read as nothing, and fetched again
        os.pwrite(self._descriptor, content, 0)
        os.fsync(self._descriptor)
        self.arrival = arrival

    def files(self) -> list[Path]:
        """The files that have arrived whole."""
        return sorted(path for path in self.folder.glob("*.dcm") if path.is_file())

    def keep(self) -> None:
        """The study is in the index, which now has its files; what it does not use was removed."""
        with suppress(OSError):
            self.folder.rmdir()  # where nothing is left
        self._end()

    def discard(self) -> None:
        """Delete the files: they were not put into the index, and the PACS has them."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self._end()

    def let_go(self) -> None:
        """Leave all as it is to the next run."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _end(self) -> None:
        self._marker.unlink(missing_ok=True)
        self.let_go()


def left_behind(home: Path, connection: str) -> Iterator[Landing]:
    """The landings of a connection whose processes have ended; they are this process's now. One of which
    nothing is known is given with an empty UID.
    """
    for marker in sorted((home / UPLOADS).glob(f"*{FETCHING}{_NEW}")):
        _tidy(marker)
    for landing in _left(home):
        if landing.arrival.connection in (connection, ""):
            landing.arrival = replace(landing.arrival, connection=connection)
            yield landing
        else:
            landing.let_go()


def connections_left(home: Path) -> set[str]:
    """The connections of whose studies something was left behind."""
    names = set()
    for landing in _left(home):
        names.add(landing.arrival.connection)
        landing.let_go()
    return names - {""}


def discard_left(home: Path, is_theirs: Callable[[str], bool]) -> None:
    """Delete what processes that have ended left of studies, by the UIDs that their PACS gives them. What a
    process works on it deletes itself when it sees that the study was forgotten.
    """
    for landing in _left(home):
        if is_theirs(landing.arrival.study_instance_uid):
            landing.discard()
        else:
            landing.let_go()


def _left(home: Path) -> Iterator[Landing]:
    for marker in sorted((home / UPLOADS).glob(f"*{FETCHING}")):
        try:
            descriptor = os.open(marker, os.O_RDWR)
        except FileNotFoundError:
            continue
        if _is_free(descriptor) and marker.exists():
            yield Landing(marker, descriptor, _read(descriptor) or Arrival("", ""))
        else:
            os.close(descriptor)


def _tidy(new: Path) -> None:
    """Remove a marker that never became one: its process ended before there was a folder."""
    with suppress(FileNotFoundError):
        descriptor = os.open(new, os.O_RDWR)
        try:
            if _is_free(descriptor) and time.time() - new.stat().st_mtime > _OLD_SECONDS:
                new.unlink()
        finally:
            os.close(descriptor)


def _is_free(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _read(descriptor: int) -> Arrival | None:
    try:
        found: dict[str, Any] = json.loads(os.pread(descriptor, _MOST_BYTES, 0))
        return Arrival(**found)
    except (ValueError, TypeError):
        return None


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
