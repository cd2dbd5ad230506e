"""`medsiglip serve` and `medsiglip worker` as child processes of a test."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from tests.repository import ROOT

MODULE = (sys.executable, "-m", "medsiglip.api.cli")


class Started:
    """One command that runs in `folder`, started as `program`; its log is the file `log`."""

    def __init__(
        self,
        home: Path,
        words: tuple[str, ...],
        database_url: str | None = None,
        environment: Mapping[str, str] | None = None,
        *,
        program: Sequence[str] = MODULE,
        folder: Path | None = None,
    ) -> None:
        self.log = home.parent / f"{words[0]}-{time.monotonic_ns()}.log"
        environment = {
            **os.environ,
            "OMP_NUM_THREADS": "1",
            "PYTHONPATH": str(ROOT),
            **(environment or {}),
        }
        if database_url is not None:
            environment["MEDSIGLIP_DATABASE_URL"] = database_url
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [*program, "--home", str(home), "--json", *words],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                env=environment,
                cwd=folder,
                text=True,
            )

    def answer(self) -> dict[str, Any]:
        """Wait for the one JSON object on standard output."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, self.log.read_text()
        answer: dict[str, Any] = json.loads(line)
        return answer

    def children(self) -> list[psutil.Process]:
        """The processes below this one."""
        return psutil.Process(self.process.pid).children(recursive=True)

    def end(self) -> None:
        """Kill it and all its children, in whatever state they are."""
        below = self.children() if self.process.poll() is None else []
        with suppressed():
            self.process.kill()
        for child in below:
            with suppressed():
                child.kill()
        self.process.communicate()


@contextmanager
def suppressed() -> Iterator[None]:
    """Ignore processes that have already ended."""
    try:
        yield
    except (psutil.NoSuchProcess, ProcessLookupError):
        return


Start = Callable[..., Started]
"""Starts a command by its words on the home of a test, with a database and settings of the environment."""
