"""The report of a run as a file: a CSV with one line for each file, or an HTML page.

Both name files by their paths, as the command line does, and hold nothing else that names a person.
"""

from __future__ import annotations

import base64
import csv
import io
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import astuple, fields
from html import escape
from itertools import chain
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from medsiglip.answers.cases import IngestReport
from medsiglip.answers.paths import shown
from medsiglip.ingest.errors import IngestError
from medsiglip.ingest.run.file_lines import FileLine
from medsiglip.ingest.run.run_details import Group, RunDetails
from medsiglip.ingest.run.warning_lines import line_of

# Files that the page names under each reason; the CSV names them all.
MAX_NAMED_FILES = 20
_STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 68rem; padding: 0 1rem;
  color: #1c2330; background: #fff; }
h1 { font-size: 1.5rem; margin-bottom: .2rem } h2 { font-size: 1.15rem; margin: 2rem 0 .6rem }
h3 { font-size: 1rem; margin: 1.2rem 0 .4rem } p { margin: .3rem 0 } .quiet { color: #5b6472 }
table { border-collapse: collapse; width: 100% } th, td { text-align: left; padding: .35rem .8rem .35rem 0;
  border-bottom: 1px solid #dde1e8; vertical-align: top } td.number, th.number { text-align: right }
.counts { display: flex; flex-wrap: wrap; gap: .8rem; margin: 1rem 0 }
.counts div { border: 1px solid #dde1e8; border-radius: 6px; padding: .6rem 1rem; min-width: 6.5rem }
.counts b { display: block; font-size: 1.4rem } .thumbnails { display: flex; flex-wrap: wrap; gap: 6px }
.thumbnails img { width: 128px; height: 128px; background: #000; border-radius: 4px }
code { font-size: .9em; overflow-wrap: anywhere } details { margin-top: .2rem }
@media (prefers-color-scheme: dark) { body { color: #e4e7ec; background: #14181f }
  .quiet { color: #9aa4b2 } th, td, .counts div { border-color: #333b47 } }
"""


def check_report_path(path: Path) -> None:
    """Raise `IngestError` (`bad-report-name`, `report-not-writable`) before a long run, not after it."""
    if path.suffix.lower() not in _WRITERS:
        raise IngestError("bad-report-name", f"{path} must end in .csv or .html to tell which it shall be.")
    folder = path.absolute().parent
    if path.is_dir() or not folder.is_dir() or not os.access(folder, os.W_OK):
        raise IngestError("report-not-writable", f"{path} cannot be written; choose a folder that can.")


def write_report(path: Path, report: IngestReport, details: RunDetails) -> None:
    """Write the format that the suffix of `path` names, atomically. Raises OSError."""
    parts = _WRITERS[path.suffix.lower()](report, details)
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)  # paths may name people
        with open(descriptor, "w", encoding="utf-8", newline="") as file:
            file.writelines(map(shown, parts))
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def to_csv(report: IngestReport, details: RunDetails) -> str:
    """One line for each file, after a header line with the names of the columns."""
    return "".join(_csv_lines(report, details))


def _csv_lines(_report: IngestReport, details: RunDetails) -> Iterator[str]:
    """The lines, as they are written: there may be millions."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    names = tuple(field.name for field in fields(FileLine))
    for row in chain([names], map(_without_formula, details.lines.in_order())):
        writer.writerow(row)
        yield stream.getvalue()
        stream.seek(0)
        stream.truncate()


def _without_formula(line: FileLine) -> tuple[object, ...]:
    """The fields of a line; text that a spreadsheet would run as a formula gets a quote in front."""
    return tuple(
        f"'{value}" if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r") else value
        for value in astuple(line)
    )


def to_html(report: IngestReport, details: RunDetails) -> str:
    """One self-contained page: counts, thumbnails of what went in, and why the rest did not."""
    title = "Ingest report (dry run)" if report.dry_run else "Ingest report"
    parts = [
        f"<h1>{title}</h1>",
        f'<p class="quiet">{report.files} files in {report.seconds:.1f} s; space {escape(report.space)}</p>',
    ]
    if report.dry_run:
        parts.append("<p>Nothing was written. Pixels were not decoded: some files may still fail to be.</p>")
    parts += [_counts(report), _what_went_in(report, details), _what_did_not(details), _warnings(report)]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{title}</title><style>{_STYLE}</style></head>\n<body>{''.join(parts)}</body></html>\n"
    )


def _counts(report: IngestReport) -> str:
    most = ", at most" if report.at_most else ""
    values = {
        "files embedded": report.files_embedded,
        "files unchanged": report.files_unchanged,
        "files skipped": len(report.skipped),
        "files quarantined": len(report.quarantined),
        "studies": report.studies,
        "series": report.series,
        "instances": report.instances,
        f"images{most}": report.images,
        f"images new{most}": report.embedded,
    }
    cells = "".join(f"<div><b>{value:,}</b>{name}</div>" for name, value in values.items())
    return f'<div class="counts">{cells}</div>'


def _what_went_in(report: IngestReport, details: RunDetails) -> str:
    if not details.groups:
        return ""
    title = "What would go in" if report.dry_run else "What went in"
    parts = [f"<h2>{title}</h2>"]
    if any(group.thumbnails for group in details.groups.values()):
        parts.append('<p class="quiet">Pictures are drawn as the model takes them.</p>')
    for (modality, rendering), group in sorted(details.groups.items(), key=lambda item: -item[1].images):
        parts.append(_group(modality, rendering, group))
    return "".join(parts)


def _group(modality: str, rendering: str, group: Group) -> str:
    name = escape(f"{modality}, {rendering}" if rendering else modality)
    note, most = "", "at most " if group.at_most else ""
    if group.withheld:
        note = f"; {group.withheld:,} not shown because their pixels may name or show the patient"
    pictures = "".join(
        f'<img alt="one image of {name}" src="data:image/jpeg;base64,{_jpeg(pixels)}">'
        for pixels in group.thumbnails
    )
    return (
        f'<h3>{name}</h3><p class="quiet">{most}{group.images:,} images{note}</p>'
        f'<div class="thumbnails">{pictures}</div>'
    )


def _jpeg(pixels: NDArray[np.uint8]) -> str:
    from PIL import Image

    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG", quality=80)
    return base64.b64encode(stream.getvalue()).decode("ascii")


def _what_did_not(details: RunDetails) -> str:
    """A table of reasons: those that need action first, then by the number of files."""
    reasons: dict[tuple[str, str, str], list[str]] = {}
    counts: Counter[tuple[str, str, str]] = Counter()
    for line in details.lines.in_order():
        if line.code:
            group = line.outcome, line.code, line.reason
            counts[group] += 1
            if counts[group] <= MAX_NAMED_FILES:
                reasons.setdefault(group, []).append(line.path)
    if not reasons:
        return "<h2>What did not</h2><p>Every file was taken in.</p>"
    rows = []
    urgent = sorted(reasons.items(), key=lambda item: (item[0][0] != "quarantined", -counts[item[0]]))
    for group, paths in urgent:
        outcome, code, reason = group
        named = "".join(f"<br><code>{escape(path)}</code>" for path in paths)
        more = counts[group] - len(paths)
        named += f"<br>and {more:,} more" if more > 0 else ""
        rows.append(
            f"<tr><td>{outcome}</td><td><code>{escape(code)}</code></td>"
            f'<td class="number">{counts[group]:,}</td>'
            f"<td>{escape(reason)}<details><summary>files</summary>{named}</details></td></tr>"
        )
    head = '<tr><th>outcome</th><th>code</th><th class="number">files</th><th>reason</th></tr>'
    return f"<h2>What did not, and why</h2><table>{head}{''.join(rows)}</table>"


def _named(uids: Sequence[str]) -> str:
    """All UIDs that a warning concerns."""
    if not uids:
        return ""
    listed = "".join(f"<br><code>{escape(uid)}</code>" for uid in uids)
    return f"<details><summary>all {len(uids):,}</summary>{listed}</details>"


def _warnings(report: IngestReport) -> str:
    groups = {line_of(group): group.about for group in report.warned}
    lines = "".join(f"<li>{escape(text)}{_named(groups.get(text, ()))}</li>" for text in report.warnings)
    return f"<h2>Warnings</h2><ul>{lines}</ul>" if lines else ""


_WRITERS: dict[str, Callable[[IngestReport, RunDetails], Iterable[str]]] = {
    ".csv": _csv_lines,
    ".html": lambda report, details: [to_html(report, details)],
}
