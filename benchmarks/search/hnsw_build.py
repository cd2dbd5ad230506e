"""Building our index, exact and approximate codes, against building FAISS's HNSW32; one thread each."""

from pathlib import Path
from typing import Any

import faiss
import numpy as np

from benchmarks.measure import Outcome, alternate, on_one_core
from benchmarks.search.approximate_index import approximate_index
from benchmarks.search.clustered_vectors import DIMENSION, Vectors, clustered_vectors

TITLE = "time of building HNSW32 ÷ building ours, exact and approximate codes, 100,000 x 1152"
GOAL = 10.0
GUARD = "both hold all rows, and ours has both sorts of codes"
ROWS = 100_000


def measure(folder: Path, rounds: int) -> Outcome:
    vectors = clustered_vectors(ROWS, 10)
    with on_one_core():
        built = approximate_index(vectors)
        if "Bound" not in built.spec or built.trial is None or len(built.ids) != ROWS:
            return Outcome(TITLE, GOAL, GUARD, ROWS, failure=f"ours is {built.spec}")
        ours, peer = alternate(
            lambda: approximate_index(vectors), lambda: hnsw_index(vectors.rows), rounds, warm_ups=0
        )
    return Outcome(TITLE, GOAL, GUARD, ROWS, ours, peer)


def hnsw_index(rows: Vectors) -> Any:
    """HNSW32 of FAISS over rows, with its usual 40 candidates of building."""
    faiss.omp_set_num_threads(1)
    index = faiss.IndexHNSWFlat(DIMENSION, 32, faiss.METRIC_INNER_PRODUCT)
    index.add(np.ascontiguousarray(rows))
    return index
