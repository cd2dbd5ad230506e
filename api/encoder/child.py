"""The encoder's process as its parent sees it, and the messages and memory that the two exchange."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

from medsiglip.api.encoder.request_batching import Kind
from medsiglip.checkpoint import Checkpoint
from medsiglip.ingest.child_process import start_module
from medsiglip.ingest.workers.messages import receive, send
from medsiglip.ingest.workers.shared_array import SharedArray

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
    """The model is loaded; encoding one image took `seconds`."""

    batch_size: int
    device: str
    logit_scale: float
    logit_bias: float
    seconds: float


@dataclass(frozen=True, slots=True)
class Failed:
    """The model cannot be loaded; `code` and message say why."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Work:
    """One batch: the places of images, whole or as patches, or token ids int64 [n, context_length]."""

    kind: Kind
    contents: Sequence[int] | NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Done:
    """The result of a batch: vectors float32 [n, d], of patches [n, 2 * patches * d], the errors of rows that
    have none, and the time it took.

    `batch_size` is what fits by now, `gpu_memory` the bytes taken on the GPU, if there is one.
    """

    vectors: NDArray[np.float32]
    failures: Mapping[int, Exception]
    seconds: float
    batch_size: int
    gpu_memory: int | None = field(default=None)


class ImagePlaces:
    """Memory that both processes map, with `count` places for model inputs, uint8 [size, size, 3].

    The thread that brings an image copies it here once. Memory is taken when a place is first used.
    """

    def __init__(self, count: int, size: int, descriptor: int | None = None) -> None:
        self._memory = SharedArray(descriptor)
        self.count = count
        self.array: NDArray[np.uint8] = self._memory.array((count, size, size, 3))
        # The place freed last is used next: its pages are there already.
        self._free = list(range(count - 1, -1, -1))

    @property
    def descriptor(self) -> int:
        """The file descriptor by which the other process maps the same memory."""
        return self._memory.descriptor

    def put(self, images: Iterable[NDArray[np.uint8]]) -> list[int]:
        """Copy each image to a free place, of which there must be enough."""
        taken = []
        for image in images:
            place = self._free.pop()
            self.array[place] = image
            taken.append(place)
        return taken

    def release(self, places: Iterable[int]) -> None:
        """Make places free for other images."""
        self._free.extend(places)

    def at(self, places: Sequence[int]) -> list[NDArray[np.uint8]]:
        """The images that are there, not copied."""
        return [self.array[place] for place in places]

    def close(self) -> None:
        """Release the memory once the last array on it is gone."""
        self._memory.close()


class StartError(Exception):
    """The process could not load the model; `code` and message say why."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class EncoderChild:
    """One process that holds the model. It ends with its parent, because its input pipe closes then."""

    def __init__(self, descriptor: int) -> None:
        # When the server takes a core for a moment, the other threads of the model sleep instead of spinning.
        wait_policy = os.environ.get("OMP_WAIT_POLICY", "PASSIVE")
        self._process = start_module(
            "medsiglip.api.encoder.process",
            environment={"OMP_WAIT_POLICY": wait_policy},
            descriptors=[descriptor],
        )
        self._sending = threading.Lock()
        self._is_hanging = False

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
        """Send a batch. Raises OSError when the process is gone."""
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

    def kill_hanging(self) -> None:
        """End a process that does not answer."""
        self._is_hanging = True
        self.kill()

    def end(self) -> str:
        """End the process, if it has not ended, and release its pipes; returns how it ended, for a person."""
        with self._sending, suppress(OSError):  # a descriptor closed during a write might already be reused
            self._source.close()
        try:
            code = self._process.wait(_SECONDS_TO_END)
        except subprocess.TimeoutExpired:
            self._process.kill()
            code = self._process.wait()
        with suppress(OSError):
            self._sink.close()
        if self._is_hanging or code == -signal.SIGALRM:
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
