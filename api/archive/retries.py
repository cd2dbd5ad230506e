"""Which failures may pass by themselves, and how long to wait before another try."""

from __future__ import annotations

# Seconds before the second attempt, by code; each further one waits twice as long. Any other error comes
# again however often one tries.
FIRST_WAIT_S = {
    "catalog-busy": 5.0,
    "database-unreachable": 5.0,
    "disk-error": 30.0,
    "disk-full": 30.0,
    "encoder-failed": 5.0,
    "encoder-restarting": 5.0,
    "out-of-memory": 15.0,
    "worker-start-failed": 10.0,
}
LONGEST_WAIT_S = 300.0
_OTHERS_FIRST_WAIT_S = 10.0


def retry_after(error: Exception, code: str, attempts: int) -> float | None:
    """Seconds until a job that failed so in its `attempts`-th attempt is tried again; None for never.

    An error may also say of itself that it `may_pass` (`medsiglip.medgemma.errors.DraftError`).
    """
    first = FIRST_WAIT_S.get(code)
    if first is None and getattr(error, "may_pass", False):
        first = _OTHERS_FIRST_WAIT_S
    return None if first is None else min(first * 2.0 ** (attempts - 1), LONGEST_WAIT_S)


def pause(tries: int) -> float:
    """Seconds before the next try to reach a database that does not answer."""
    return float(min(0.25 * 2 ** min(tries, 10), 10.0))
