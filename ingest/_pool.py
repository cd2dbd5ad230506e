"""Worker processes of our own: a worker that dies or hangs is known by the unit it held, and replaced."""

from __future__ import annotations

import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Generator, Iterable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np

from ingest._worker import READY, receive, send
from ingest.drawing import FileOutcome
from ingest.drawn_unit import DrawnUnit, ImageFacts, reject_unit
from ingest.errors import IngestError
from ingest.plan import Unit

# A single slow file decodes in seconds; a series of the most slices in about a minute.
UNIT_TIMEOUT_S = 300.0
MAX_BYTES_IN_FLIGHT = 384 << 20
_ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


class WorkerLostError(Exception):
    """The worker gave no result; `code` of `ingest.reasons` says why."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class WorkerClosedError(Exception):
    """The pool is being closed; nobody waits for the result."""


class Worker:
    """One process, started when first needed and again after it was lost."""

    def __init__(self, size: int, profile: str, timeout_s: float = UNIT_TIMEOUT_S) -> None:
        self._arguments = (str(size), profile)
        self._size = size
        self._timeout_s = timeout_s
        self._process: subprocess.Popen[bytes] | None = None
        self._closed = False

    def draw(self, unit: Unit) -> DrawnUnit:
        """Have a unit drawn. Raises `WorkerLostError`, or `IngestError` if no worker can start at all."""
        process = self._running()
        try:
            send(cast(BinaryIO, process.stdin), unit)
            drawn, raw = receive(cast(BinaryIO, process.stdout), time.monotonic() + self._timeout_s)
        except (EOFError, OSError) as error:
            self.end()
            if self._closed:
                raise WorkerClosedError from None
            late = isinstance(error, TimeoutError)
            raise WorkerLostError("decoder-timeout" if late else "decoder-crashed") from None
        if drawn is None:
            raise WorkerLostError("undecodable-pixels")
        inputs = np.frombuffer(raw, np.uint8).reshape(-1, self._size, self._size, 3)
        return replace(cast(DrawnUnit, drawn), inputs=inputs)

    @property
    def process_id(self) -> int | None:
        """The id of the process, if one runs."""
        return self._process.pid if self._process is not None else None

    def close(self) -> None:
        """End the process for good; safe from any thread, which is how a waiting `draw` is interrupted."""
        self._closed = True
        process = self._process
        if process is not None:
            process.kill()

    def end(self) -> None:
        """End the process, if there is one; the next `draw` starts another."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()
            for stream in (process.stdin, process.stdout):
                if stream is not None:
                    with suppress(OSError):  # what was buffered for a dead process
                        stream.close()

    def _running(self) -> subprocess.Popen[bytes]:
        if self._closed:
            raise WorkerClosedError
        if self._process is not None:
            return self._process
        source_root = str(Path(__file__).resolve().parent.parent)
        path = os.pathsep.join(filter(None, [source_root, os.environ.get("PYTHONPATH", "")]))
        process = subprocess.Popen(
            [sys.executable, "-m", "ingest._worker", *self._arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, **_ONE_THREAD, "PYTHONPATH": path},
            bufsize=0,
        )
        self._process = process
        try:
            ready, _ = receive(cast(BinaryIO, process.stdout))
        except (EOFError, OSError):
            ready = None
        if ready != READY:
            self.end()
            if self._closed:
                raise WorkerClosedError
            raise IngestError(
                "worker-start-failed",
                "No worker process could be started; run `medsiglip doctor` to see why.",
            )
        return process


class WorkerPool:
    """Draws units in several processes, in no fixed order, holding a bounded number of bytes."""

    def __init__(self, workers: int, size: int, profile: str, timeout_s: float = UNIT_TIMEOUT_S) -> None:
        self._workers = [Worker(size, profile, timeout_s) for _ in range(workers)]
        self._size = size

    def draw_all(self, units: Iterable[Unit]) -> Generator[tuple[Unit, DrawnUnit]]:
        """Yield every unit with its result as it comes; leaving the iteration early ends the workers."""
        waiting: queue.SimpleQueue[Unit | None] = queue.SimpleQueue()
        results: queue.SimpleQueue[tuple[Unit, DrawnUnit | BaseException]] = queue.SimpleQueue()
        threads = [
            threading.Thread(target=_feed, args=(worker, waiting, results), daemon=True)
            for worker in self._workers
        ]
        for thread in threads:
            thread.start()
        remaining = iter(units)
        following = next(remaining, None)
        count = held = 0
        try:
            while count or following is not None:
                while following is not None and self._has_room(count, held, following):
                    waiting.put(following)
                    count, held = count + 1, held + following.memory(self._size)
                    following = next(remaining, None)
                unit, drawn = results.get()
                count, held = count - 1, held - unit.memory(self._size)
                if isinstance(drawn, BaseException):
                    raise drawn
                yield unit, drawn
        finally:
            for _ in threads:
                waiting.put(None)
            for worker in self._workers:
                worker.close()
            for thread in threads:
                thread.join(timeout=10.0)

    def _has_room(self, count: int, held: int, unit: Unit) -> bool:
        if count == 0:
            return True
        return count < 16 * len(self._workers) and held + unit.memory(self._size) <= MAX_BYTES_IN_FLIGHT


def _feed(
    worker: Worker,
    waiting: queue.SimpleQueue[Unit | None],
    results: queue.SimpleQueue[tuple[Unit, DrawnUnit | BaseException]],
) -> None:
    try:
        while (unit := waiting.get()) is not None:
            try:
                results.put((unit, draw_or_isolate(worker, unit)))
            except WorkerClosedError:
                return
            except BaseException as error:  # raised again in the thread that waits for results
                results.put((unit, error))
    finally:
        worker.end()


def draw_or_isolate(worker: Worker, unit: Unit) -> DrawnUnit:
    """Draw a unit; if the worker is lost over it, find the files to blame by drawing each alone, and leave
    them out.
    """
    try:
        return worker.draw(unit)
    except WorkerLostError as error:
        if len(unit.headers) == 1:
            return reject_unit(unit, error.code)
    guilty: dict[int, str] = {}
    for file in range(len(unit.headers)):
        alone = _without(unit, {other for other in range(len(unit.headers)) if other != file})
        try:
            worker.draw(alone)
        except WorkerLostError as error:
            guilty[file] = error.code
    kept = [file for file in range(len(unit.headers)) if file not in guilty]
    if not kept:
        return DrawnUnit(tuple(FileOutcome(file, None, code) for file, code in guilty.items()))
    try:
        rest = worker.draw(_without(unit, set(guilty)))
    except WorkerLostError as error:
        return reject_unit(unit, error.code)
    files = [replace(outcome, file=kept[outcome.file]) for outcome in rest.files]
    files += [FileOutcome(file, None, code) for file, code in guilty.items()]
    return DrawnUnit(tuple(files), tuple(_moved(image, kept) for image in rest.images), rest.inputs)


def _without(unit: Unit, left_out: set[int]) -> Unit:
    kept = [file for file in range(len(unit.headers)) if file not in left_out]
    place = {file: i for i, file in enumerate(kept)}
    slices = tuple(replace(s, file=place[s.file]) for s in unit.slices if s.file in place)
    return replace(unit, headers=tuple(unit.headers[file] for file in kept), slices=slices)


def _moved(image: ImageFacts, kept: list[int]) -> ImageFacts:
    return replace(image, slice=replace(image.slice, file=kept[image.slice.file]))
