"""One attempt at a job: what its handler may ask and tell, and the thread beside it that renews the lease."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Literal

from medsiglip.index.errors import CatalogError
from medsiglip.index.service.jobs import LEASE_SECONDS, Job, JobQueue
from medsiglip.ingest.run.interruption import Interruption, stoppable

Reason = Literal["cancel", "lost", "shutdown"]
LOOK_EVERY_S = 0.5
RENEW_EVERY_S = LEASE_SECONDS / 3
_log = logging.getLogger("medsiglip.worker")


class JobRun:
    """A claimed job while its handler works on it. `stopped_by` says why it is to end early, if it is."""

    def __init__(self, queue: JobQueue, job: Job) -> None:
        self.job = job
        self.stopped_by: Reason | None = None
        self._queue = queue
        self._interruption = Interruption()
        self._ended = threading.Event()
        self._latest: tuple[str, int, int | None] | None = None
        self._told: tuple[str, int, int | None] | None = None

    @property
    def parameters(self) -> Mapping[str, Any]:
        """What the job was submitted with."""
        return self.job.parameters

    def progress(self, stage: str, done: int, total: int | None) -> None:
        """Tell how far the job is, as often as you like. Raises what `check` raises."""
        self._latest = stage, done, total
        self.check()

    def tell(self) -> None:
        """Have the catalogue know the latest progress now; it is told within a second anyway."""
        if self._latest != self._told:
            self._beat()

    def check(self) -> None:
        """Raise KeyboardInterrupt when the job is to end: it was cancelled, another worker has it, or this
        one shuts down. What was committed stays.
        """
        self._interruption.check()

    def stop(self, reason: Reason) -> None:
        """Have the handler end at its next `check`; safe from any thread and in a signal handler."""
        if self.stopped_by is None or reason == "lost":
            self.stopped_by = reason
        self._interruption.stop()

    @contextmanager
    def leased(self) -> Iterator[None]:
        """Renew the lease for as long as this lasts; an ingest within it ends by `stop`, not by a signal."""
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
        while self.stopped_by != "lost" and not self._ended.wait(LOOK_EVERY_S):
            is_due = time.monotonic() - renewed >= RENEW_EVERY_S
            try:
                answer = self._beat() if is_due or self._latest != self._told else self._standing()
            except CatalogError as error:
                _log.warning("job %s: its lease could not be renewed (%s)", self.job.id, error.code)
                continue  # the database may come back, and says then whether the job is still ours
            except Exception:
                _log.exception("job %s: its lease could not be renewed", self.job.id)
                continue
            if is_due:
                renewed = time.monotonic()
            if answer != "go-on":
                self.stop(answer)

    def _beat(self) -> Literal["go-on", "cancel", "lost"]:
        latest = self._latest
        if latest is None:
            return self._queue.beat(self.job)
        stage, done, total = latest
        answer = self._queue.beat(self.job, done=done, total=total, stage=stage)
        self._told = latest
        return answer

    def _standing(self) -> Literal["go-on", "cancel", "lost"]:
        return self._queue.standing(self.job)
