"""What the receivers of a home say of themselves: one small file for each process in `receivers/`.

They are files and not rows, so that a receiver is seen while its database is away. They hold counts and no
patient data. A process that starts in the place of another one goes on with its counts.
"""

from __future__ import annotations

import json
import os
import re
import socket
import threading
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from medsiglip.answers.pacs import ReceiverState
from medsiglip.api.jobs.heartbeat import LATE_SECONDS, age_of, boot_id, is_running
from medsiglip.index.vectors import atomic_file, make_folder

FOLDER = "receivers"
BEAT_SECONDS = 5.0
_NAME = re.compile(r"[0-9a-f]{8}-[0-9]{1,3}\.json", re.ASCII)


@dataclass(slots=True)
class Counts:
    """What one process has done since the receiver began; `associations` are open now."""

    ae_title: str = ""
    port: int = 0
    associations: int = 0
    waiting_studies: int = 0
    received: int = 0
    failed: int = 0
    last_received_at: str | None = None


class StateFile:
    """The file of one process, written every `BEAT_SECONDS` from `start` until `stop`.

    `place` is `<name of the receiver>-<number of the process>`; 0 is the one that started the others.
    """

    def __init__(self, home: Path, place: str, counts: Counts) -> None:
        self.counts = counts
        self._file = home / FOLDER / f"{place}.json"
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="state", daemon=True)

    def start(self) -> None:
        """Take over the counts of the process that had this place, and begin to write."""
        former = _content(self._file) or {}
        for name in ("received", "failed"):
            with suppress(TypeError, ValueError):
                setattr(self.counts, name, getattr(self.counts, name) + int(former.get(name, 0)))
        if isinstance(former.get("last_received_at"), str):
            self.counts.last_received_at = former["last_received_at"]
        self.write()
        self._thread.start()

    def stop(self) -> None:
        """Write a last time: this process does not run any more."""
        self._ended.set()
        self._thread.join()
        self.counts.associations = 0
        self.write(ended=True)

    def write(self, *, ended: bool = False) -> None:
        """Write the counts now, if the home can be written."""
        content = {
            **asdict(self.counts),
            "host": socket.gethostname(),
            "process_id": os.getpid(),
            "boot": boot_id(),
            "uptime": time.monotonic(),
            "at": datetime.now(UTC).isoformat(timespec="seconds"),
            "ended": ended,
        }
        with suppress(OSError):
            make_folder(self._file.parent)
            with atomic_file(self._file) as stream:
                stream.write(json.dumps(content).encode())

    def _run(self) -> None:
        while not self._ended.wait(BEAT_SECONDS):
            self.write()


def receiver_state(home: Path) -> ReceiverState | None:
    """The receivers of a home as one; None where none ever ran.

    Where none runs, it is the state of the one that ran last. One runs that has a process to receive, too.
    """
    found = _read(home / FOLDER)
    if not found:
        return None
    live = [one for one in found if _lives(one)]
    shown = live or [max(found, key=lambda one: str(one.get("at")))]
    first = next((one for one in shown if one.get("port")), shown[0])
    moments = [one["last_received_at"] for one in found if isinstance(one.get("last_received_at"), str)]
    return ReceiverState(
        running={bool(one.get("port")) for one in live} == {True, False},  # only the first has the port
        ae_title=str(first.get("ae_title") or ""),
        port=_number(first, "port"),
        associations=sum(_number(one, "associations") for one in live),
        # Several receivers look at the same spool.
        waiting_studies=max(_number(one, "waiting_studies") for one in shown),
        received=sum(_number(one, "received") for one in (live or found)),
        failed=sum(_number(one, "failed") for one in (live or found)),
        last_received_at=max(moments, default=None),
    )


def remove_left(home: Path) -> None:
    """Remove the files of receivers that have ended, when a new one begins."""
    for path in _paths(home / FOLDER):
        content = _content(path)
        if content is not None and not _lives(content):
            with suppress(OSError):
                path.unlink(missing_ok=True)


def _number(content: dict[str, Any], name: str) -> int:
    value = content.get(name)
    return value if isinstance(value, int) and value >= 0 else 0


def _lives(content: dict[str, Any]) -> bool:
    """Whether the process beats: it has not said that it ended, and is not gone for certain."""
    if content.get("ended"):
        return False
    try:
        here = content["host"] == socket.gethostname() and content["boot"] == boot_id()
        gone = here and content["process_id"] != os.getpid() and not is_running(int(content["process_id"]))
        return not gone and age_of(content) <= LATE_SECONDS
    except (KeyError, TypeError, ValueError):
        return False


def _read(folder: Path) -> list[dict[str, Any]]:
    return [content for path in _paths(folder) if (content := _content(path)) is not None]


def _paths(folder: Path) -> list[Path]:
    with suppress(OSError):
        return sorted(path for path in folder.iterdir() if _NAME.fullmatch(path.name))
    return []


def _content(path: Path) -> dict[str, Any] | None:
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) else None
