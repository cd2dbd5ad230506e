"""One query at a time against ScaNN, at a recall that is no lower than its own."""

from pathlib import Path

from benchmarks.measure import Outcome
from benchmarks.search.scann_peer import measured

TITLE = "time of ScaNN (AH, reorder 200) ÷ ours, single queries, approximate, 100,000 x 1152, k 10"
GOAL = 1.2


def measure(folder: Path, rounds: int) -> Outcome:
    return measured(folder, rounds, "single", 40, TITLE, GOAL)
