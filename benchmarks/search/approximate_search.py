"""One query at a time with `exact=False` against FAISS's flat index; half of the queries are texts."""

from pathlib import Path

from benchmarks.measure import Outcome, on_one_core
from benchmarks.search.approximate_index import SINGLES, Answers, alternating, approximate_index, queries_of
from benchmarks.search.clustered_vectors import clustered_vectors
from benchmarks.search.single_search import ROWS, K, flat_index

TITLE = "time of IndexFlatIP ÷ ours, single queries of pictures and texts, approximate, 100,000 x 1152, k 10"
GOAL = 20.0
GUARD = "recall of .999 at least, on pictures and on texts"
RECALL = 0.999


def measure(folder: Path, rounds: int) -> Outcome:
    vectors = clustered_vectors(ROWS, (rounds + 1) * SINGLES // 2)
    flat, ours = flat_index(vectors), approximate_index(vectors)
    answers = Answers()
    with on_one_core():
        times = alternating(
            queries_of(vectors),
            lambda query: ours.search(query, K, exact=False).ids,
            lambda query: flat.search(query, K)[1],
            answers,
        )
    recall = answers.recall_of_ours(answers.peer)
    if not recall.holds(RECALL):
        return Outcome(TITLE, GOAL, GUARD, SINGLES, failure=f"a recall of {recall}")
    if ours.approximate != len(answers.ours):
        return Outcome(TITLE, GOAL, GUARD, SINGLES, failure="an answer was not approximate")
    return Outcome(TITLE, GOAL, GUARD, SINGLES, *times)
