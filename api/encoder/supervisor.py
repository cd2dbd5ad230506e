"""Starts the encoder's process, sends it batches, watches it, and starts it again when it ends."""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from math import ceil
from typing import Any, Literal

import numpy as np

from medsiglip.api.encoder.child import Done, EncoderChild, Ready, Start, StartError, Work
from medsiglip.api.encoder.request_batching import Batch, BatchQueue
from medsiglip.api.errors import ServiceError

# Seconds until the next start: none after a process that encoded something, then more with each that did not.
BACKOFF = (0.0, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0)
# Seconds between checks whether a working process hangs.
_TICK = 1.0


@dataclass(frozen=True, slots=True)
class EncoderState:
    """Whether the model is loaded. Where it is not, `why` says what happened and `retry_after` in how many
    seconds it may be.
    """

    name: Literal["starting", "ready", "down"]
    why: str = ""
    retry_after: float = 0.0


class EncoderSupervisor:
    """Keeps one process working on `queue`.

    `state`, `restarts` and `gpu_memory` (bytes, None without a GPU) describe it at any time.
    """

    def __init__(self, start: Start, queue: BatchQueue[EncoderChild], start_seconds: float) -> None:
        self._start = start
        self._start_seconds = start_seconds
        self._queue = queue
        self.state = EncoderState("starting", "the model is being loaded for the first time", 10.0)
        self.restarts = 0
        self.gpu_memory: int | None = None
        self._start_took = 10.0
        self._ready: Ready | None = None
        self._child: EncoderChild | None = None
        self._closing = threading.Event()
        self._changed = threading.Condition()
        self._threads = [
            threading.Thread(target=work, name=f"encoder-{work.__name__[1:]}", daemon=True)
            for work in (self._supervise, self._dispatch)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def process_id(self) -> int | None:
        """The id of the process, if one runs."""
        child = self._child
        return child.process_id if child is not None else None

    def ready(self) -> Ready:
        """Wait until the model is loaded; its properties. Raises `ServiceError` as `check` does."""
        with self._changed:
            while self._ready is None:
                if self._closing.is_set():
                    raise shutting_down()
                self.check()
                self._changed.wait()
            return self._ready

    def check(self) -> None:
        """Raise ServiceError `encoder-restarting` while the process is down."""
        if self.state.name == "down":
            raise self._restarting()

    def close(self) -> None:
        """End the process and the threads."""
        self._closing.set()
        self._queue.end()
        with self._changed:
            self._changed.notify_all()
        child = self._child
        if child is not None:
            child.kill()
        for thread in self._threads:
            thread.join()

    def _supervise(self) -> None:
        failures = 0
        while not self._closing.is_set():
            child = self._child = EncoderChild(self._start.descriptor)
            if self._closing.is_set():
                child.kill()
            try:
                failures = self._run_child(child, failures)
            finally:
                child.end()
            self._closing.wait(_backoff(failures))
            self._set_state(replace(self.state, name="starting"))
        self._child = None
        self._queue.lose_device(shutting_down())
        self._queue.fail_all(shutting_down())

    def _run_child(self, child: EncoderChild, failures: int) -> int:
        """Start the process and deliver its answers until it ends; the number of failures in a row by
        then.
        """
        begun = time.monotonic()
        try:
            ready = child.start(self._start, self._start_seconds)
        except StartError as error:
            failures = max(failures, 1) + 1
            self._set_ended(str(error), failures)
            self._queue.fail_all(self._restarting())
            return failures
        self._start_took = time.monotonic() - begun
        self._set_state(EncoderState("ready"), ready)
        self._queue.resume(child, ready.batch_size, ready.seconds)
        failures = 1 if self._deliver_answers(child) else failures + 1
        self.restarts += not self._closing.is_set()
        self._set_ended(child.end(), failures)
        self._queue.lose_device(self._restarting())
        return failures

    def _deliver_answers(self, child: EncoderChild) -> bool:
        """Deliver answers until the process ends; whether it has encoded anything."""
        has_encoded = False
        while True:
            try:
                done = child.receive(_TICK)
            except (EOFError, OSError):
                return has_encoded
            if done is not None:
                has_encoded = True
                self._deliver(done)
            elif self._queue.seconds_in_flight() > self._start.hang_seconds:
                child.kill_hanging()
                return has_encoded

    def _deliver(self, done: Done) -> None:
        self.gpu_memory = done.gpu_memory
        self._queue.batch_size = done.batch_size
        self._queue.finish(done.vectors, done.failures, done.seconds)

    def _dispatch(self) -> None:
        while (batch := self._queue.take()) is not None:
            with suppress(OSError):  # the process is gone, which the other thread notices
                batch.device.send(_work(batch))

    def _set_ended(self, why: str, failures: int) -> None:
        delay = _backoff(failures)
        state = EncoderState("down" if delay else "starting", why, delay + self._start_took)
        self._set_state(state)

    def _set_state(self, state: EncoderState, ready: Ready | None = None) -> None:
        with self._changed:
            self.state = state
            self._ready = ready or self._ready
            self._changed.notify_all()

    def _restarting(self) -> ServiceError:
        seconds = float(ceil(max(self.state.retry_after, 1.0)))
        message = f"the encoder is being started again ({self.state.why}): try again in {seconds:.0f} s."
        return ServiceError("encoder-restarting", message, seconds)


def shutting_down() -> ServiceError:
    """The error of calls that come while the server shuts down."""
    return ServiceError("shutting-down", "the server is shutting down: try again in a minute.", 60.0)


def _backoff(failures: int) -> float:
    return BACKOFF[min(failures, len(BACKOFF)) - 1]


def _work(batch: Batch[EncoderChild]) -> Work:
    contents: list[Any] = [item.content for item in batch.items]
    return Work(batch.kind, contents if batch.kind == "image" else np.stack(contents))
