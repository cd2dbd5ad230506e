"""Searches among .1 to 90 % of the images, against FAISS's flat index over all: the worst ratio of five."""

from pathlib import Path

from benchmarks.measure import Outcome
from benchmarks.search.filtered_search import measure_all

TITLE = (
    "time of IndexFlatIP over all ÷ our filtered search, the worst of .1, 1, 10, 50 and 90 %, "
    "single queries, 100,000 x 1152, k 10"
)


def measure(folder: Path, rounds: int) -> Outcome:
    return measure_all(folder, rounds, TITLE)
