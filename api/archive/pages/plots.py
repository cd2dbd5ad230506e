"""Plots as SVG inside a page: drawn by matplotlib without a display, in colours that read in light and dark.

What is black in a plot takes the colour of the page's text, and its background is the page's.
"""

from __future__ import annotations

import io
import re
import threading
from html import escape
from typing import TYPE_CHECKING

from medsiglip.api.archive.pages.page import Part

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = ("#2f86d0", "#d9822b", "#2c9e6a", "#a06cd5", "#d1495b", "#8a8f98")
"""Of lines and markers, each readable on white and on near black (contrast of at least 3 : 1)."""

_SAVING = threading.Lock()
_IDENTITY = re.compile(r' id="([^"]+)"')
_REFERENCE = re.compile(r'(?:href="#|url\(#)([^")]+)')


def new_plot(width: float = 6.4, height: float = 4.0) -> tuple[Figure, Axes]:
    """An empty plot of so many inches, with one pair of axes."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    figure.set_facecolor("none")
    axes = figure.add_subplot()
    axes.set_facecolor("none")
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color="#8a8f98", alpha=0.25, linewidth=0.6)
    axes.set_axisbelow(True)
    return figure, axes


def plot(figure: Figure, description: str) -> Part:
    """The plot with what it shows in words, which stands below it and is read in place of it."""
    return Part(
        f'<figure role="img" aria-label="{escape(description)}">{svg(figure)}'
        f'<figcaption aria-hidden="true">{escape(description)}</figcaption></figure>'
    )


def svg(figure: Figure) -> str:
    """The element `svg` of a plot; the same plot gives the same text."""
    import matplotlib as mpl

    written = io.StringIO()
    with _SAVING, mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "medsiglip"}):
        figure.savefig(written, format="svg", metadata={"Date": None, "Creator": None})
    text = written.getvalue()
    text = text[text.index("<svg") :]
    before, _, rest = text.partition("<metadata>")
    text = before + rest.rpartition("</metadata>")[2]
    text = re.sub(r"((?:stroke|fill): )#000000", r"\1currentColor", text)
    # Names of groups repeat from plot to plot, and nothing refers to them.
    used = set(_REFERENCE.findall(text))
    return _IDENTITY.sub(lambda found: found.group() if found.group(1) in used else "", text)
