"""The memory that an ingest of 50,000 small files takes: CT slices, a hundred to a series."""

from pathlib import Path

from benchmarks.measure import Outcome
from benchmarks.memory import measure_ingest
from benchmarks.small_slices import NAME, write_small_slices

TITLE = "2 GiB ÷ peak memory of all processes, ingest of 50,000 small files"
FILES, PER_SERIES = 50_000, 100
EMBEDDED_PER_SERIES = 85


def measure(folder: Path, rounds: int) -> Outcome:
    write_small_slices(folder / NAME, FILES, PER_SERIES)
    images = FILES // PER_SERIES * EMBEDDED_PER_SERIES
    return measure_ingest(TITLE, folder / NAME, folder / "home", FILES, images)
