"""Worker processes that stay between requests, to render single files and series on demand."""

from __future__ import annotations

import queue
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain

from medsiglip.ingest.errors import DecodeError, IngestError, WorkerLostError
from medsiglip.ingest.files.walk import FoundFile
from medsiglip.ingest.header.header import Header
from medsiglip.ingest.privacy.deidentify import SecretKey
from medsiglip.ingest.reasons import Rejected
from medsiglip.ingest.scan.scan import scan_file
from medsiglip.ingest.units.plan import PlanOptions, Unit
from medsiglip.ingest.units.rendered_image import FileOutcome, RenderedImage
from medsiglip.ingest.workers.isolation import render_or_isolate
from medsiglip.ingest.workers.messages import FileTask
from medsiglip.ingest.workers.pool import Worker, WorkerClosedError, usual_workers
from medsiglip.ingest.workers.rendered_unit import AS_DISPLAYED, displayed_images
from medsiglip.ingest.workers.unit_rendering import is_small_and_safe, render_images


class RenderingPool:
    """Scans files and renders units in worker processes, within the limits of time and memory of an ingest. A
    file that crashes or hangs a worker is rejected alone.

    Safe for any number of threads; as many as there are `workers` (default: one for each core, at most 8)
    render at once. Each process is started when it is first needed. With `in_process`, files are scanned in
    this process, and a few small ones that need no decoder are also rendered in it, as an ingest does.
    """

    def __init__(self, workers: int | None = None, *, in_process: bool = False) -> None:
        self._in_process = in_process
        self._workers = [Worker(0, AS_DISPLAYED) for _ in range(workers or usual_workers())]
        # The worker used last is taken first, so that only as many run as are needed.
        self._idle: queue.LifoQueue[Worker] = queue.LifoQueue()
        for worker in self._workers:
            self._idle.put(worker)

    def scan(self, found: FoundFile, key: SecretKey) -> Header | Rejected:
        """What `scan_file` returns for a file. Raises `IngestError` as `render` does."""
        if self._in_process:
            return scan_file(found, key)
        code = ""
        with self._worker() as worker:
            for _ in range(2):  # the cause may be the file before, or a kill from outside
                try:
                    return worker.scan(found, key)
                except WorkerLostError as error:
                    code = error.code
                    if code != "decoder-crashed":
                        break
        return Rejected(found.path, code)

    def scan_and_render(
        self, found: FoundFile, key: SecretKey, options: PlanOptions
    ) -> tuple[Header, Iterator[FileOutcome | RenderedImage]] | None:
        """What `scan` and `render` return for a file of one image, in half the time; None for any other file,
        and if anything is wrong with it. Raises `IngestError` as `render` does.
        """
        if self._in_process:
            return None
        with self._worker() as worker:
            try:
                shown = worker.scan_and_render(found, key, options)
            except WorkerLostError:
                return None
        if shown is None:
            return None
        header, rendered = shown
        return header, chain(rendered.files, displayed_images(rendered))

    def render(self, unit: Unit) -> Iterator[FileOutcome | RenderedImage]:
        """Yield an outcome for every file, then the images. Raises `IngestError`: `worker-start-failed`, or
        `shutting-down` when the pool is closed.
        """
        if self._in_process and is_small_and_safe([unit]):
            yield from render_images(unit)
            return
        with self._worker() as worker:
            rendered = render_or_isolate(worker.render, unit)
        yield from rendered.files
        yield from displayed_images(rendered)

    def perform(self, task: FileTask, size: int) -> object:
        """What `task.perform` returns, in a worker; `size` is that of its file in bytes. Raises `DecodeError`
        with the task's code, or that of a worker that was lost over it, and `IngestError` as `render` does.
        """
        code = ""
        with self._worker() as worker:
            for _ in range(2):  # the cause may be the file before, or a kill from outside
                try:
                    reply = worker.perform(task, size)
                except WorkerLostError as error:
                    code = error.code
                    if code != "decoder-crashed":
                        break
                    continue
                code, performed = reply.code, reply.performed
                break
        if code:
            raise DecodeError(code)
        return performed

    @contextmanager
    def _worker(self) -> Iterator[Worker]:
        worker = self._idle.get()
        try:
            yield worker
        except WorkerClosedError:
            raise IngestError("shutting-down", "The program is ending; ask again later.") from None
        except BaseException:  # a late reply of this worker would be taken for that of the next task
            worker.end()
            raise
        finally:
            self._idle.put(worker)

    def close(self) -> None:
        """End the processes; threads that wait for one get `shutting-down`."""
        for worker in self._workers:
            worker.close()
        for worker in [self._idle.get() for _ in self._workers]:
            worker.release()
            self._idle.put(worker)
