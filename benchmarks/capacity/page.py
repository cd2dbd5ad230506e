"""The page docs/capacity.md, from the model and the stored results."""

from pathlib import Path
from textwrap import fill
from typing import Any

from benchmarks.capacity.model import Fleet, Rates, bottleneck, nodes_for, stage_hours, storage
from benchmarks.capacity.rates import Source, measured_rates, workers_results

SIZES = (10**6, 10**8, 10**10)
NODE = Fleet(1, 16, 1)
FLEETS = (Fleet(1, 16), Fleet(1, 16, 1), Fleet(8, 16, 1), Fleet(64, 16, 1))
WITHIN_HOURS = 30 * 24.0
MODEL_BYTES = 4 * 878e6
_POWERS = {10**6: "10⁶", 10**8: "10⁸", 10**10: "10¹⁰"}


def capacity_page(results: Path) -> str:
    """The page as Markdown."""
    rates, sources = measured_rates(results)
    parts = [
        _head(),
        _rates_table(sources),
        _storage_tables(rates),
        _ingest_table(rates),
        _searches(rates),
        _comparison(workers_results(results)),
        _left_out(),
    ]
    return "\n\n".join(map(_wrapped, parts)) + "\n"


def _wrapped(part: str) -> str:
    """Prose in lines of usual length; headings and tables as they are."""
    blocks = [
        block if block.startswith(("#", "|")) else fill(block, 118, break_on_hyphens=False)
        for block in part.split("\n\n")
    ]
    return "\n\n".join(blocks)


def _head() -> str:
    return """# Capacity

What a million, a hundred million and ten billion images take. `make capacity` writes this page from the
results of the [benchmarks](benchmarks.md), by the model in `benchmarks/capacity/model.py`.
**Measured** is what
ran on two cores of an AMD EPYC, at the size that the benchmark has; everything for a number of
images is
**arithmetic** on it, nothing of which was tried at that size. An image is one picture or frame,
1,152 values
of float32 its vector."""


def _rates_table(sources: list[Source]) -> str:
    rows = [
        f"| {one.what} | {one.value} | {one.source} | {'measured' if one.is_measured else 'arithmetic'} |"
        for one in sources
    ]
    return "\n".join(["## Rates", "", "| | Rate | From | |", "| --- | --- | --- | --- |", *rows])


def _storage_tables(rates: Rates) -> str:
    found = [storage(images, rates) for images in SIZES]
    names = {
        "vectors": "vectors in shards, float32",
        "snapshot": "search index of an embedded home",
        "catalogue": "catalogue",
    }
    disk = [f"| {shown} | {_row(getattr(one, name) for one in found)} |" for name, shown in names.items()]
    memory = [
        f"| HNSW with float32, in the memory of an engine | {_row(one.hnsw_memory for one in found)} |",
        f"| binary codes (RaBitQ) in memory, vectors on disk | {_row(one.rabitq_memory for one in found)} |",
        f"| ids and owners in a server, 50 bytes each | {_row(50.0 * n for n in SIZES)} |",
    ]
    heading = _heading()
    return "\n".join(
        [
            "## Disk and memory",
            "",
            "Disk, once for a home:",
            "",
            heading,
            *disk,
            "",
            "A backup takes vectors and catalogue once more.",
            "Memory, for each server or engine that holds all:",
            "",
            heading,
            *memory,
            "",
            f"The model takes {_bytes(MODEL_BYTES)} of float32 in each process that encodes.",
            "An ingest with two",
            "workers stayed below 2 GiB with the tiny model (M1). An embedded home maps its search index and",
            "shards: a server answers without having them in memory, and fast once they are.",
        ]
    )


def _ingest_table(rates: Rates) -> str:
    rows = []
    for fleet in FLEETS:
        cells = []
        for images in SIZES:
            name, hours = bottleneck(stage_hours(images, fleet, rates))
            cells.append(f"{_hours(hours)}, {name}")
        rows.append(f"| {_fleet(fleet)} | {' | '.join(cells)} |")
    needed = []
    for images in SIZES:
        nodes = nodes_for(images, WITHIN_HOURS, NODE, rates)
        needed.append("none: the database" if nodes is None else f"{nodes:,}")
    return "\n".join(
        [
            "## Hours of a first ingest, and what limits it",
            "",
            _heading(),
            *rows,
            f"| nodes of 16 cores and a GPU for 30 days | {' | '.join(needed)} |",
            "",
            "Each is a bound: the time of the resource that is busy longest.",
            "*Database* is the one catalogue of",
            "a home, which every machine commits to, and which no node adds to;",
            "its rate is that of SQLite, in",
            "large transactions. The images must come as fast: uncompressed radiographs for one GPU are",
            f"{_radiographs_per_s(rates)} GB/s.",
            "A second ingest of unchanged files reads no pixels and takes a",
            "twentieth of the time (A22).",
        ]
    )


