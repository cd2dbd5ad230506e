"""Worker processes: one that crashes or hangs is replaced, and the unit it had is known."""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Generator, Iterable
from contextlib import suppress
from dataclasses import replace
from typing import BinaryIO, cast

from medsiglip.ingest.child_process import start_module
from medsiglip.ingest.errors import IngestError, WorkerLostError
from medsiglip.ingest.files.walk import FoundFile
from medsiglip.ingest.header.header import Header
from medsiglip.ingest.privacy.deidentify import SecretKey
from medsiglip.ingest.reasons import Rejected
from medsiglip.ingest.units.plan import PlanOptions, Unit
from medsiglip.ingest.workers.isolation import render_or_isolate
from medsiglip.ingest.workers.messages import READY, FileTask, Reply, ScanTask, receive, send
from medsiglip.ingest.workers.rendered_unit import RenderedUnit
from medsiglip.ingest.workers.shared_array import SharedArray

# Processor time that one unit may take: several times what it needs. A machine with other work to do takes
# longer by the clock, so what takes no processor time counts as hanging only after `CLOCK_FACTOR` times that.
UNIT_SECONDS = 4.0
CLOCK_FACTOR = 10.0
BYTES_PER_SECOND = 8 << 20
PIXELS_PER_SECOND = 20_000_000
IMAGES_PER_SECOND = 50
# The most pixels that are decoded of a slide, doubled because tiles overlap the patches.
SLIDE_PIXELS = 4 << 30
# No codec packs more than about this many pixels into a byte, whatever rows and columns a header claims.
PIXELS_PER_BYTE = 100
START_SECONDS = 60.0
# A process that something kills while it starts is started again.
STARTS = 3
CHECK_EVERY_S = 0.5
MAX_BYTES_IN_FLIGHT = 384 << 20
# Units that wait for each worker: enough work for the time that encoding takes.
UNITS_IN_FLIGHT = 64
_ONE_THREAD = dict.fromkeys(
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS"),
    "1",
)


def usual_workers() -> int:
    """The default number of workers: one for each core, at most 8."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(cores, 8)


def seconds_allowed(unit: Unit) -> float:
    """How much processor time rendering a unit may take, by its bytes, pixels and images."""
    size = sum(header.size for header in unit.headers)
    claimed = sum(unit.headers[s.file].rows * unit.headers[s.file].columns for s in unit.slices)
    pixels = min(SLIDE_PIXELS if unit.patches else claimed, PIXELS_PER_BYTE * size)
    return (
        UNIT_SECONDS
        + size / BYTES_PER_SECOND
        + pixels / PIXELS_PER_SECOND
        + unit.max_images / IMAGES_PER_SECOND
    )


class WorkerClosedError(Exception):
    """The pool is being closed, so the result is not needed."""


class Worker:
    """One process, started when it is first needed and again after it was lost.

    It makes model inputs of `size` by a profile, or display values if the profile is `AS_DISPLAYED`.
    """

    def __init__(self, size: int, profile: str, seconds: Callable[[Unit], float] = seconds_allowed) -> None:
        self._arguments = (str(size), profile)
        self._seconds = seconds
        self._shared = SharedArray()
        self._process: subprocess.Popen[bytes] | None = None
        self._closed = False

    def render(self, unit: Unit) -> RenderedUnit:
        """Render a unit. Raises `WorkerLostError`, or `IngestError` if no worker can start at all."""
        reply = self._request(unit, self._seconds(unit))
        if reply.rendered is None:
            raise WorkerLostError(reply.code)
        return replace(reply.rendered, inputs=self._shared.take(reply.shape))

    def scan(self, found: FoundFile, key: SecretKey) -> Header | Rejected:
        """What `scan_file` returns for a file. Raises as `render` does."""
        reply = self._request(ScanTask(found, key), UNIT_SECONDS + found.size / BYTES_PER_SECOND)
        if reply.scanned is None:
            raise WorkerLostError(reply.code)
        return reply.scanned

    def scan_and_render(
        self, found: FoundFile, key: SecretKey, options: PlanOptions
    ) -> tuple[Header, RenderedUnit] | None:
        """Scan and render a file of one image in one step; None for any other. Raises as `render` does."""
        reply = self._request(ScanTask(found, key, options), UNIT_SECONDS + found.size / BYTES_PER_SECOND)
        if reply.rendered is None or not isinstance(reply.scanned, Header):
            return None
        return reply.scanned, replace(reply.rendered, inputs=self._shared.take(reply.shape))

    def perform(self, task: FileTask, size: int) -> Reply:
        """The reply to a task about a file of `size` bytes: what it returned, or its code. Raises as `render`
        does.
        """
        return self._request(task, UNIT_SECONDS + size / BYTES_PER_SECOND)

    def _request(self, task: Unit | ScanTask | FileTask, seconds: float) -> Reply:
        process = self._running()
        patience = CLOCK_FACTOR * seconds
        deadline = time.monotonic() + patience
        try:
            send(cast(BinaryIO, process.stdin), (task, seconds, patience), deadline)
            reply: Reply = receive(cast(BinaryIO, process.stdout), deadline)
        except (EOFError, OSError) as error:
            self.end()
            if self._closed:
                raise WorkerClosedError from None
            late = isinstance(error, TimeoutError) or process.returncode == -signal.SIGPROF
            raise WorkerLostError("decoder-timeout" if late else "decoder-crashed") from None
        if reply.retires:
            self.end()
        return reply

    def start(self) -> None:
        """Start the process, unless it runs. Raises `IngestError` if it cannot."""
        self._running()

    @property
    def process_id(self) -> int | None:
        """The id of the process, if one runs."""
        return self._process.pid if self._process is not None else None

    def close(self) -> None:
        """End the process for good. Safe from any thread: this is how a waiting `render` is interrupted."""
        self._closed = True
        process = self._process
        if process is not None:
            process.kill()

    def end(self) -> None:
        """End the process, if one runs; the next `render` starts another."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()
            for stream in (process.stdin, process.stdout):
                if stream is not None:
                    with suppress(OSError):  # data were buffered for a dead process
                        stream.close()

    def release(self) -> None:
        """End the process for good and free its shared memory; called by the thread that renders."""
        self.close()
        self.end()
        self._shared.close()

    def _running(self) -> subprocess.Popen[bytes]:
        if self._closed:
            raise WorkerClosedError
        if self._process is not None:
            return self._process
        for _ in range(STARTS):
            process = self._process = start_module(
                "medsiglip.ingest.workers.worker",
                [*self._arguments, str(self._shared.descriptor)],
                environment=_ONE_THREAD,
                descriptors=[self._shared.descriptor],
            )
            if _is_ready(process) and not self._closed:
                os.set_blocking(cast(BinaryIO, process.stdin).fileno(), False)  # a worker may stop reading
                return process
            again = _was_killed(process)
            self.end()
            if self._closed:
                raise WorkerClosedError
            if not again:
                break
        raise IngestError(
            "worker-start-failed", "No worker process could be started; run `medsiglip doctor` to see why."
        )


