"""The skeleton and style of a page: sections of text, tables and plots in one file of HTML.

A page makes no request, runs no script, and reads well in light and dark and on paper. Whatever comes from
users passes through the functions here, which escape it: a `Part` is made by them alone.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from html import escape

_STYLE = """
:root { color-scheme: light dark; --ink: #1b1f24; --paper: #ffffff; --faint: #5a6472; --rule: #d5dae1;
  --band: #f4f6f8; --note: #fff4d6; --note-ink: #5c4300; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e9ee; --paper: #14171b; --faint: #a3adba;
  --rule: #363d47; --band: #1d2228; --note: #3a2f10; --note-ink: #ffe2a0; } }
@media print { :root { color-scheme: light; --ink: #000000; --paper: #ffffff; --faint: #444444;
  --rule: #bbbbbb; --band: #ffffff; --note: #ffffff; --note-ink: #000000; } section { break-inside: avoid; } }
body { margin: 0 auto; max-width: 62rem; padding: 2rem 1.25rem 4rem; color: var(--ink);
  background: var(--paper); font: 16px/1.55 system-ui, "Segoe UI", "Helvetica Neue", Arial, sans-serif; }
h1 { font-size: 1.7rem; line-height: 1.25; margin: 0 0 .25rem; overflow-wrap: anywhere; }
h2 { font-size: 1.15rem; margin: 2.2rem 0 .6rem; padding-top: .7rem; border-top: 1px solid var(--rule); }
p { margin: .5rem 0; max-width: 46rem; overflow-wrap: anywhere; }
.subtitle, figcaption, caption { color: var(--faint); }
.note { background: var(--note); color: var(--note-ink); border-left: 4px solid #d9a400;
  padding: .5rem .8rem; border-radius: 3px; }
.scrolls { overflow-x: auto; margin: .8rem 0; }
table { border-collapse: collapse; font-size: .92rem; font-variant-numeric: tabular-nums; }
caption { text-align: left; padding-bottom: .4rem; }
th, td { text-align: left; padding: .35rem .8rem; border-bottom: 1px solid var(--rule);
  vertical-align: top; overflow-wrap: break-word; max-width: 28rem; }
thead th { background: var(--band); white-space: nowrap; }
.number { text-align: right; white-space: nowrap; }
dl { display: grid; grid-template-columns: minmax(9rem, 15rem) 1fr; gap: .3rem 1.2rem; margin: .8rem 0; }
dt { color: var(--faint); } dd { margin: 0; overflow-wrap: anywhere; }
ul { max-width: 46rem; padding-left: 1.3rem; overflow-wrap: anywhere; }
figure { margin: 1rem 0; } figure svg { max-width: 100%; height: auto; fill: currentColor; }
figure img { max-width: 100%; height: auto; }
.beside { display: flex; flex-wrap: wrap; gap: 0 1.5rem; } .beside > figure { flex: 1 1 24rem; }
footer { margin-top: 3rem; color: var(--faint); font-size: .85rem; }
@media (max-width: 40rem) { dl { grid-template-columns: 1fr; gap: 0 0; } dd { margin-bottom: .5rem; } }
"""


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of HTML whose texts are escaped."""

    html: str


@dataclass(frozen=True, slots=True)
class Section:
    """A heading and what stands below it."""

    heading: str
    parts: tuple[Part, ...]


def page(title: str, sections: Sequence[Section], *, subtitle: str = "", footer: str = "") -> str:
    """A whole document."""
    below = f'<p class="subtitle">{escape(subtitle)}</p>' if subtitle else ""
    body = "".join(
        f"<section><h2>{escape(section.heading)}</h2>{''.join(part.html for part in section.parts)}</section>"
        for section in sections
    )
    foot = f"<footer>{escape(footer)}</footer>" if footer else ""
    policy = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head>"
        f"<body><header><h1>{escape(title)}</h1>{below}</header><main>{body}</main>{foot}</body></html>\n"
    )


def paragraph(text: str) -> Part:
    """Plain text."""
    return Part(f"<p>{escape(text)}</p>")


def note(text: str) -> Part:
    """A warning, or a limit that the reader must not miss."""
    return Part(f'<p class="note">{escape(text)}</p>')


def bullets(texts: Iterable[str]) -> Part:
    """A list of points."""
    return Part("<ul>" + "".join(f"<li>{escape(text)}</li>" for text in texts) + "</ul>")


def beside(parts: Iterable[Part]) -> Part:
    """Plots beside each other, as far as there is room."""
    return Part(f'<div class="beside">{"".join(part.html for part in parts)}</div>')


def facts(pairs: Iterable[tuple[str, str]]) -> Part:
    """Names and values beside each other; a value may have several lines."""
    rows = "".join(
        f"<dt>{escape(name)}</dt><dd>{'<br>'.join(escape(line) for line in value.splitlines())}</dd>"
        for name, value in pairs
    )
    return Part(f"<dl>{rows}</dl>")


def table(
    columns: Sequence[str],
    rows: Iterable[Sequence[object]],
    *,
    caption: str = "",
    numeric: Collection[str] = (),
) -> Part:
    """A table, with the columns in `numeric` to the right. Floats have three digits after the point; None and
    NaN are a dash.
    """
    kinds = [' class="number"' if name in numeric else "" for name in columns]
    head = "".join(
        f'<th scope="col"{kind}>{escape(name)}</th>' for name, kind in zip(columns, kinds, strict=True)
    )
    body = "".join(
        "<tr>"
        + "".join(f"<td{kind}>{escape(shown(value))}</td>" for value, kind in zip(row, kinds, strict=True))
        + "</tr>"
        for row in rows
    )
    above = f"<caption>{escape(caption)}</caption>" if caption else ""
    return Part(
        f'<div class="scrolls" tabindex="0"><table>{above}<thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def shown(value: object) -> str:
    """A value of a table as text: an interval is a pair of floats."""
    if value is None or value != value:
        return "–"
    if isinstance(value, float):
        return f"{value:.3f}"
    if isinstance(value, (tuple, list)) and len(value) == 2:
        low, high = value
        return "–" if low is None or low != low else f"{shown(low)} to {shown(high)}"
    return str(value)
