from __future__ import annotations

import numpy as np
import pytest

from medsiglip.index.search.kinds.vector_search import IdPlaces, top


def test_known_answer_with_equal_scores_by_lower_id() -> None:
    vectors = np.array([[1, 0], [0, 1], [1, 0], [0.6, 0.8]], np.float32)
    scores, ids = top(np.array([[1, 0]], np.float32), np.array([30, 20, 10, 40]), vectors, 9)
    assert ids.tolist() == [[10, 30, 40, 20]]
    assert scores.tolist() == [[1, 1, np.float32(0.6), 0]]


def test_places_follow_additions_and_removals() -> None:
    places = IdPlaces()
    assert places.of(np.empty(0, np.int64)).tolist() == []
    places.add(np.array([7, 3, 5]))
    assert places.of(np.array([5, 7])).tolist() == [2, 0]
    places.keep(np.array([True, False, True]))
    places.add(np.array([1]))
    assert places.of(np.array([1, 5, 7])).tolist() == [2, 1, 0]
    with pytest.raises(KeyError) as caught:
        places.of(np.array([3, 7, 9]))
    assert caught.value.args == (3, 9)
