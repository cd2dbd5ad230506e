"""Processes of the encoder that are forked from one that has the libraries loaded already.

Each is a process of its own, with its own pipes, which does all that `medsiglip.api.encoder.process` does,
but does not import torch for seconds each time. How the module itself starts is tested in
`tests.api.encoder`, and wherever a service runs as a program.

    python -m tests.api.forked_encoders DESCRIPTOR
"""

from __future__ import annotations

import fcntl
import gc
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from typing import Any, NoReturn

from medsiglip.ingest import child_process
from tests.repository import ROOT

MODULE = "medsiglip.api.encoder.process"
_MOST_BYTES = 1 << 20
# No descriptor that a test has open is that high.
_OUT_OF_THE_WAY = 600


class ForkedProcess:
    """What the encoder's parent needs of a `subprocess.Popen`."""

    def __init__(self, source: int, sink: int, told: socket.socket) -> None:
        self.stdin = os.fdopen(source, "wb", buffering=0)
        self.stdout = os.fdopen(sink, "rb", buffering=0)
        self._told = told
        self._lines = b""
        self._ending = threading.Lock()
        self._code: int | None = None
        self.pid = self._line()

    def kill(self) -> None:
        """End it now, from any thread."""
        if self._code is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)

    def wait(self, timeout: float | None = None) -> int:
        """How it ended: as the exit code, or as minus the number of the signal."""
        with self._ending:
            if self._code is None:
                self._told.settimeout(timeout)
                try:
                    self._code = self._line()
                except TimeoutError:
                    raise subprocess.TimeoutExpired(MODULE, timeout or 0.0) from None
                self._told.close()
            return self._code

    def _line(self) -> int:
        while b"\n" not in self._lines:
            received = self._told.recv(64)
            assert received, "the process that forks has ended"
            self._lines += received
        line, _, self._lines = self._lines.partition(b"\n")
        return int(line)


class Encoders:
    """Starts the encoder's processes, the first of them when one is needed."""

    def __init__(self) -> None:
        self._starting = threading.Lock()

    def start_module(self, module: str, **options: Any) -> ForkedProcess | subprocess.Popen[bytes]:
        """In place of `medsiglip.ingest.child_process.start_module`."""
        if module != MODULE:
            return child_process.start_module(module, **options)
        return self._fork(options.get("environment") or {}, options.get("descriptors") or ())

    def close(self) -> None:
        """End the process that forks."""
        if "_forking" in self.__dict__:
            asking, process = self._forking
            asking.close()
            process.wait()

    @cached_property
    def _forking(self) -> tuple[socket.socket, subprocess.Popen[bytes]]:
        ours, theirs = socket.socketpair()
        with theirs:
            environment = {**os.environ, "OMP_WAIT_POLICY": "PASSIVE", "PYTHONPATH": str(ROOT)}
            command = [sys.executable, "-P", "-m", "tests.api.forked_encoders", str(theirs.fileno())]
            process = subprocess.Popen(
                command, env=environment, pass_fds=[theirs.fileno()], start_new_session=True
            )
        return ours, process

    def _fork(self, environment: Mapping[str, str], descriptors: Sequence[int]) -> ForkedProcess:
        read, source = os.pipe()
        sink, write = os.pipe()
        ours, theirs = socket.socketpair()
        asked = {"environment": {**os.environ, **environment}, "descriptors": [0, 1, *descriptors]}
        with self._starting:
            given = [theirs.fileno(), read, write, *descriptors]
            socket.send_fds(self._forking[0], [json.dumps(asked).encode()], given)
            theirs.close()
            os.close(read)
            os.close(write)
            ours.recv(1)  # so that one question is never read together with the next
        return ForkedProcess(source, sink, ours)


def serve(number: int) -> None:
    """Load the libraries, then fork whenever asked to."""
    from importlib import import_module

    for name in (MODULE, "medsiglip.encoder"):
        import_module(name)
    gc.freeze()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # so that nothing of those that ended is left to wait for
    with socket.socket(fileno=number) as asked:
        while True:
            content, files, _, _ = socket.recv_fds(asked, _MOST_BYTES, 16)
            if not content:
                return
            if os.fork() == 0:
                asked.close()
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                _answer(json.loads(content), files)
            for file in files:
                os.close(file)


def _answer(asked: dict[str, Any], files: list[int]) -> NoReturn:
    """Become the parent of one encoder, and tell its id and how it ended."""
    with socket.socket(fileno=files[0]) as caller:
        caller.sendall(b".")
        encoder = os.fork()
        if encoder == 0:
            caller.close()
            _become(asked, files[1:])
        for file in files[1:]:
            os.close(file)
        with suppress(BrokenPipeError):
            caller.sendall(f"{encoder}\n".encode())
            _, status = os.waitpid(encoder, 0)
            caller.sendall(f"{os.waitstatus_to_exitcode(status)}\n".encode())
    os._exit(0)


def _become(asked: dict[str, Any], files: list[int]) -> NoReturn:
    from medsiglip.api.encoder.process import main

    code = 1
    try:
        os.setsid()
        moved = [fcntl.fcntl(file, fcntl.F_DUPFD_CLOEXEC, _OUT_OF_THE_WAY) for file in files]
        for file in files:
            os.close(file)
        for file, wanted in zip(moved, asked["descriptors"], strict=True):
            os.dup2(file, wanted)
            os.close(file)
        os.environ.clear()
        os.environ.update(asked["environment"])
        main()
        code = 0
    finally:
        os._exit(code)


if __name__ == "__main__":
    serve(int(sys.argv[1]))