def _is_ready(process: subprocess.Popen[bytes]) -> bool:
    try:
        return bool(receive(cast(BinaryIO, process.stdout), time.monotonic() + START_SECONDS) == READY)
    except (EOFError, OSError):
        return False


def _was_killed(process: subprocess.Popen[bytes]) -> bool:
    """Whether a signal ended a process that has closed its output, as where memory is short for a while."""
    try:
        return process.wait(1.0) < 0
    except subprocess.TimeoutExpired:
        return False


class WorkerPool:
    """Renders units in several processes, in no fixed order, with a bound on the bytes in memory."""

    def __init__(self, workers: int, size: int, profile: str) -> None:
        self._workers = [Worker(size, profile) for _ in range(workers)]
        self._size = size
        self._waiting: queue.SimpleQueue[Unit | None] = queue.SimpleQueue()
        self._results: queue.SimpleQueue[tuple[Unit, RenderedUnit | BaseException]] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Start the processes without waiting for them; they take half a second."""
        self._threads = [
            threading.Thread(target=_feed, args=(worker, self._waiting, self._results), daemon=True)
            for worker in self._workers
        ]
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        """End the processes; a closed pool starts no others."""
        for _ in self._threads:
            self._waiting.put(None)
        for worker in self._workers:
            worker.close()
        for thread in self._threads:
            thread.join(timeout=10.0)
        self._threads = []

    def render_all(
        self, units: Iterable[Unit], check: Callable[[], None] = lambda: None
    ) -> Generator[tuple[Unit, RenderedUnit]]:
        """Yield every unit with its result, as they come; leaving the iteration early ends the workers.

        `check` is called while waiting for a result, and may raise.
        """
        if not self._threads:
            self.start()
        remaining = iter(units)
        following = next(remaining, None)
        count = held = 0
        try:
            while count or following is not None:
                while following is not None and self._has_room(count, held, following):
                    self._waiting.put(following)
                    count, held = count + 1, held + following.memory(self._size)
                    following = next(remaining, None)
                unit, rendered = self._next_result(check)
                count, held = count - 1, held - unit.memory(self._size)
                if isinstance(rendered, BaseException):
                    raise rendered
                yield unit, rendered
        finally:
            self.close()

    def _next_result(self, check: Callable[[], None]) -> tuple[Unit, RenderedUnit | BaseException]:
        while True:
            with suppress(queue.Empty):
                return self._results.get(timeout=CHECK_EVERY_S)
            check()

    def _has_room(self, count: int, held: int, unit: Unit) -> bool:
        if count == 0:
            return True
        return (
            count < UNITS_IN_FLIGHT * len(self._workers)
            and held + unit.memory(self._size) <= MAX_BYTES_IN_FLIGHT
        )


def _feed(
    worker: Worker,
    waiting: queue.SimpleQueue[Unit | None],
    results: queue.SimpleQueue[tuple[Unit, RenderedUnit | BaseException]],
) -> None:
    try:
        with suppress(IngestError, WorkerClosedError, OSError):  # the first unit raises it again
            worker.start()
        while (unit := waiting.get()) is not None:
            try:
                results.put((unit, render_or_isolate(worker.render, unit)))
            except WorkerClosedError:
                return
            except BaseException as error:  # raised in the thread that waits for results
                results.put((unit, error))
    finally:
        worker.release()
