"""The progress of a long step on standard error: what is done, how fast, and how long it will take."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

OnStep = Callable[[str, int, int | None], None]


@contextmanager
def progress_display() -> Iterator[OnStep]:
    """Give a function of (stage, done, total or None) that keeps one line per stage, on a terminal alone."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda stage, done, total: None
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
    )
    tasks: dict[str, TaskID] = {}
    with Progress(*columns, console=console) as progress:

        def show(stage: str, done: int, total: int | None) -> None:
            if stage not in tasks:
                tasks[stage] = progress.add_task(stage, total=total, rate="")
            task: Any = progress.tasks[tasks[stage]]
            rate = f"{task.speed:.0f}/s" if task.speed else ""
            progress.update(tasks[stage], completed=done, total=total, rate=rate)

        yield show