def _searches(rates: Rates) -> str:
    per_million = rates.search_ms_per_million
    return f"""## Searches

An exact search of an embedded home of a million took {per_million:,.0f} ms on two cores, index and
vectors
mapped and not in memory (measured); of 100,000 in memory it takes about 1 ms (A9). It grows with
the images, so
that a node answers about {1000 / per_million:.1f} such searches a second at 10⁶, and one each
{per_million / 10:,.0f} s at 10⁸ (arithmetic). So an embedded home ends at some ten million images:
for more, put the
vectors into an engine, whose figures are its own. Servers answer side by side: their searches a
second add up,
until the database answers slower than they ask."""


def _comparison(results: list[dict[str, Any]]) -> str:
    lines = [
        "## The model against runs",
        "",
        "Whole ingests of generated radiographs with 1, 2 and 4 workers on one machine, with an encoder that",
        "costs next to nothing, beside what the model says",
        "from the processor time of worker and parent alone",
        "and from the time of a tiny ingest (`python -m benchmarks.capacity.ingest_workers`):",
        "",
        "| Machine | Workers | Measured | Predicted | Predicted ÷ measured |",
        "| --- | --- | --- | --- | --- |",
    ]
    for result in results:
        machine = f"{result['machine']['processor']}, {result['machine']['cores']} cores"
        lines += [
            f"| {machine} | {run['workers']} | {run['seconds']:.2f} s | {run['predicted_seconds']:.2f} s "
            f"| {run['predicted_seconds'] / run['seconds']:.2f} |"
            for run in result["runs"]
        ]
    if not results:
        lines.append("| not measured yet | | | | |")
    loads = [f"{one['load_before']:.1f} to {one['load_after']:.1f}" for one in results]
    if loads:
        lines += [
            "",
            f"Other work went on meanwhile: a load of {', '.join(loads)} processes.",
            "A bound that leaves it out",
            "is too low by as much as it takes of the cores; measure on a machine that does nothing else.",
        ]
    return "\n".join(lines)


def _left_out() -> str:
    return """## What it leaves out

Series that gain files and are rendered anew, previews and thumbnails (made when they are looked
at), reports,
received files, whole-slide images (each tile is an image), compressed transfer syntaxes (rendering
takes up to
some times as long), network and disks of the images, indexes of an engine, replicas, and
PostgreSQL, whose rows
are larger than SQLite's."""


def _heading() -> str:
    return f"| | {' | '.join(_POWERS[n] for n in SIZES)} |\n| --- | --- | --- | --- |"


def _radiographs_per_s(rates: Rates) -> str:
    """GB/s of files of 2 MiB, as fast as a GPU encodes."""
    return f"{2 * 1024**2 / rates.encode_gpu_s / 1e9:.1f}"


def _row(values: Any) -> str:
    return " | ".join(_bytes(value) for value in values)


def _bytes(value: float) -> str:
    """In decimal units, with two digits or three."""
    for unit, size in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6)):
        if value >= size:
            shown = value / size
            return f"{shown:.1f} {unit}" if shown < 10 else f"{shown:,.0f} {unit}"
    return f"{value:.0f} bytes"


def _hours(hours: float) -> str:
    if hours < 1:
        return f"{hours * 60:.0f} min"
    if hours < 48:
        return f"{hours:.1f} h"
    days = hours / 24
    return f"{days:,.0f} days" if days < 730 else f"{days / 365.25:,.0f} years"


def _fleet(fleet: Fleet) -> str:
    nodes = "1 node" if fleet.nodes == 1 else f"{fleet.nodes} nodes"
    return f"{nodes}, {fleet.cores} cores each, {f'{fleet.gpus} GPU each' if fleet.gpus else 'no GPU'}"
