"""How a ratio is measured: both sides in turns after a warm-up, their medians, and a guard that must hold."""

import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

Result = TypeVar("Result")
WARM_UPS = 1


@dataclass(frozen=True, slots=True)
class Outcome:
    """A ratio of two medians; more is better. `guard` says what was checked, `failure` how it did not hold,
    `skipped` why nothing was measured. One of a trial with fewer items is not `stored`.

    `ours` and `peer` are what each round took, in `unit`, for `items` items. `spread` is the least and the
    greatest ratio of a single round.
    """

    title: str
    goal: float
    guard: str
    items: int
    ours: Sequence[float] = field(default=())
    peer: Sequence[float] = field(default=())
    failure: str | None = None
    skipped: str | None = None
    unit: str = "seconds"
    stored: bool = True

    @property
    def ratio(self) -> float | None:
        """Peer's median ÷ our median, or None where the guard does not hold."""
        if self.failure is not None or self.skipped is not None:
            return None
        return statistics.median(self.peer) / statistics.median(self.ours)

    @property
    def spread(self) -> tuple[float, float] | None:
        """The least and the greatest ratio of one round."""
        if self.failure is not None or self.skipped is not None:
            return None
        ratios = [peer / ours for ours, peer in zip(self.ours, self.peer, strict=True)]
        return min(ratios), max(ratios)


def alternate(
    ours: Callable[[], object], peer: Callable[[], object], rounds: int, warm_ups: int = WARM_UPS
) -> tuple[list[float], list[float]]:
    """Seconds of each round for both sides; which one goes first changes from round to round."""
    for _ in range(warm_ups):
        ours()
        peer()
    times: tuple[list[float], list[float]] = ([], [])
    for number in range(rounds):
        for side in (0, 1) if number % 2 == 0 else (1, 0):
            times[side].append(timed((ours, peer)[side])[0])
    return times


@contextmanager
def on_one_core() -> Iterator[None]:
    """Keep this process, and threads that libraries start in it, on one core, where the system can."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def timed(run: Callable[[], Result]) -> tuple[float, Result]:
    """Seconds of wall time of one call, and what it returned."""
    start = time.perf_counter()
    result = run()
    return time.perf_counter() - start, result


def medsiglip(home: Path, *words: str, model: str = "tiny") -> list[str]:
    """The command of one run of the command line on a home, with a JSON answer."""
    options = ("--home", str(home), "--model", model, "--json")
    return [sys.executable, "-m", "medsiglip.api.cli", *options, *words]
