"""The worker: claims jobs one after the other, runs them, and stores their results.

It survives a database that is away for a while. A job whose worker is killed is claimed by another when its
lease has expired; a worker that is stopped hands its job back.
"""

from __future__ import annotations

import logging
import math
import os
import queue
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from contextvars import copy_context
from secrets import token_hex
from typing import TYPE_CHECKING, TypeVar

from medsiglip.api.archive.drafts.routing_rules import resend_due_drafts
from medsiglip.api.archive.pacs.fetching import order_release
from medsiglip.api.archive.pacs.recovering import order_recovery
from medsiglip.api.archive.received import discard_unused
from medsiglip.api.errors import (
    FIRST_WAIT_FOR_GENERATOR_S,
    PATIENCE_S,
    WAITING_FOR_OTHERS,
    Explanation,
    ServiceError,
    explain,
    retry_after,
    waits_for_generator,
    waits_for_others,
)
from medsiglip.api.jobs.handlers import HANDLERS
from medsiglip.api.jobs.heartbeat import Heartbeat
from medsiglip.api.jobs.job_run import JobRun
from medsiglip.api.jobs.patience import when_it_answers
from medsiglip.api.jobs.stored_results import storable
from medsiglip.api.jobs.traced_job import job_span
from medsiglip.api.jobs.turns import Turns
from medsiglip.index.errors import OUTAGES, CatalogError
from medsiglip.index.service.waiting_uploads import LONG_KINDS
from medsiglip.ingest.errors import InterruptedIngestError

if TYPE_CHECKING:
    from medsiglip.api.archive.archive import Archive
    from medsiglip.api.settings import Settings
    from medsiglip.index.service.jobs import Job, JobQueue

T = TypeVar("T")
POLL_SECONDS = 1.0
CLEAN_UP_SECONDS = 3600.0
GRACE_SECONDS = 8.0
FEED_SECONDS = 20.0
"""For so long the vector engine is told what changed before the worker looks for the next job."""
FEED_AGAIN_SECONDS = 30.0
"""How long an engine that could not be told is left alone."""
_log = logging.getLogger("medsiglip.worker")


