"""A child process that is restarted when it ends by itself, and that ends with its parent.

The child's standard input is a pipe from the parent. It is closed when the parent ends, in whatever way, and
the child ends when it is closed.
"""

from __future__ import annotations

import logging
import os
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress

from medsiglip.ingest.child_process import start_module

FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 30.0
STEADY_S = 60.0
_log = logging.getLogger("medsiglip.supervision")


class SupervisedProcess:
    """`python -m MODULE WORDS...`, from `start` until `stop`; each inherits the file `descriptors`."""

    def __init__(self, module: str, words: Sequence[str], *, descriptors: Sequence[int] = ()) -> None:
        self._module = module
        self._words = tuple(words)
        self._descriptors = tuple(descriptors)
        self._process: subprocess.Popen[bytes] | None = None
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._watch, name="supervision", daemon=True)

    def start(self) -> None:
        """Start the process and the thread that watches it."""
        self._spawn()
        self._thread.start()

    @property
    def process_id(self) -> int | None:
        """The id of the running process, if there is one."""
        process = self._process
        return process.pid if process is not None and process.poll() is None else None

    def send(self, number: int) -> None:
        """Send a signal to the process, if it runs."""
        with self._lock, suppress(OSError):
            if self._process is not None and self._process.poll() is None:
                self._process.send_signal(number)

    def request_stop(self) -> None:
        """Ask the process to end, without waiting for it."""
        self._stopping.set()
        with self._lock:
            process = self._process
            if process is not None and process.stdin is not None:
                with suppress(OSError):
                    process.stdin.close()

    def stop(self, within_s: float) -> None:
        """Ask the process to end, and kill it if it has not ended in time."""
        self.request_stop()
        with self._lock:
            process = self._process
        if process is not None:
            try:
                process.wait(within_s)
            except subprocess.TimeoutExpired:
                _log.warning("process %d did not end within %g seconds and is killed", process.pid, within_s)
                process.kill()
                process.wait()
        if self._thread.ident is not None:
            self._thread.join()

    def _spawn(self) -> None:
        with self._lock:
            if self._stopping.is_set():
                return
            self._process = start_module(
                self._module,
                self._words,
                descriptors=self._descriptors,
                stdout=subprocess.DEVNULL,
                stderr=None,
            )

    def _watch(self) -> None:
        pause = FIRST_PAUSE_S
        while not self._stopping.is_set():
            process, begun = self._process, time.monotonic()
            assert process is not None
            code = process.wait()
            if self._stopping.is_set():
                return
            pause = FIRST_PAUSE_S if time.monotonic() - begun > STEADY_S else pause
            _log.error("process %d ended with code %d; another starts in %g s", process.pid, code, pause)
            if self._stopping.wait(pause):
                return
            pause = min(2 * pause, LONGEST_PAUSE_S)
            self._spawn()


def call_when_input_ends(call: Callable[[], None]) -> None:
    """In a supervised process: call `call` in a thread when the parent has ended or asks this process to
    end.
    """

    def wait() -> None:
        with suppress(OSError):
            while os.read(0, 4096):
                pass
        call()

    threading.Thread(target=wait, name="parent", daemon=True).start()
