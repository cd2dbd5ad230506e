"""One attempt at a job: its progress and cancellation, and the thread that renews its lease."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, Literal

from medsiglip.index.errors import CatalogError
from medsiglip.index.service.due_jobs import LEASE_SECONDS
from medsiglip.index.service.jobs import Job, JobQueue
from medsiglip.ingest.run.interruption import Interruption, stoppable

Reason = Literal["cancel", "lost", "shutdown"]
POLL_SECONDS = 0.5
RENEW_SECONDS = LEASE_SECONDS / 3
_log = logging.getLogger("medsiglip.worker")


class JobRun:
    """A claimed job while its handler runs. `stopped_by` says why it must end early, if it must.

    `held` are the waiting uploads that it ingests as well; `between` is called where the handler can be
    interrupted, and may run other jobs.
    """

    def __init__(self, queue: JobQueue, job: Job) -> None:
        self.job = job
        self.stopped_by: Reason | None = None
        self.held: tuple[str, ...] = ()
        self.between: Callable[[], None] = lambda: None
        self._queue = queue
        self._interruption = Interruption()
        self._ended = threading.Event()
        self._latest: tuple[str, int, int | None] | None = None
        self._published: tuple[str, int, int | None] | None = None
        self._beating = threading.Lock()

    @property
    def parameters(self) -> Mapping[str, Any]:
        """What the job was submitted with."""
        return self.job.parameters

    def progress(self, stage: str, done: int, total: int | None) -> None:
        """Report how far the job is; cheap enough to call often. Raises what `check` raises."""
        self._latest = stage, done, total
        self.check()
        self.between()

    def publish(self) -> None:
        """Store the latest progress in the catalogue now; otherwise that happens within a second."""
        if self._latest != self._published:
            self._beat()

    def check(self) -> None:
        """Raise KeyboardInterrupt when the job must end: it was cancelled, another worker has it, or this one
        shuts down. What was committed stays.
        """
        self._interruption.check()

    def stop(self, reason: Reason) -> None:
        """Make the handler end at its next `check`; safe from any thread and in a signal handler."""
        if self.stopped_by is None or reason == "lost":
            self.stopped_by = reason
        self._interruption.stop()

    @contextmanager
    def leased(self) -> Iterator[None]:
        """Renew the lease within this context; an ingest in it ends by `stop`, not by a signal."""
        thread = threading.Thread(target=self._keep_lease, name="lease", daemon=True)
        thread.start()
        try:
            with stoppable(self._interruption):
                yield
        finally:
            self._ended.set()
            thread.join()

    def _keep_lease(self) -> None:
        renewed = time.monotonic()
        while self.stopped_by != "lost" and not self._ended.wait(POLL_SECONDS):
            is_due = time.monotonic() - renewed >= RENEW_SECONDS
            try:
                answer = self._beat() if is_due or self._latest != self._published else self._standing()
            except CatalogError as error:
                _log.warning("job %s: its lease could not be renewed (%s)", self.job.id, error.code)
                continue  # when the database is back, it says whether the job still belongs to this worker
            except Exception:
                _log.exception("job %s: its lease could not be renewed", self.job.id)
                continue
            if is_due:
                renewed = time.monotonic()
                self._keep_held()
            if answer != "go-on":
                self.stop(answer)

    def _keep_held(self) -> None:
        held = self.held
        if held:
            with suppress(CatalogError):  # then another worker may take them, which does no harm
                self._queue.waiting_uploads.keep(held)

    def _beat(self) -> Literal["go-on", "cancel", "lost"]:
        with self._beating:  # otherwise an older progress may be stored after the latest
            latest = self._latest
            if latest is None:
                return self._queue.beat(self.job)
            stage, done, total = latest
            answer = self._queue.beat(self.job, done=done, total=total, stage=stage)
            self._published = latest
            return answer

    def _standing(self) -> Literal["go-on", "cancel", "lost"]:
        return self._queue.standing(self.job)
