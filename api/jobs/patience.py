"""Waiting for a catalogue that is away for a while; what cannot heal is raised at once."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TypeVar

from medsiglip.api.errors import WAITING_FOR_OTHERS, retry_after, waits_for_others
from medsiglip.index.errors import OUTAGES, CatalogError
from medsiglip.index.service.jobs import MAX_ATTEMPTS, Job

T = TypeVar("T")
TEMPORARY = OUTAGES | {"catalog-busy", "disk-full", "disk-error"}
_log = logging.getLogger("medsiglip.worker")


def when_it_answers(
    call: Callable[[], T], sleep: Callable[[float], object], is_stopping: Callable[[], bool] = lambda: False
) -> T:
    """The result of a call on the catalogue, repeated until it answers; each failure is logged with the
    server's own reason.

    Raises a `CatalogError` that is not temporary, or any when `is_stopping`.
    """
    tries = 0
    while True:
        try:
            return call()
        except CatalogError as error:
            if error.code not in TEMPORARY or is_stopping():
                raise
            _log.warning("%s (%s); trying again", error, error.code)
        sleep(_pause(tries))
        tries += 1


def tries_again(job: Job, error: Exception) -> bool:
    """Whether a job that fails so is tried again by itself; see `medsiglip.api.errors`."""
    if waits_for_others(job.kind, error):
        waited = datetime.now(UTC) - (job.started_at or datetime.now(UTC))
        return waited.total_seconds() < WAITING_FOR_OTHERS[job.kind]
    code = getattr(error, "code", "unexpected")
    return job.attempts < MAX_ATTEMPTS and retry_after(error, code, job.attempts) is not None


def _pause(tries: int) -> float:
    """Seconds before the next try."""
    return float(min(0.25 * 2 ** min(tries, 10), 10.0))
