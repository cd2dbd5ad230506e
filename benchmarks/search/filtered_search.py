"""A search among the tenth of the images that a filter in SQL lets pass, against FAISS over all of them."""

import time
from pathlib import Path

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


def measure(folder: Path, rounds: int) -> Outcome:
    vectors = clustered_vectors(ROWS, (rounds + 1) * SINGLES // 2)
    _, flat = indexes(vectors)
    queries = np.stack([vectors.image_queries, vectors.text_queries], axis=1).reshape(-1, DIMENSION)
    within = np.flatnonzero(np.arange(ROWS) // IMAGES_EACH % 10 == 3)
    expected = np.argsort(-(queries @ vectors.rows[within].T), axis=1, kind="stable")[:, :K]
    ours, peer = [], []
    with CaseIndex.open(folder / "home", vector_dtype="float32") as index, on_one_core():
        ids = fill(index, vectors)
        for number in range(rounds + 1):
            few = slice(number * SINGLES, (number + 1) * SINGLES)
            begun = time.perf_counter()
            found = [index.search(query[None], k=K, where=["modality=MR"])[0] for query in queries[few]]
            between = time.perf_counter()
            for query in queries[few]:
                flat.search(query[None], K)
            ended = time.perf_counter()
            if not np.array_equal(
                [[hit.image_id for hit in hits] for hits in found], ids[within[expected[few]]]
            ):
                return Outcome(TITLE, GOAL, GUARD, SINGLES, failure="another answer than the exact one")
            ours.append(between - begun)
            peer.append(ended - between)
    return Outcome(TITLE, GOAL, GUARD, SINGLES, ours[1:], peer[1:])


def fill(index: CaseIndex, vectors: ClusteredVectors) -> NDArray[np.int64]:
    """Add the vectors as images, every tenth study MR; returns the id of each."""
    ids: list[int] = []
    index.activate(Space("c1u57e2ed000", "none", DIMENSION, "random"))
    step = 1000
    for low in range(0, ROWS // IMAGES_EACH, step):
        bundles = [bundle(study, "MR" if study % 10 == 3 else "CT") for study in range(low, low + step)]
        ids += index.add(bundles, vectors.rows[low * IMAGES_EACH : (low + step) * IMAGES_EACH])
    index.rebuild(vectors.prompts)
    return np.array(ids)
