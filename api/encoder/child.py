"""The encoder's process as its parent sees it, and what passes between the two."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

from medsiglip.api.encoder.encoding_request import Kind
from medsiglip.checkpoint import Checkpoint
from medsiglip.ingest.child_process import start_module
from medsiglip.ingest.workers.messages import receive, send

_SECONDS_TO_END = 5.0


@dataclass(frozen=True, slots=True)
class Start:
    """The first message: what to load, and the memory [places, S, S, 3] where images will lie.

    A batch that takes longer than `hang_seconds` ends the process, also when its parent is gone.
    """

    checkpoint: Checkpoint
    options: Mapping[str, Any]
    descriptor: int
    places: int
    hang_seconds: float


@dataclass(frozen=True, slots=True)
class Ready:
    """The model is loaded and has encoded one image, in so many `seconds`."""

    batch_size: int
    device: str
    logit_scale: float
    logit_bias: float
    seconds: float


@dataclass(frozen=True, slots=True)
class Failed:
    """The model cannot be loaded: one sentence, and the code where it is an error of ours."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Work:
    """One batch: the places of images, or token ids int64 [n, context_length]."""

    kind: Kind
    contents: Sequence[int] | NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Done:
    """What became of a batch: vectors float32 [n, d], why some rows hold none, and what it took.

    `batch_size` is what fits by now, `gpu_memory` the bytes taken on the GPU, if there is one.
    """

    vectors: NDArray[np.float32]
    failures: Mapping[int, Exception]
    seconds: float
    batch_size: int
    gpu_memory: int | None = field(default=None)


class StartError(Exception):
    """The process does not come up; `code` and sentence say why."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class EncoderChild:
    """One process with the model. It ends when this one does, for then the pipe that it reads from closes."""

    def __init__(self, descriptor: int) -> None:
        # Where the server takes a core for a moment, threads of the model wait asleep instead of keeping the
        # others busy.
        waiting = os.environ.get("OMP_WAIT_POLICY", "PASSIVE")
        self._process = start_module(
            "medsiglip.api.encoder.process",
            environment={"OMP_WAIT_POLICY": waiting},
            descriptors=[descriptor],
        )
        self._sending = threading.Lock()
        self._is_late = False

    @property
    def process_id(self) -> int:
        """The id of the process."""
        return self._process.pid

    def start(self, start: Start, seconds: float) -> Ready:
        """Wait until the model is loaded. Raises `StartError`."""
        try:
            send(self._source, start)
            answer: Ready | Failed = receive(self._sink, time.monotonic() + seconds)
        except TimeoutError:
            raise StartError("encoder-timeout", f"it was not loaded within {seconds:.0f} seconds") from None
        except (EOFError, OSError):
            raise StartError("encoder-crashed", self.end()) from None
        if isinstance(answer, Failed):
            raise StartError(answer.code, answer.message)
        return answer

    def send(self, work: Work) -> None:
        """Hand over a batch. Raises OSError when the process is gone."""
        with self._sending:
            send(self._source, work)

    def receive(self, seconds: float) -> Done | None:
        """The next finished batch, None if there is none within `seconds`. Raises EOFError and OSError when
        the process is gone.
        """
        poll = select.poll()
        poll.register(self._sink, select.POLLIN)
        if not poll.poll(seconds * 1000.0):
            return None
        done: Done = receive(self._sink, time.monotonic() + _SECONDS_TO_END)
        return done

    def kill(self) -> None:
        """End the process now, from any thread."""
        self._process.kill()

    def give_up(self) -> None:
        """End a process that does not answer."""
        self._is_late = True
        self.kill()

    def end(self) -> str:
        """End the process, if it has not ended, and let go of it; how it ended, for a person."""
        with self._sending, suppress(OSError):  # a descriptor closed in mid-write might be another's by then
            self._source.close()
        try:
            code = self._process.wait(_SECONDS_TO_END)
        except subprocess.TimeoutExpired:
            self._process.kill()
            code = self._process.wait()
        with suppress(OSError):
            self._sink.close()
        if self._is_late or code == -signal.SIGALRM:
            return "its process did not answer in time and was ended"
        if code < 0:
            return f"its process was ended by {signal.Signals(-code).name}"
        return f"its process ended with code {code}"

    @property
    def _source(self) -> BinaryIO:
        return cast(BinaryIO, self._process.stdin)

    @property
    def _sink(self) -> BinaryIO:
        return cast(BinaryIO, self._process.stdout)
