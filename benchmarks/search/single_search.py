"""One query at a time against FAISS's flat index, both exact; half of the queries are texts."""

import time
from pathlib import Path
from typing import Any

import faiss
import numpy as np

from benchmarks.measure import Outcome, on_one_core
from benchmarks.search.clustered_vectors import DIMENSION, ClusteredVectors, clustered_vectors
from medsiglip.index.search.kinds.bounded import BoundedIndex

TITLE = "time of IndexFlatIP ÷ ours, single queries of pictures and texts, exact, 100,000 x 1152, k 10"
GOAL = 20.0
GUARD = "the same ten ids, every answer proven"
ROWS, SINGLES, K = 100_000, 20, 10


def measure(folder: Path, rounds: int) -> Outcome:
    vectors = clustered_vectors(ROWS, (rounds + 1) * SINGLES // 2)
    ours_index, flat = indexes(vectors)
    queries = np.stack([vectors.image_queries, vectors.text_queries], axis=1).reshape(-1, DIMENSION)
    ours, peer = [], []
    with on_one_core():
        for number in range(rounds + 1):
            few = queries[number * SINGLES : (number + 1) * SINGLES]
            begun = time.perf_counter()
            found = [ours_index.search(query[None], K)[1][0] for query in few]
            between = time.perf_counter()
            expected = [flat.search(query[None], K)[1][0] for query in few]
            ended = time.perf_counter()
            if not np.array_equal(found, expected):
                return Outcome(TITLE, GOAL, GUARD, SINGLES, failure="another answer than the flat index's")
            ours.append(between - begun)
            peer.append(ended - between)
    if ours_index.share.proven != ours_index.share.answers:
        return Outcome(TITLE, GOAL, GUARD, SINGLES, failure="an answer was not proven by bounds")
    return Outcome(TITLE, GOAL, GUARD, SINGLES, ours[1:], peer[1:])


def indexes(vectors: ClusteredVectors) -> tuple[BoundedIndex, Any]:
    """Our index and FAISS's, with the same rows under the ids 0, 1, ...; one thread each."""
    faiss.omp_set_num_threads(1)
    ours = BoundedIndex(DIMENSION, vectors.prompts)
    ours.add(np.arange(len(vectors.rows)), vectors.rows)
    return ours, flat_index(vectors)


def flat_index(vectors: ClusteredVectors) -> Any:
    """FAISS's flat index of the rows."""
    faiss.omp_set_num_threads(1)
    flat = faiss.IndexFlatIP(DIMENSION)
    flat.add(vectors.rows)
    return flat
