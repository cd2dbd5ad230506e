"""Tables and values as all commands print them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal

from rich.console import Console
from rich.markup import escape
from rich.table import Table

Payload = Mapping[str, Any]
Cells = tuple[str, ...]
_ENDLESS = 10_000
_DIGITS, _HEXADECIMAL = frozenset("0123456789."), frozenset("0123456789abcdef")
_MAYBE_NAME = re.compile(r"[0-9a-f.]+")
# A day, or a time in UTC (ISO 8601).
_MOMENT = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}(?:T[0-9]{2}:[0-9]{2}:[0-9.]{2,16}(?:[+]00:00|Z)?)?")
# All but the line feed and the tab.
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_BEGINNING, _SHORTEST_END, _LONGEST = 6, 5, 64
_LEAST_PATH = 12


def print_table(
    console: Console,
    title: str,
    headings: Sequence[str],
    rows: Iterable[Sequence[object]],
    *,
    numeric: str = "",
) -> None:
    """A table with a title; columns named in `numeric` (separated by spaces) are aligned to the right.

    On a terminal UIDs and keys are shortened in the middle, those of a column so that they differ, and long
    paths keep their ends. Without a terminal each row stays one line, however long.
    """
    if title:
        console.print(f"[bold]{escape(title)}[/bold]", soft_wrap=True)
    table = Table(box=None, pad_edge=False)
    right = numeric.split()
    columns = list(zip(*([show_value(value) for value in row] for row in rows), strict=True))
    columns = columns or [()] * len(headings)
    unbroken: set[int] = set()
    if console.is_terminal:
        columns, unbroken = _for_terminal(console.width, headings, columns)
    for number, heading in enumerate(headings):
        justify: Literal["left", "right"] = "right" if heading in right else "left"
        table.add_column(
            heading, justify=justify, overflow="fold", no_wrap=number in unbroken or heading in right
        )
    for row in zip(*columns, strict=True):
        table.add_row(*map(escape, row))
    shown = console if console.is_terminal else Console(file=console.file, width=_ENDLESS, highlight=False)
    shown.print(table)


def _for_terminal(
    width: int, headings: Sequence[str], columns: Sequence[Cells]
) -> tuple[list[Cells], set[int]]:
    """The cells with names shortened, and the columns that are not to be folded: names, times and paths, of
    which as much of the end is left as there is room.
    """
    shown: list[Cells] = []
    unbroken: set[int] = set()
    paths: list[int] = []
    for number, cells in enumerate(columns):
        is_name = _all_are(_is_name, cells)
        shown.append(tuple(shortened(cells)) if is_name else tuple(map(_in_words, cells)))
        if is_name or _all_are(_MOMENT.fullmatch, cells):
            unbroken.add(number)
        elif _all_are(_is_path, cells):
            paths.append(number)
    for number in paths[:1]:
        widths = [max(map(len, (heading, *cells))) for heading, cells in zip(headings, shown, strict=True)]
        room = width - sum(widths) + widths[number] - 2 * (len(widths) - 1)
        shown[number] = tuple(_end(cell, max(room, _LEAST_PATH)) for cell in shown[number])
        unbroken.add(number)
    return shown, unbroken


def shortened(names: Sequence[str]) -> list[str]:
    """UIDs and keys with an ellipsis in the middle, as long as it takes for different ones to differ."""
    different, end = set(names), _SHORTEST_END
    while True:
        short = {name: _without_middle(name, _BEGINNING + end + 1) for name in different}
        if len(set(short.values())) == len(different) or end > _LONGEST:
            return [short[name] for name in names]
        end += 2


def one_shortened(console: Console, name: object, room: int) -> str:
    """A UID or key that fits into `room` characters on a terminal; otherwise as it is."""
    text = show_value(name)
    return _without_middle(text, room) if console.is_terminal and _is_name(text) else text


def _without_middle(name: str, room: int) -> str:
    if len(name) <= room:
        return name
    beginning = min(_BEGINNING, (room - 1) // 2)
    return f"{name[:beginning]}\N{HORIZONTAL ELLIPSIS}{name[len(name) - (room - 1 - beginning) :]}"


def _in_words(text: str) -> str:
    """Text with its UIDs shortened, and a time to the minute."""
    if _is_path(text):
        return text
    if _MOMENT.fullmatch(text):
        return f"{text[:10]} {text[11:16]}".strip()
    return _MAYBE_NAME.sub(lambda found: _short_word(found[0]), text)


def _short_word(word: str) -> str:
    name = word.rstrip(".")  # at the end of a sentence
    return (
        _without_middle(name, _BEGINNING + _SHORTEST_END + 1) + word[len(name) :] if _is_name(name) else word
    )


def _is_name(text: str) -> bool:
    """Whether this is a UID (PS3.5, 9.1), or a key or id of 32 hexadecimal digits."""
    if len(text) == 32 and _HEXADECIMAL.issuperset(text):
        return True
    return len(text) <= 64 and "." in text and _DIGITS.issuperset(text) and "" not in text.split(".")


def _is_path(text: str) -> bool:
    return text.startswith("/")


def _all_are(kind: Callable[[str], object], cells: Sequence[str]) -> bool:
    """Whether all cells that hold something are of a kind."""
    filled = [cell for cell in cells if cell not in ("-", "")]
    return bool(filled) and all(map(kind, filled))


def _end(text: str, room: int) -> str:
    return text if len(text) <= room else f"\N{HORIZONTAL ELLIPSIS}{text[len(text) - room + 1 :]}"


def print_facts(console: Console, facts: Iterable[tuple[str, object]]) -> None:
    """Name and value, one a line."""
    known = list(facts)
    width = max((len(name) for name, _ in known), default=0)
    pairs = [(name, one_shortened(console, value, console.width - width - 2)) for name, value in known]
    for name, value in pairs:
        console.print(f"[bold]{escape(name.ljust(width))}[/bold]  {escape(value)}", soft_wrap=True)


def show_warnings(console: Console, answer: Payload) -> None:
    """The warnings of an answer, one a line."""
    for warning in answer.get("warnings", ()):
        console.print(f"warning: {escape(_printable(str(warning)))}", soft_wrap=True)


def show_value(value: object) -> str:
    """Numbers to three decimals, None as a dash, maps as name=value; see `_printable` for texts."""
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.3f}"
    if isinstance(value, Mapping):
        return _printable(" ".join(f"{name}={_short(number)}" for name, number in value.items()))
    if isinstance(value, list | tuple):
        return ", ".join(show_value(item) for item in value)
    return _printable(str(value))


def printed(text: str) -> str:
    """A text as a line, in which nothing is markup and no character commands a terminal."""
    return escape(_printable(text))


def counted(number: int, one: str, many: str) -> str:
    """A number and what it counts: `1 study`, `2 studies`."""
    return f"{number} {one if number == 1 else many}"


def _printable(text: str) -> str:
    r"""A text whose control characters, which a terminal would obey, are shown as `\xNN`."""
    return _CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", text)


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
