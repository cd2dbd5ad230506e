"""Rate limits of one process: token buckets."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable

_MOST_BUCKETS = 10_000


class TokenBuckets:
    """One bucket for each name, refilled with `per_minute` tokens a minute up to `burst`.

    Beyond 10,000 buckets the least recently used is dropped, which at worst refills it early. Safe for
    several threads.
    """

    def __init__(self, per_minute: float, burst: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_second = per_minute / 60
        self._burst = float(burst)
        self._clock = clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()
        self._lock = threading.Lock()

    def limit(self, per_minute: float, burst: int) -> None:
        """Other limits from now on."""
        with self._lock:
            self._per_second, self._burst = per_minute / 60, float(burst)

    def take(self, name: str) -> float:
        """Take a token and return 0, or, if there is none, the seconds until there is one."""
        with self._lock:
            now = self._clock()
            tokens = self._tokens(name, now)
            taken = tokens >= 1
            self._buckets[name] = (tokens - 1 if taken else tokens, now)
            self._buckets.move_to_end(name)
            if len(self._buckets) > _MOST_BUCKETS:
                self._buckets.popitem(last=False)
            return 0.0 if taken else (1 - tokens) / self._per_second

    def wait(self, name: str) -> float:
        """Seconds until `take` would succeed, without taking a token."""
        with self._lock:
            missing = 1 - self._tokens(name, self._clock())
            return max(0.0, missing) / self._per_second

    def _tokens(self, name: str, now: float) -> float:
        tokens, at = self._buckets.get(name, (self._burst, now))
        return min(self._burst, tokens + (now - at) * self._per_second)
