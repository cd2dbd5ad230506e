"""The whole search, with the metadata of the ten best, against the search of the vectors alone.

FAISS's flat index is the vector search alone, as in the other ratios of searches: what the catalogue adds is
the same whatever the kind, and is measured beside it.
"""

import statistics
import sys
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.measure import Outcome, on_one_core
from benchmarks.search.clustered_vectors import DIMENSION, clustered_vectors
from benchmarks.search.filtered_search import fill, modality_of
from benchmarks.search.single_search import ROWS, K, indexes
from medsiglip.index.case_index import CaseIndex
from medsiglip.index.search_records import Asked, SearchOptions

TITLE = "time of IndexFlatIP alone ÷ our search with metadata of the ten best, single, 100,000 x 1152"
GOAL = 0.91
GUARD = "the exact ten, with the study, modality and file of each"
SINGLES = 20


def measure(folder: Path, rounds: int) -> Outcome:
    vectors = clustered_vectors(ROWS, (rounds + 1) * SINGLES // 2)
    _, flat = indexes(vectors)
    queries = np.stack([vectors.image_queries, vectors.text_queries], axis=1).reshape(-1, DIMENSION)
    ours, peer, own = [], [], []
    with CaseIndex.open(folder / "home") as index, on_one_core():
        ids = fill(index, vectors)
        for number in range(rounds + 1):
            few = queries[number * SINGLES : (number + 1) * SINGLES]
            begun = time.perf_counter()
            found = [index.search(query[None], k=K)[0] for query in few]
            between = time.perf_counter()
            expected = [flat.search(query[None], K)[1][0] for query in few]
            ended = time.perf_counter()
            own.append(_vectors_alone(index, few))
            for hits, places in zip(found, expected, strict=True):
                described = [(hit.image_id, hit.study_instance_uid, hit.modality, hit.path) for hit in hits]
                if described != [_described(int(place), int(ids[place])) for place in places]:
                    return Outcome(TITLE, GOAL, GUARD, SINGLES, failure="other hits")
            ours.append(between - begun)
            peer.append(ended - between)
    alone, whole = (1000 * statistics.median(times[1:]) / SINGLES for times in (own, ours))
    print(f"     ours: {alone:.2f} ms for the vectors alone, {whole:.2f} ms with metadata", file=sys.stderr)
    return Outcome(TITLE, GOAL, GUARD, SINGLES, ours[1:], peer[1:])


def _vectors_alone(index: CaseIndex, queries: NDArray[np.float32]) -> float:
    """Seconds that the same searches spend on vectors, as they explain themselves."""
    laps = [index.find([Asked(query)], SearchOptions(K))[0].explanation.milliseconds for query in queries]
    return sum(one["nearest"] for one in laps) / 1000


def _described(place: int, image_id: int) -> tuple[int, str, str, str]:
    study, number = divmod(place, 10)
    uid = f"2.25.{study + 1}"
    return image_id, uid, modality_of(study), f"/data/{uid}.1.{number}.dcm"
