"""The progress of a long step on standard error: count, rate and time left.

A terminal shows a line for each stage, which moves; elsewhere a line is printed every half minute, so that a
log says how far it is.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

    from medsiglip.api.archive.opened import OnProgress

EVERY_SECONDS = 30.0
Clock = Callable[[], float]


@contextmanager
def progress_display(clock: Clock = time.monotonic) -> Iterator[OnProgress]:
    """Yield a function of (stage, done, total or None) that shows how far a stage is.

    `clock` is in seconds.
    """
    from rich.console import Console

    console = Console(stderr=True)
    if console.is_terminal:
        with _moving(console, clock) as show:
            yield show
    else:
        yield _Lines(clock).show


class _Lines:
    """A line for every half minute in which there was progress."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._printed = clock()
        self._begun: dict[str, float] = {}

    def show(self, stage: str, done: int, total: int | None) -> None:
        now = self._clock()
        begun = self._begun.setdefault(stage, now)
        if now - self._printed >= EVERY_SECONDS:
            self._printed = now
            print(f"{stage}: {progress_facts(done, total, now - begun)}", file=sys.stderr, flush=True)


@contextmanager
def _moving(console: Console, clock: Clock) -> Iterator[OnProgress]:
    from rich.progress import BarColumn, Progress, TaskID, TextColumn

    tasks: dict[str, tuple[TaskID, float]] = {}
    columns = TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[facts]}")
    with Progress(*columns, console=console) as progress:

        def end_others(stage: str | None) -> None:
            """A stage of unknown length is done when another begins: its bar stops moving."""
            for other, (task, _) in tasks.items():
                known = progress.tasks[progress.task_ids.index(task)]
                if other != stage and known.total is None:
                    progress.update(task, total=max(known.completed, 1), completed=max(known.completed, 1))

        def show(stage: str, done: int, total: int | None) -> None:
            if stage not in tasks:
                end_others(stage)
                tasks[stage] = progress.add_task(stage, total=total, facts=""), clock()
            task, begun = tasks[stage]
            facts = progress_facts(done, total, clock() - begun)
            progress.update(task, completed=done, total=total, facts=facts)

        yield show
        end_others(None)


def progress_facts(done: int, total: int | None, seconds: float) -> str:
    """Count, rate and time left, where known."""
    facts = [f"{done}" if total is None else f"{done}/{total}"]
    if done and seconds > 0:
        rate = done / seconds
        facts.append(f"{rate:.0f}/s" if rate >= 10 else f"{rate:.1f}/s")
        if total is not None and done < total:
            facts.append(f"{timedelta(seconds=round((total - done) / rate))} left")
    return "  ".join(facts)
