"""One query at a time against FAISS's HNSW32 at ef 256, at a recall that is no lower than its own."""

from pathlib import Path

from benchmarks.measure import Outcome, on_one_core
from benchmarks.search.approximate_index import SINGLES, Answers, alternating, approximate_index, queries_of
from benchmarks.search.clustered_vectors import clustered_vectors
from benchmarks.search.hnsw_build import hnsw_index
from benchmarks.search.single_search import ROWS, K, flat_index

TITLE = (
    "time of HNSW32 at ef 256 ÷ ours, single queries of pictures and texts, approximate, 100,000 x 1152, k 10"
)
GOAL = 3.0
GUARD = "our recall at least that of HNSW, on pictures and on texts"
EF = 256


def measure(folder: Path, rounds: int) -> Outcome:
    vectors = clustered_vectors(ROWS, (rounds + 1) * SINGLES // 2)
    ours, flat = approximate_index(vectors), flat_index(vectors)
    answers, queries = Answers(), queries_of(vectors)
    with on_one_core():
        hnsw = hnsw_index(vectors.rows)
        hnsw.hnsw.efSearch = EF
        times = alternating(
            queries,
            lambda query: ours.search(query, K, exact=False).ids,
            lambda query: hnsw.search(query, K)[1],
            answers,
        )
    exact = list(flat.search(queries, K)[1])
    own, theirs = answers.recall_of_ours(exact), answers.recall_of_peer(exact)
    print(f"      recall: ours {own}; HNSW {theirs}", flush=True)
    if own.images < theirs.images or own.texts < theirs.texts:
        return Outcome(TITLE, GOAL, GUARD, SINGLES, failure=f"ours has {own}, HNSW {theirs}")
    return Outcome(TITLE, GOAL, GUARD, SINGLES, *times)
