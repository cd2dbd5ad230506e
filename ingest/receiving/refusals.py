"""Associations that were refused, told once a minute however many they are."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable

MINUTE = 60.0
_WORDS = {
    "calling-ae": "the calling AE title is not recognised at this address",
    "called-ae": "the called AE title is not this receiver's",
    "application-context": "the application context is not that of DICOM",
    "limit": "too many associations are open",
    "tls": "no TLS connection came about",
}
_log = logging.getLogger("medsiglip.receiving")


class Refusals:
    """Counts by reason. The first is told at once; those of the minute after it together with the next."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._counts: Counter[str] = Counter()
        self._told: dict[str, float] = {}
        self._lock = threading.Lock()

    def note(self, calling_ae: str, address: str, reason: str) -> None:
        """Count one, and log it with those before unless that was done within a minute."""
        now = self._clock()
        with self._lock:
            self._counts[reason] += 1
            if now - self._told.get(reason, -MINUTE) < MINUTE:
                return
            count, self._told[reason] = self._counts.pop(reason), now
        _log.warning(
            "%d association(s) refused: %s (last: %s from %s)",
            count,
            _WORDS[reason],
            calling_ae or "unknown",
            address,
        )
