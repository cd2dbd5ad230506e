"""A search among the images that a filter in SQL lets pass, against FAISS's flat index over all of them."""

import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.measure import Outcome, on_one_core
from benchmarks.search.clustered_vectors import DIMENSION, IMAGES_EACH, ClusteredVectors, clustered_vectors
from benchmarks.search.search_over_http import bundle
from benchmarks.search.single_search import ROWS, K, indexes
from medsiglip.index.case_index import CaseIndex
from medsiglip.index.records import Space

TITLE = (
    "time of IndexFlatIP over all ÷ our search filtered to 10 % by SQL, single queries, 100,000 x 1152, k 10"
)
GOAL = 4.0
GUARD = "the exact ten nearest within the filter"
SINGLES = 20


@dataclass(frozen=True, slots=True)
class Filter:
    """`where` lets images pass whose study, by its number, `passes`."""

    part: str
    where: str
    passes: Callable[[NDArray[np.int64]], NDArray[np.bool_]]


# Ages are 40 + study % 40.
FILTERS = {
    one.part: one
    for one in (
        Filter(".1 %", "modality=XA", lambda study: study % 1000 == 7),
        Filter("1 %", "modality=US", lambda study: study % 100 == 5),
        Filter("10 %", "modality=MR", lambda study: study % 10 == 3),
        Filter("50 %", "patient_age<60", lambda study: study % 40 < 20),
        Filter("90 %", "patient_age<76", lambda study: study % 40 < 36),
    )
}


def measure(folder: Path, rounds: int) -> Outcome:
    [(ours, peer, failure)] = measured(folder, rounds, [FILTERS["10 %"]])
    return Outcome(TITLE, GOAL, GUARD, SINGLES, ours, peer, failure)


def measure_all(folder: Path, rounds: int, title: str) -> Outcome:
    """The least ratio of all filters; those of each go to the error stream."""
    found = measured(folder, rounds, list(FILTERS.values()))
    failures = [failure for _, _, failure in found if failure is not None]
    if failures:
        return Outcome(title, 1.0, GUARD, SINGLES, failure=failures[0])
    ratios = [statistics.median(peer) / statistics.median(ours) for ours, peer, _ in found]
    parts = ", ".join(f"{part} {ratio:.2f}" for part, ratio in zip(FILTERS, ratios, strict=True))
    print(f"     {parts}", file=sys.stderr)
    ours, peer, _ = found[int(np.argmin(ratios))]
    return Outcome(title, 1.0, GUARD, SINGLES, ours, peer)


def measured(
    folder: Path, rounds: int, filters: list[Filter]
) -> list[tuple[list[float], list[float], str | None]]:
    """For each filter the seconds of rounds on both sides, and what was wrong."""
    vectors = clustered_vectors(ROWS, (rounds + 1) * SINGLES // 2)
    _, flat = indexes(vectors)
    queries = np.stack([vectors.image_queries, vectors.text_queries], axis=1).reshape(-1, DIMENSION)
    with CaseIndex.open(folder / "home", vector_dtype="float32") as index, on_one_core():
        ids = fill(index, vectors)
        return [_measured(index, flat, vectors.rows, ids, queries, one) for one in filters]


def _measured(
    index: CaseIndex, flat: Any, rows: NDArray[np.float32], ids: NDArray[np.int64], queries: Any, one: Filter
) -> tuple[list[float], list[float], str | None]:
    within = np.flatnonzero(one.passes(np.arange(ROWS) // IMAGES_EACH))
    ours, peer = [], []
    for number in range(len(queries) // SINGLES):
        few = queries[number * SINGLES : (number + 1) * SINGLES]
        begun = time.perf_counter()
        found = [index.search(query[None], k=K, where=[one.where])[0] for query in few]
        between = time.perf_counter()
        for query in few:
            flat.search(query[None], K)
        ended = time.perf_counter()
        expected = np.argsort(-(few @ rows[within].T), axis=1, kind="stable")[:, :K]
        if not np.array_equal([[hit.image_id for hit in hits] for hits in found], ids[within[expected]]):
            return [], [], f"another answer than the exact one within {one.part}"
        ours.append(between - begun)
        peer.append(ended - between)
    return ours[1:], peer[1:], None


def fill(index: CaseIndex, vectors: ClusteredVectors) -> NDArray[np.int64]:
    """Add the vectors as images; returns the id of each."""
    ids: list[int] = []
    index.activate(Space("c1u57e2ed000", "none", DIMENSION, "random"))
    step = 1000
    for low in range(0, ROWS // IMAGES_EACH, step):
        bundles = [bundle(study, modality_of(study)) for study in range(low, low + step)]
        ids += index.add(bundles, vectors.rows[low * IMAGES_EACH : (low + step) * IMAGES_EACH])
    index.rebuild(vectors.prompts)
    return np.array(ids)


def modality_of(study: int) -> str:
    """The modality of a study, such that the filters by modality pass as many as they say."""
    named = [one for one in FILTERS.values() if one.where.startswith("modality=")]
    found = [one.where.removeprefix("modality=") for one in named if one.passes(np.array([study]))[0]]
    return found[0] if found else "CT"
