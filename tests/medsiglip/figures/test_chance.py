"""What a random ranking is worth, against every order there is and against random vectors."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from medsiglip.figures.chance import random_ranking
from medsiglip.figures.retrieval import evaluate_retrieval

pytestmark = pytest.mark.long

KS = (1, 3, 10)


@pytest.mark.parametrize(("relevant", "candidates"), [(1, 2), (2, 5), (4, 6), (1, 1), (5, 6)])
def test_it_is_the_mean_over_every_order(relevant: int, candidates: int) -> None:
    given = np.arange(candidates) < relevant
    found = []
    for order in permutations(range(candidates)):
        hits = given[list(order)]
        row = [hits[:k].sum() / k for k in KS] + [hits[:k].sum() / relevant for k in KS]
        found.append([*row, average_precision_score(hits, -np.arange(candidates))])
    expected = random_ranking(np.array([relevant]), np.array([candidates]), KS)[0]
    np.testing.assert_allclose(expected, np.mean(found, axis=0), atol=1e-12)


def test_random_vectors_reach_it_and_no_more() -> None:
    """Of each figure, over all queries and of a rare label, whose mean average precision is well above the
    share of relevant candidates.
    """
    rng = np.random.default_rng(5)
    labels = [
        {"rare"} if number % 12 == 0 else {"common", "other"} & {rng.choice(["common", "other"])}
        for number in range(60)
    ]
    groups = [number // 2 for number in range(60)]
    found: dict[str, list[float]] = {}
    for _ in range(60):
        vectors = rng.standard_normal((60, 8)).astype(np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        report = evaluate_retrieval(vectors, groups, labels)
        for figures, of in ((report.overall, "all"), (report.by_label["rare"], "rare")):
            given = {f"precision_at_{k}": value for k, value in figures.precision_at.items()}
            given |= {f"recall_at_{k}": value for k, value in figures.recall_at.items()}
            given["map"] = figures.map
            assert given.keys() == figures.chance_of.keys() == figures.ci.keys()
            for name, value in given.items():
                found.setdefault(f"{of} {name}", []).append(value - figures.chance_of[name])
    for name, beyond in found.items():
        error = np.std(beyond) / np.sqrt(len(beyond))
        assert abs(np.mean(beyond)) < 4 * error, name
    rare = report.by_label["rare"]
    assert rare.chance_of["map"] > 1.5 * rare.chance
