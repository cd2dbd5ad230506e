"""Tables and values as all commands print them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

Payload = Mapping[str, Any]
_ENDLESS = 10_000


def print_table(
    console: Console,
    title: str,
    headings: Sequence[str],
    rows: Iterable[Sequence[object]],
    *,
    numeric: str = "",
) -> None:
    """A table with a title; columns named in `numeric` (separated by spaces) are aligned to the right.

    Without a terminal each row stays one line, however long.
    """
    if title:
        console.print(f"[bold]{escape(title)}[/bold]", soft_wrap=True)
    table = Table(box=None, pad_edge=False)
    right = numeric.split()
    for heading in headings:
        table.add_column(
            heading,
            justify="right" if heading in right else "left",
            overflow="fold",
        )
    for row in rows:
        table.add_row(*(escape(show_value(value)) for value in row))
    shown = console if console.is_terminal else Console(file=console.file, width=_ENDLESS, highlight=False)
    shown.print(table)


def print_facts(console: Console, facts: Iterable[tuple[str, object]]) -> None:
    """Name and value, one a line."""
    pairs = [(name, show_value(value)) for name, value in facts]
    width = max((len(name) for name, _ in pairs), default=0)
    for name, value in pairs:
        console.print(f"[bold]{escape(name.ljust(width))}[/bold]  {escape(value)}", soft_wrap=True)


def show_warnings(console: Console, answer: Payload) -> None:
    """The warnings of an answer, one a line."""
    for warning in answer.get("warnings", ()):
        console.print(f"warning: {escape(str(warning))}", soft_wrap=True)


def show_value(value: object) -> str:
    """Numbers to three decimals, None as a dash, maps as name=value."""
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.3f}"
    if isinstance(value, Mapping):
        return " ".join(f"{name}={_short(number)}" for name, number in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(show_value(item) for item in value)
    return str(value)


def interval(bounds: Sequence[float | None] | None) -> str:
    """A confidence interval in brackets."""
    if not bounds or bounds[0] is None or bounds[1] is None:
        return "-"
    return f"[{bounds[0]:.3f}, {bounds[1]:.3f}]"


def positive_labels(labels: Mapping[str, Any]) -> str:
    """Names of the labels that are present; `none` when all are absent."""
    present = [name for name, value in labels.items() if value]
    return ", ".join(present) or ("none" if labels else "")


def _short(number: object) -> str:
    return f"{number:g}" if isinstance(number, float) else show_value(number)