class Worker:
    """Runs the jobs of one archive in the thread that calls `run`. `ended` counts them by outcome."""

    def __init__(
        self,
        archive: Archive,
        *,
        poll_seconds: float = POLL_SECONDS,
        clock: Callable[[], float] = time.monotonic,
        renew_settings: Callable[[Settings], Settings] = lambda current: current,
    ) -> None:
        """`renew_settings` gives the settings as they are now, after `reload`."""
        self.name = f"{socket.gethostname()}:{os.getpid()}:{token_hex(4)}"
        self.ended: Counter[str] = Counter()
        self._archive = archive
        self._poll_seconds = poll_seconds
        self._heartbeat = Heartbeat(archive.home, self.name)
        self._clock = clock
        self._run: JobRun | None = None
        self._paused: list[JobRun] = []
        self._stopping = False
        self._feed_after = -math.inf
        self._renew_settings = renew_settings
        self._reloading = False
        # Not an Event: a signal handler may call `stop` during `get`, and only `SimpleQueue.put` is safe
        # there.
        self._wake_ups: queue.SimpleQueue[None] = queue.SimpleQueue()

    def run(self, *, once: bool = False) -> None:
        """Run jobs until `stop`, or, with `once`, until no job waits. Raises the `CatalogError` of a home
        that cannot be used.
        """
        self._heartbeat.start()
        try:
            self._run_jobs(once)
        finally:
            self._heartbeat.stop()

    def _run_jobs(self, once: bool) -> None:
        self._persist(self._archive.make)
        cleaned = -math.inf
        while not self._stopping:
            self._heartbeat.note("idle")
            self._reload_if_asked()
            if time.monotonic() - cleaned >= CLEAN_UP_SECONDS:
                self._persist(lambda: self._archive.index.clean_up())
                self._persist(lambda: resend_due_drafts(self._archive))
                self._persist(lambda: order_release(self._archive))
                self._persist(lambda: order_recovery(self._archive))
                cleaned = time.monotonic()
            job = self._persist(lambda: self._queue.claim(self.name, tuple(HANDLERS)))
            if job is not None:
                self._work(job)
            more_waits = self._feed_engine()
            if job is None and not more_waits:
                if once:
                    return
                self._sleep(self._poll_seconds)

    def _feed_engine(self) -> bool:
        """Tell the vector engine what changed, for some seconds, so that jobs need not wait for long; whether
        more is left. While the engine is away, that waits, and jobs do not.
        """
        if self._stopping or time.monotonic() < self._feed_after:
            return False
        try:
            self._archive.index.feed_engine(FEED_SECONDS, lambda: self._stopping)
        except CatalogError as error:
            if error.code == "catalog-busy":
                return not self._stopping
            _log.warning("%s (%s); it is told later", error, error.code)
            self._feed_after = time.monotonic() + FEED_AGAIN_SECONDS
        return False

    def stop(self) -> None:
        """End `run`: its jobs are finished or handed back within `GRACE_SECONDS`, after which the process
        ends in any case. Safe from any thread and in a signal handler.
        """
        if self._stopping:
            return
        self._stopping = True
        self._wake_ups.put(None)
        for run in self._runs():
            run.stop("shutdown")
        # Always: a job may begin, or a paused one go on, after this.
        timer = threading.Timer(GRACE_SECONDS, self._abandon)
        timer.daemon = True
        timer.start()

    def reload(self) -> None:
        """Take over the settings that may change, before the next job; safe in a signal handler."""
        self._reloading = True
        self._wake_ups.put(None)

    def _reload_if_asked(self) -> None:
        if self._reloading:
            self._reloading = False
            self._archive.settings = self._renew_settings(self._archive.settings)

    def _runs(self) -> list[JobRun]:
        """The runs that have not ended: those that pause, and the one that goes on."""
        paused, run = list(self._paused), self._run
        return paused if run is None or run in paused else [*paused, run]

    @property
    def _queue(self) -> JobQueue:
        return self._archive.index.jobs

    def _work(self, job: Job) -> None:
        _log.info("job %s (%s) begins, attempt %d", job.id, job.kind, job.attempts)
        self._heartbeat.note("working", job.id)
        run = self._run = JobRun(self._queue, job)
        # Not by the number of its files: an upload may take others with it, and pauses none of them nested.
        if job.kind in LONG_KINDS and not self._paused:
            turns = Turns(self._clock)
            run.between = lambda: turns.let_others(lambda: self._work_small(run))
        if self._stopping:
            run.stop("shutdown")
        try:
            outcome = self._handle(run)
        finally:
            self._run = self._paused[-1] if self._paused else None
        self.ended[outcome] += 1
        _log.info("job %s (%s): %s", job.id, job.kind, outcome)

    def _handle(self, run: JobRun) -> str:
        """Run the handler of a job and store how it ended; returns the outcome."""
        with run.leased():
            try:
                with job_span(run.job):
                    # In a context of its own: the key by which a job knows patients is none of the next.
                    handled = copy_context().run(HANDLERS[run.job.kind], self._archive, run)
                    result = storable(handled)
                self._persist(run.publish)
                return self._end(run, "done", lambda: self._queue.finish(run.job, result))
            except (KeyboardInterrupt, InterruptedIngestError):
                return self._end_early(run)
            except Exception as error:
                return self._fail(run, error)

    def _work_small(self, paused: JobRun) -> bool:
        """Run the next small job while a large one pauses; False if none waits or the large one must end."""
        if self._stopping or paused.stopped_by is not None:
            return False
        job = self._persist(lambda: self._queue.claim(self.name, tuple(HANDLERS), small_only=True))
        if job is None:
            return False
        self._paused.append(paused)
        try:
            self._work(job)
        finally:
            self._paused.remove(paused)
        self._note_work()
        return True

    def _end_early(self, run: JobRun) -> str:
        if run.stopped_by == "cancel":
            return self._end(run, "cancelled", lambda: self._queue.stopped(run.job))
        return self._end(run, "handed back", lambda: self._queue.hand_back(run.job))

    def _fail(self, run: JobRun, error: Exception) -> str:
        explanation = _explained(error)
        if explanation.code == "unexpected":
            _log.error("job %s failed", run.job.id, exc_info=error)
        failure = {"code": explanation.code, "message": explanation.message}
        route = run.parameters.get("route")
        if waits_for_generator(error, explanation.code, route) and self._is_enabled(route):
            waiting = {"first": FIRST_WAIT_FOR_GENERATOR_S, "patience": PATIENCE_S}
            return self._end(run, "failed", lambda: self._queue.wait(run.job, failure, **waiting))
        if waits_for_others(run.job.kind, error):
            first = max(FIRST_WAIT_FOR_GENERATOR_S, getattr(error, "retry_after", None) or 0.0)
            waiting = {"first": first, "patience": WAITING_FOR_OTHERS[run.job.kind]}
            return self._end(run, "failed", lambda: self._queue.wait(run.job, failure, **waiting))
        wait = retry_after(error, explanation.code, run.job.attempts)
        counts = explanation.code not in OUTAGES
        outcome = self._end(
            run, "failed", lambda: self._queue.fail(run.job, failure, retry_after=wait, counts=counts)
        )
        if explanation.code == "encoder-failed":
            raise ServiceError("encoder-failed", explanation.message) from error
        return outcome

    def _is_enabled(self, route: str | None) -> bool:
        """Whether a routing rule is there and enabled: only for such a rule does a draft wait."""
        rules = self._archive.index.routing_rules
        return any(one.name == route and one.enabled for one in self._persist(rules.listed))

    def _end(self, run: JobRun, outcome: str, store: Callable[[], bool]) -> str:
        """Store how the run ended, unless another worker has the job by now."""
        if run.stopped_by == "lost":
            return "lost"
        # If the connection was lost during the commit, the second try finds the job ended already.
        self._persist(store)
        self._clean_up(run)
        return outcome

    def _clean_up(self, run: JobRun) -> None:
        if run.parameters.get("received") is not None:
            job = self._persist(lambda: self._queue.get(run.job.id))
            self._persist(lambda: discard_unused(self._archive.index, job))

    def _persist(self, call: Callable[[], T]) -> T:
        """The result of a call on the catalogue, repeated until the database answers.

        Raises a `CatalogError` that is not temporary, or any when the worker is stopping.
        """
        answer = when_it_answers(call, self._pause, lambda: self._stopping)
        self._note_work()
        return answer

    def _note_work(self) -> None:
        """The job goes on, after another one or after a wait for the database."""
        if self._run is not None:
            self._heartbeat.note("working", self._run.job.id)

    def _pause(self, seconds: float) -> None:
        """Wait for a catalogue that is away."""
        self._heartbeat.note("waiting", None if self._run is None else self._run.job.id)
        self._sleep(seconds)

    def _sleep(self, seconds: float) -> None:
        try:
            self._wake_ups.get(timeout=seconds)
        except queue.Empty:
            return

    def _abandon(self) -> None:
        """A handler does not stop: hand its job, and those that pause, back to other workers, and end this
        process.
        """
        runs = self._runs()
        if not runs:
            return
        try:
            for run in runs:
                with suppress(CatalogError):  # then its lease ends by itself
                    self._queue.hand_back(run.job)
        finally:
            os._exit(0)


def _explained(error: Exception) -> Explanation:
    # A failed kernel leaves the device unusable for the rest of the process (torch.AcceleratorError).
    if type(error).__module__.split(".")[0] == "torch":
        return Explanation(
            "encoder-failed",
            "The encoder's device failed; the worker starts afresh, and the job is tried again.",
        )
    found = explain(error)
    if found is not None:
        return found
    return Explanation(
        "unexpected",
        f"The job failed ({type(error).__name__}); the worker's log has the reason under its id.",
    )
