"""A thousand queries at once against FAISS's flat index, both exact; half of the queries are texts."""

from pathlib import Path

import numpy as np

from benchmarks.measure import Outcome, alternate, on_one_core
from benchmarks.search.clustered_vectors import clustered_vectors
from benchmarks.search.single_search import ROWS, K, indexes

TITLE = "time of IndexFlatIP ÷ ours, 1,000 queries of pictures and texts at once, exact, 100,000 x 1152, k 10"
GOAL = 5.0
GUARD = "the same ten ids, every answer proven"
QUERIES = 1000


def measure(folder: Path, rounds: int) -> Outcome:
    vectors = clustered_vectors(ROWS, QUERIES // 2)
    ours_index, flat = indexes(vectors)
    queries = np.concatenate([vectors.image_queries, vectors.text_queries])
    if not np.array_equal(ours_index.search(queries, K)[1], flat.search(queries, K)[1]):
        return Outcome(TITLE, GOAL, GUARD, QUERIES, failure="another answer than the flat index's")
    if ours_index.share.proven != ours_index.share.answers:
        return Outcome(TITLE, GOAL, GUARD, QUERIES, failure="an answer was not proven by bounds")
    with on_one_core():
        ours, peer = alternate(lambda: ours_index.search(queries, K), lambda: flat.search(queries, K), rounds)
    return Outcome(TITLE, GOAL, GUARD, QUERIES, ours, peer)
