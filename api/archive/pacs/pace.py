"""How fast a PACS is asked, and when: one pace for all processes of this machine that work with it.

The pace is a bucket of operations. It fills at the rate of the connection, holds hardly more than one, starts
empty, and may go into debt by one study, whose instances come together: so in any span of time no more
operations happen than the rate allows, and one study.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path

from medsiglip.ingest.errors import PacsError

FOLDER = "pacs"
"""The folder of a home that holds what processes share of their work with PACS."""
_SLICE_SECONDS = 0.5
# Less is nothing to a clock.
_LEAST_SECONDS = 0.001
# What a process may use without asking again: more would be a burst, less would cost a look for each.
_BURST_SECONDS = 0.02
_STATE_BYTES = 200
_BOOT = Path("/proc/sys/kernel/random/boot_id")


class OutsideHoursError(PacsError):
    """A sync may not work now; it may after `retry_after` seconds."""

    def __init__(self, name: str, hours: str, seconds: float) -> None:
        super().__init__(
            "outside-hours", f"The PACS {name} is synced at {hours} only: wait until then.", may_pass=True
        )
        self.retry_after = seconds


class Pace:
    """A `Spend` of so many operations a second; `check` is called while it waits, and may raise.

    `state` is a file that processes share; without one the pace is this object's own. `clock` gives seconds
    that never go back, the same to all processes of the machine.
    """

    def __init__(
        self,
        rate: float | None,
        state: Path | None = None,
        *,
        check: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._rate = rate
        self._state = state
        self._check = check
        self._clock = clock
        self._sleep = sleep
        self._balance, self._at = 0.0, clock()
        if state is not None:
            state.parent.mkdir(0o700, parents=True, exist_ok=True)

    def __call__(self, operations: int) -> None:
        """Wait until the PACS may be burdened with so many operations."""
        self._check()
        if self._rate is None or operations <= 0:
            return
        while (wait := self._take(operations)) > 0:
            self._sleep(min(wait, _SLICE_SECONDS))
            self._check()

    def _take(self, operations: int) -> float:
        """Take the operations out of the bucket, or say for how many seconds to wait before another try."""
        assert self._rate is not None
        most = max(1.0, self._rate * _BURST_SECONDS)
        with self._shared():
            now = self._clock()
            gained = max(now - self._at, 0.0) * self._rate
            self._balance, self._at = min(self._balance + gained, most), now
            wanted = min(float(operations), most)
            if self._balance >= wanted:
                self._balance -= operations
                return 0.0
            return max((wanted - self._balance) / self._rate, _LEAST_SECONDS)

    @contextmanager
    def _shared(self) -> Iterator[None]:
        if self._state is None:
            yield
            return
        import fcntl

        file = os.open(self._state, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            self._read(os.pread(file, _STATE_BYTES, 0))
            yield
            # Never shorter in between: one that is killed here must not leave its debt unwritten.
            content = f"{_boot()} {self._balance!r} {self._at!r}"
            os.pwrite(file, content.ljust(_STATE_BYTES).encode("ascii"), 0)
        finally:
            os.close(file)

    def _read(self, content: bytes) -> None:
        """The bucket as the last process left it; after a start of the machine, or a damage, it is empty."""
        try:
            boot, balance, at = content.decode("ascii").split()
            found = float(balance), float(at)
            is_ours = boot == _boot() and found[1] <= self._clock() and found[0] <= found[0]
        except ValueError:
            is_ours = False
        self._balance, self._at = found if is_ours else (0.0, self._clock())


def _boot() -> str:
    try:
        return _BOOT.read_text(encoding="ascii").strip()
    except OSError:
        return "-"


def seconds_until(hours: str, now: datetime) -> float:
    """For how many seconds it is too early for `hours`, such as `20:00-06:00`; 0 within them. Those that
    begin when they end are the whole day.
    """
    begin, end = (timedelta(hours=int(one[:2]), minutes=int(one[3:])) for one in hours.split("-"))
    since_midnight = timedelta(hours=now.hour, minutes=now.minute, seconds=now.second)
    is_over_midnight = end <= begin
    if is_over_midnight:
        is_open = since_midnight >= begin or since_midnight < end
    else:
        is_open = begin <= since_midnight < end
    if is_open:
        return 0.0
    return ((begin - since_midnight) % timedelta(days=1)).total_seconds()


def local_now() -> datetime:
    """The time of day by which `hours` are meant."""
    return datetime.now().astimezone()
