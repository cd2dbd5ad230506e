"""The memory that an ingest of one slide of 2 GiB takes, which gives 512 patches."""

from pathlib import Path

from benchmarks.large_slide import NAME, write_large_slide
from benchmarks.measure import Outcome
from benchmarks.memory import measure_ingest

TITLE = "2 GiB ÷ peak memory of all processes, ingest of one slide of 2 GiB"
SIZE_BYTES, PATCHES = 2 << 30, 512


def measure(folder: Path, rounds: int) -> Outcome:
    write_large_slide(folder / NAME / "slide.dcm", SIZE_BYTES)
    return measure_ingest(TITLE, folder / NAME, folder / "home", 1, PATCHES)
