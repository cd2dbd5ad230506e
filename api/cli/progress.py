"""The progress of a long step on standard error: count, rate and time left."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from medsiglip.api.archive.opened import OnProgress


@contextmanager
def progress_display() -> Iterator[OnProgress]:
    """Yield a function of (stage, done, total or None) that shows one line per stage, only on a terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskID, TextColumn

    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda stage, done, total: None
        return
    tasks: dict[str, tuple[TaskID, float]] = {}
    columns = TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[facts]}")
    with Progress(*columns, console=console) as progress:

        def show(stage: str, done: int, total: int | None) -> None:
            if stage not in tasks:
                tasks[stage] = progress.add_task(stage, total=total, facts=""), time.monotonic()
            task, begun = tasks[stage]
            facts = progress_facts(done, total, time.monotonic() - begun)
            progress.update(task, completed=done, total=total, facts=facts)

        yield show


def progress_facts(done: int, total: int | None, seconds: float) -> str:
    """Count, rate and time left, where known."""
    facts = [f"{done}" if total is None else f"{done}/{total}"]
    if done and seconds > 0:
        rate = done / seconds
        facts.append(f"{rate:.0f}/s" if rate >= 10 else f"{rate:.1f}/s")
        if total is not None and done < total:
            facts.append(f"{timedelta(seconds=round((total - done) / rate))} left")
    return "  ".join(facts)
