"""The heartbeats of workers: one small file each in `workers/` of the home, which says what the worker does.

They are files and not rows, so that a worker that waits for its database is seen as well. They hold no
patient data. Their age is taken by the machine's clock since its start, which is never set; only those of
other machines are compared by the time of day.
"""

from __future__ import annotations

import json
import os
import re
import socket
import threading
import time
from contextlib import suppress
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

from medsiglip.answers.service import WorkerState
from medsiglip.index.vectors import atomic_file, make_folder

State = Literal["starting", "idle", "working", "waiting"]
FOLDER = "workers"
BEAT_SECONDS = 10.0
LATE_SECONDS = 60.0
"""Without a beat for so long, a worker is late."""
STUCK_SECONDS = 180.0
"""A worker that has no job looks for one every few seconds; a database that is frozen delays it by less."""
_DEAD_SECONDS = 86_400.0
_NAME = re.compile(r"[0-9a-f]{8}\.json", re.ASCII)
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class Heartbeat:
    """The heartbeat of this process, from `start` until `stop`, which may follow each other several times;
    `note` is called by the thread that works.
    """

    def __init__(self, home: Path, worker: str) -> None:
        self._folder = home / FOLDER
        self._file = self._folder / f"{worker.rpartition(':')[2]}.json"
        self._about = {
            "worker": worker,
            "host": socket.gethostname(),
            "process_id": os.getpid(),
            "boot": boot_id(),
            "version": version("medsiglip"),
            "started_at": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        self._doing: tuple[State, str | None, float] = ("starting", None, time.monotonic())
        self._ended = threading.Event()
        self._writing = threading.Lock()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to beat, and remove what workers of this machine left that are gone for certain."""
        _remove_dead(self._folder)
        self._ended.clear()
        self._beat()
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)
        self._thread.start()

    def note(self, state: State, job: str | None = None) -> None:
        """The worker does this now; a change is written at once."""
        before = self._doing[:2]
        self._doing = (state, job, time.monotonic())
        if before != (state, job):
            self._beat()

    def stop(self) -> None:
        """The worker ends in good order."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join()
        with suppress(OSError):
            self._file.unlink(missing_ok=True)

    def _run(self) -> None:
        while not self._ended.wait(BEAT_SECONDS):
            self._beat()

    def _beat(self) -> None:
        state, job, since = self._doing
        now = time.monotonic()
        content = {
            **self._about,
            "at": datetime.now(UTC).isoformat(timespec="seconds"),
            "uptime": now,
            "state": state,
            "job": job,
            "state_seconds": round(now - since, 1),
        }
        # A home that is not there yet, or cannot be written, has no heartbeat: such a worker does nothing.
        with self._writing, suppress(OSError):
            if self._folder.parent.is_dir() and not self._ended.is_set():
                make_folder(self._folder)
                with atomic_file(self._file) as stream:
                    stream.write(json.dumps(content).encode())


def heartbeats(home: Path) -> list[WorkerState]:
    """The workers that have beaten in the last day and did not end in good order, by name."""
    found = (_state(content) for _, content in _read(home / FOLDER))
    recent = (one for one in found if one is not None and one.beat_seconds_ago <= _DEAD_SECONDS)
    return sorted(recent, key=lambda one: one.worker)


def on_this_machine(workers: list[WorkerState]) -> list[WorkerState]:
    """Those of this machine, or of this container."""
    host = socket.gethostname()
    return [one for one in workers if one.host == host]


def _state(content: dict[str, Any]) -> WorkerState | None:
    try:
        age = age_of(content)
        is_stuck = content["state"] in ("idle", "starting") and content["state_seconds"] > STUCK_SECONDS
        return WorkerState(
            worker=str(content["worker"]),
            host=str(content["host"]),
            version=str(content["version"]),
            state=content["state"],
            job=content["job"],
            started_at=str(content["started_at"]),
            beat_seconds_ago=round(age, 1),
            ok=age <= LATE_SECONDS and not is_stuck,
        )
    except (KeyError, TypeError, ValueError):
        return None  # not a heartbeat


def age_of(content: dict[str, Any]) -> float:
    """Seconds since a beat, by its `boot`, `uptime` and `at`; raises KeyError, TypeError and ValueError."""
    if content["boot"] == boot_id():
        return max(time.monotonic() - float(content["uptime"]), 0.0)
    then = datetime.fromisoformat(content["at"])
    return max((datetime.now(UTC) - then).total_seconds(), 0.0)


def _remove_dead(folder: Path) -> None:
    """Remove the heartbeats of processes of this machine that have ended, and those that are a day old."""
    for path, content in _read(folder):
        state = _state(content)
        if state is None:
            continue
        ended = state.host == socket.gethostname() and not (
            content["boot"] == boot_id() and is_running(int(content["process_id"]))
        )
        if ended or state.beat_seconds_ago > _DEAD_SECONDS:
            with suppress(OSError):
                path.unlink(missing_ok=True)


def _read(folder: Path) -> list[tuple[Path, dict[str, Any]]]:
    found: list[tuple[Path, dict[str, Any]]] = []
    with suppress(OSError):
        for path in sorted(folder.iterdir()):
            with suppress(OSError, ValueError):
                if _NAME.fullmatch(path.name) and isinstance(content := json.loads(path.read_bytes()), dict):
                    found.append((path, content))
    return found


def is_running(process_id: int) -> bool:
    """Whether another process of this machine has this id."""
    if process_id == os.getpid():  # in a container, that of an earlier start was the same
        return False
    try:
        os.kill(process_id, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def boot_id() -> str:
    """What identifies this start of this machine: containers on it share it, and its clock since then."""
    try:
        return _BOOT_ID.read_text(encoding="ascii").strip()
    except OSError:
        return socket.gethostname()
