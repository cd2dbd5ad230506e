"""Worker processes that are kept from one question to the next, and draw what somebody asks about."""

from __future__ import annotations

import queue
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain

from medsiglip.ingest.errors import IngestError, WorkerLostError
from medsiglip.ingest.files.walk import FoundFile
from medsiglip.ingest.header.header import Header
from medsiglip.ingest.privacy.deidentify import SecretKey
from medsiglip.ingest.reasons import Rejected
from medsiglip.ingest.scan.scan import scan_file
from medsiglip.ingest.units.plan import PlanOptions, Unit
from medsiglip.ingest.workers.isolation import draw_or_isolate
from medsiglip.ingest.workers.plain_files import is_small_and_safe
from medsiglip.ingest.workers.pool import Worker, WorkerClosedError, usual_workers
from medsiglip.ingest.workers.rendered_unit import AS_DISPLAYED, shown_images
from medsiglip.ingest.workers.unit_rendering import DrawnImage, FileOutcome, draw


class DrawingPool:
    """Looks at files and draws units as `scan_file` and `medsiglip.ingest.workers.unit_rendering.draw` do,
    within the limits of time and memory of an ingest; a file that crashes or hangs a worker is rejected
    alone.

    For any number of threads, of which as many as there are `workers` [one for each core, at most 8] draw at
    once; each is started when it is first needed. With `plain_here`, files are looked at in this process, and
    few small ones that need no decoder are drawn in it, as an ingest does.
    """

    def __init__(self, workers: int | None = None, *, plain_here: bool = False) -> None:
        self._plain_here = plain_here
        self._workers = [Worker(0, AS_DISPLAYED) for _ in range(workers or usual_workers())]
        # The one that was used last goes first: where few are needed, few run.
        self._idle: queue.LifoQueue[Worker] = queue.LifoQueue()
        for worker in self._workers:
            self._idle.put(worker)

    def scan(self, found: FoundFile, key: SecretKey) -> Header | Rejected:
        """What `scan_file` makes of a file. Raises `IngestError` as `draw` does."""
        if self._plain_here:
            return scan_file(found, key)
        code = ""
        with self._worker() as worker:
            for _ in range(2):  # a worker may also die of the file before, or of whoever killed it
                try:
                    return worker.scan(found, key)
                except WorkerLostError as error:
                    code = error.code
                    if code != "decoder-crashed":
                        break
        return Rejected(found.path, code)

    def show(
        self, found: FoundFile, key: SecretKey, options: PlanOptions
    ) -> tuple[Header, Iterator[FileOutcome | DrawnImage]] | None:
        """What `scan` and `draw` make of a file of one image, in half the time; None where there is more to
        it, or anything is wrong with it. Raises `IngestError` as `draw` does.
        """
        if self._plain_here:
            return None
        with self._worker() as worker:
            try:
                shown = worker.show(found, key, options)
            except WorkerLostError:
                return None
        if shown is None:
            return None
        header, drawn = shown
        return header, chain(drawn.files, shown_images(drawn))

    def draw(self, unit: Unit) -> Iterator[FileOutcome | DrawnImage]:
        """Yield an outcome for every file, then the images. Raises `IngestError`: `worker-start-failed`, or
        `shutting-down` when the pool is closed.
        """
        if self._plain_here and is_small_and_safe([unit]):
            yield from draw(unit)
            return
        with self._worker() as worker:
            drawn = draw_or_isolate(worker.draw, unit)
        yield from drawn.files
        yield from shown_images(drawn)

    @contextmanager
    def _worker(self) -> Iterator[Worker]:
        worker = self._idle.get()
        try:
            yield worker
        except WorkerClosedError:
            raise IngestError("shutting-down", "The program is ending; ask again later.") from None
        except BaseException:  # what the worker still has to say is about this file
            worker.end()
            raise
        finally:
            self._idle.put(worker)

    def close(self) -> None:
        """End the processes; who waits for one is told."""
        for worker in self._workers:
            worker.close()
        for worker in [self._idle.get() for _ in self._workers]:
            worker.release()
            self._idle.put(worker)
