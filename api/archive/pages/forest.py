"""A row for each figure: its value, its interval, and what it is compared with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from medsiglip.api.archive.pages.page import Part
from medsiglip.api.archive.pages.plots import COLOURS, new_plot, plot

_LONGEST_NAME = 46


@dataclass(frozen=True, slots=True)
class ForestRow:
    """A figure with its interval, either of which may be None, and a reference such as chance."""

    name: str
    value: float | None
    interval: Sequence[float | None] | None = None
    reference: float | None = None


def forest(rows: Sequence[ForestRow], description: str) -> Part:
    """The rows from top to bottom: a dot with a line for each, and a cross for its reference."""
    figure, axes = new_plot(7.2, 0.9 + 0.28 * max(len(rows), 1))
    for place, row in enumerate(rows):
        if row.interval is not None and None not in row.interval:
            low, high = (float(one or 0.0) for one in row.interval)
            axes.plot([low, high], [place, place], color=COLOURS[0], linewidth=1.6, solid_capstyle="butt")
        if row.value is not None:
            axes.plot([row.value], [place], "o", color=COLOURS[0], markersize=5)
        if row.reference is not None:
            axes.plot([row.reference], [place], "x", color=COLOURS[1], markersize=6, markeredgewidth=1.6)
    names = [one.name if len(one.name) <= _LONGEST_NAME else one.name[:_LONGEST_NAME] + "…" for one in rows]
    axes.set_yticks(range(len(rows)), names)
    # What users wrote is text, not formulas.
    for label in axes.get_yticklabels():
        label.set_parse_math(False)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    return plot(figure, f"{description}: dots with 95 % intervals, crosses for the reference")
