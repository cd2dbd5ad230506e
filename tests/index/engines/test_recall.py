"""What an engine's approximate answers miss on clustered vectors, with and without filters."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from medsiglip.index.search.kinds.vector_search import top
from medsiglip.index.search_records import Asked, SearchOptions
from medsiglip.index.vectors import Vectors, unit_length
from tests.index.engines.conftest import EngineHome
from tests.index.index_cases import DIMENSION, make_bundle

QUERIES, K = 40, 10
RECALL = 0.99


def clustered(count: int, clusters: int, seed: int) -> Vectors:
    """Unit vectors around some centres, closer to their own than to others."""
    random = np.random.default_rng(seed)
    centres = np.random.default_rng(7).normal(size=(clusters, DIMENSION))
    which = random.integers(clusters, size=count)
    return unit_length((centres[which] + 0.4 * random.normal(size=(count, DIMENSION))).astype(np.float32))


@pytest.mark.long
@pytest.mark.parametrize("kind", ["pgvector", "milvus"])
def test_few_hits_are_missed_and_none_by_an_exact_search(
    make_home: Callable[[str], EngineHome], kind: str
) -> None:
    studies, size = 60, 50
    vectors = clustered(studies * size, 30, 1)
    queries = clustered(QUERIES, 30, 2)
    with make_home(kind).open() as index:
        ids, kept = [], []
        for study in range(studies):
            fields = {"patient_age": float(study)}
            bundle = make_bundle(study, size, study_fields=fields)
            ids += index.add([bundle], vectors[study * size : (study + 1) * size])
            kept += [study] * size
        image_ids, ages = np.array(ids, np.int64), np.array(kept)
        for where, passing in (
            ((), ages >= 0),
            (("patient_age<12",), ages < 12),
            (("patient_age=7",), ages == 7),
        ):
            scores, best = top(queries, image_ids[passing], vectors[passing], K)
            asked = [Asked(query) for query in queries]
            found = index.find(asked, SearchOptions(K, where=where))
            exact = index.find(asked, SearchOptions(K, where=where, exact=True))
            assert {one.how for one in found} == {"approximate"}
            hits = [{one.hit.image_id for one in answer.hits} for answer in found]
            same = [len(mine.intersection(theirs)) for mine, theirs in zip(hits, best.tolist(), strict=True)]
            assert sum(same) / (K * QUERIES) >= RECALL
            assert [[one.hit.image_id for one in answer.hits] for answer in exact] == best.tolist()
            assert [[one.hit.score for one in answer.hits] for answer in exact] == scores.tolist()
            looked = max(answer.explanation.looked_at for answer in found)
            assert looked < passing.sum() or passing.sum() <= 4 * K + 64
