"""The rates of the model, each from a stored result of a benchmark, with what it is worth."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.capacity.model import MODEL_DIMENSION, Rates

MACHINE = "amd-epyc-2-cores"
LARGE = "bounded 1000000 x 1152"
# So400m has 27 blocks; the benchmark of the encoder runs two of them, on one thread.
LAYERS, MEASURED_LAYERS = 27, 2
# Not measured here: what an H100 is expected to do at full size.
GPU_IMAGES_PER_S = 530.0
# Of a home with 1,429 bytes an image; the comparison of workers measures it again.
CATALOGUE_BYTES = 1429.0
RADIOGRAPHS_PER_STUDY_ROWS = 10


@dataclass(frozen=True)
class Source:
    """Where a rate comes from: shown value, the result that it is from, and whether it is measured."""

    what: str
    value: str
    source: str
    is_measured: bool


def ratios(results: Path) -> dict[str, Any]:
    """The stored ratios of the machine."""
    found: dict[str, Any] = json.loads((results / f"{MACHINE}.json").read_text("utf-8"))["ratios"]
    return found


def workers_results(results: Path) -> list[dict[str, Any]]:
    """The stored comparisons of the model with runs, by machine."""
    return [json.loads(path.read_text("utf-8")) for path in sorted(results.glob("*-workers.json"))]


def measured_rates(results: Path) -> tuple[Rates, list[Source]]:
    """The rates, and where each is from. Raises KeyError or OSError where a result is missing."""
    found = ratios(results)
    large = json.loads((results / f"{MACHINE}-large.json").read_text("utf-8"))["indexes"][LARGE]
    scan = found["A4"]["ours_seconds"] / found["A4"]["items"]
    render = found["A1"]["ours_seconds"] / found["A1"]["items"]
    encoded = found["A7"]
    encode = encoded["ours_seconds"] / encoded["items"] / MEASURED_LAYERS * LAYERS
    rows = found["A13"]
    insert = rows["ours_seconds"] / (1000 * RADIOGRAPHS_PER_STUDY_ROWS)
    shard = found["A20"]
    written = shard["items"] * MODEL_DIMENSION * 4 / shard["ours_seconds"]
    snapshot = large["build"]["file_gib"] * 2**30 / 1e6
    search = large["open"]["exact_single_ms"]
    rates = Rates(
        scan, render, encode, 1 / GPU_IMAGES_PER_S, insert, written, CATALOGUE_BYTES, snapshot, search
    )
    sources = [
        Source("headers read, a core", f"{1 / scan:,.0f} files/s", "A4", True),
        Source("files rendered, 1024 x 1024 of 16 bits, a core", f"{1 / render:,.0f} images/s", "A1", True),
        Source("full-size model, bfloat16, a core", f"{1 / encode:.3f} images/s", "A7, times 27 ÷ 2", False),
        Source("full-size model, one H100", f"{GPU_IMAGES_PER_S:,.0f} images/s", "expected", False),
        Source("rows of metadata stored, one database", f"{1 / insert:,.0f} images/s", "A13, SQLite", True),
        Source("vectors written and synced, one disk", f"{written / 1e6:,.0f} MB/s", "A20", True),
        Source("catalogue", f"{CATALOGUE_BYTES:,.0f} bytes an image", "a home of SQLite", True),
        Source("search index on the disk", f"{snapshot:,.0f} bytes an image", "`make large-index`", True),
        Source("one exact search of 1,000,000", f"{search:,.0f} ms", "`make large-index`", True),
    ]
    return rates, sources
