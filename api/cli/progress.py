"""The progress of a long step on standard error: what is done, how fast, and how long it will take."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

OnStep = Callable[[str, int, int | None], None]


@contextmanager
def progress_display() -> Iterator[OnStep]:
    """Give a function of (stage, done, total or None) that keeps one line per stage, on a terminal alone."""
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
    """Count, rate and time left, as far as they are known."""
    facts = [f"{done}" if total is None else f"{done}/{total}"]
    if done and seconds > 0:
        rate = done / seconds
        facts.append(f"{rate:.0f}/s" if rate >= 10 else f"{rate:.1f}/s")
        if total is not None and done < total:
            facts.append(f"{timedelta(seconds=round((total - done) / rate))} left")
    return "  ".join(facts)
