from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from medsiglip.index.search.kinds.index_kinds import DEFAULT
from medsiglip.index.search.kinds.vector_search import ExactSearch
from medsiglip.index.search.recall import recall_at
from tests.index.index_cases import unit_vectors


class HalfBlind(ExactSearch):
    """Never finds an image with an odd id."""

    def search(self, queries: Any, k: Any, allowed: Any = None, *, exact: bool = True) -> Any:
        even = self.ids % 2 == 0
        seen = ExactSearch(8)
        seen.add(self.ids[even], self.rows(self.ids[even]))
        return seen.search(queries, k)


def test_faiss_finds_everything() -> None:
    index = DEFAULT.new(8)
    index.add(np.arange(300), unit_vectors(300, 1, 8))
    assert recall_at(index, unit_vectors(20, 2, 8)) == 1.0


def test_recall_counts_what_is_missed() -> None:
    index = HalfBlind(8)
    index.add(np.arange(10), unit_vectors(10, 1, 8))
    # Of all ten, asked for, only the five even ones come back.
    assert recall_at(index, unit_vectors(4, 2, 8), k=10) == 0.5
    expected = []
    for query in unit_vectors(50, 3, 8):
        best = np.argsort(-(index.rows(index.ids) @ query))[:5]
        answered = [i for i in np.argsort(-(index.rows(index.ids) @ query)) if i % 2 == 0][:5]
        expected.append(len(set(best) & set(answered)) / 5)
    assert recall_at(index, unit_vectors(50, 3, 8), k=5) == pytest.approx(np.mean(expected))
    assert np.mean(expected) < 0.9


def test_nothing_asked_or_held_is_full_recall() -> None:
    assert recall_at(DEFAULT.new(8), unit_vectors(3, 0, 8)) == 1.0
