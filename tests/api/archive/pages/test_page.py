"""A page escapes what users wrote, loads nothing, and holds plots that take the page's colours."""

from __future__ import annotations

import re
from html.parser import HTMLParser

from medsiglip.api.archive.pages.page import Section, bullets, facts, note, page, paragraph, table
from medsiglip.api.archive.pages.plots import COLOURS, new_plot, plot

HOSTILE = '<script>alert("&")</script>'


class Reader(HTMLParser):
    """The elements, identities and texts of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.opened: list[str] = []
        self.closed: list[str] = []
        self.identities: list[str] = []
        self.texts: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.opened.append(tag)
        self.identities += [value for name, value in attrs if name == "id" and value]

    def handle_endtag(self, tag: str) -> None:
        self.closed.append(tag)

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def read(html: str) -> Reader:
    reader = Reader()
    reader.feed(html)
    return reader


def test_what_users_wrote_is_text() -> None:
    parts = (
        paragraph(HOSTILE),
        note(HOSTILE),
        bullets([HOSTILE]),
        facts([(HOSTILE, HOSTILE)]),
        table([HOSTILE], [[HOSTILE]], caption=HOSTILE),
    )
    written = page(HOSTILE, [Section(HOSTILE, parts)], subtitle=HOSTILE, footer=HOSTILE)
    reader = read(written)
    assert "script" not in reader.opened
    assert reader.texts.count(HOSTILE) == 13
    for name in ("section", "table", "ul", "dl", "p", "td", "html"):
        assert reader.opened.count(name) == reader.closed.count(name) > 0


def test_a_table_shows_numbers_and_what_is_not_there() -> None:
    rows = [("a", 0.12345, (0.1, 0.2), 3), ("b", None, (None, None), 0), ("c", float("nan"), None, 1)]
    written = table(("name", "value", "interval", "n"), rows, numeric=("value", "n")).html
    cells = re.findall(r"<td[^>]*>([^<]*)</td>", written)
    assert cells == ["a", "0.123", "0.100 to 0.200", "3", "b", "–", "–", "0", "c", "–", "–", "1"]
    assert written.count('<td class="number">') == 6


def test_plots_take_the_colours_of_the_page_and_load_nothing() -> None:
    parts = []
    for number in range(2):
        figure, axes = new_plot()
        axes.plot([0, 1], [0, 1], color=COLOURS[number], marker="o", label=HOSTILE)
        axes.set_xlabel("of <all> & none")
        axes.legend(frameon=False)
        parts.append(plot(figure, HOSTILE))
    again, axes = new_plot()
    axes.plot([0, 1], [0, 1], color=COLOURS[0], marker="o", label=HOSTILE)
    axes.set_xlabel("of <all> & none")
    axes.legend(frameon=False)
    assert plot(again, HOSTILE) == parts[0]
    written = page("Plots", [Section("Two", tuple(parts))])
    reader = read(written)
    assert "script" not in reader.opened
    assert reader.opened.count("svg") == 2
    assert "#000000" not in re.sub(r"<style>.*?</style>", "", written, flags=re.DOTALL)
    assert "currentColor" in written
    assert "of <all> & none" in reader.texts
    assert re.findall(r'(?:src|href)="(?!#)([^"]*)"', written) == []
    figures = [set(re.findall(r' id="([^"]+)"', part.html)) for part in parts]
    assert all(not re.match(r"(figure|axes|text|patch)_\d", name) for one in figures for name in one)
