"""Set to set against the definition, image by image in float64."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medsiglip.index.search import set_to_set
from medsiglip.index.search.set_to_set import SetScores, StoredSets, best_matches, rough_scores, spread
from medsiglip.index.vectors import mean_directions
from tests.index.index_cases import unit_vectors


def defined(first: np.ndarray, second: np.ndarray) -> float:
    """The symmetric mean of best matches, by its words."""
    cosines = first.astype(np.float64) @ second.astype(np.float64).T
    forward = [max(row) for row in cosines]
    backward = [max(column) for column in cosines.T]
    return float((sum(forward) / len(forward) + sum(backward) / len(backward)) / 2)


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 10**6),
    st.lists(st.integers(1, 30), min_size=1, max_size=12),
    st.integers(1, 20),
    st.sampled_from([1, 7, 64, 2**22]),
)
def test_scores_are_those_of_the_definition_in_blocks_of_any_size(
    seed: int, sizes: list[int], count: int, cells: int
) -> None:
    vectors, queries = unit_vectors(sum(sizes), seed), unit_vectors(count, seed + 1)
    ids = np.arange(sum(sizes), dtype=np.int64) * 3
    held = StoredSets.of(np.split(ids, np.cumsum(sizes)[:-1]), lambda some: vectors[some // 3])
    assert held.sizes.tolist() == sizes
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(set_to_set, "_CELLS", cells)
        scores = rough_scores(queries, held)
        matches = [best_matches(queries, held.one(place), held.rows) for place in range(len(held))]
    for place, score in enumerate(scores):
        rows = vectors[held.one(place) // 3]
        found = matches[place]
        assert abs(score - defined(queries, rows)) < 1e-6
        assert found.score == pytest.approx(defined(queries, rows), abs=1e-7)
        cosines = queries.astype(np.float64) @ rows.astype(np.float64).T
        assert np.array_equal(found.place, cosines.astype(np.float32).argmax(axis=1))
        assert np.allclose(found.cosine, cosines.max(axis=1), atol=1e-7)
        assert np.allclose(found.best, cosines.max(axis=0), atol=1e-7)


def test_both_sets_count_alike_and_a_set_is_most_like_itself() -> None:
    first, second = unit_vectors(5, 1), unit_vectors(9, 2)
    rows = {1: first, 2: second}
    sets = {name: StoredSets.of([np.arange(len(held))], held.__getitem__) for name, held in rows.items()}
    assert rough_scores(first, sets[2])[0] == pytest.approx(rough_scores(second, sets[1])[0], abs=1e-6)
    assert rough_scores(first, sets[1])[0] == pytest.approx(1, abs=1e-6)
    assert rough_scores(first, sets[2])[0] < 0.9


def test_of_equal_images_the_first_is_the_match() -> None:
    vectors = np.repeat(unit_vectors(2, 3), 600, axis=0)
    ids = np.arange(1200, dtype=np.int64)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(set_to_set, "_CELLS", 2 * 2 * 77)
        found = best_matches(vectors[[0, 600]], ids, vectors.__getitem__)
    assert found.place.tolist() == [0, 600]


def test_a_thinned_set_keeps_both_ends_and_no_more_than_asked() -> None:
    assert spread(1, 32).tolist() == [0]
    assert spread(5, 32).tolist() == [0, 1, 2, 3, 4]
    assert spread(100, 4).tolist() == [0, 33, 66, 99]
    held = StoredSets.of([np.arange(10), np.arange(20, 23)], unit_vectors(30).__getitem__)
    assert [held.thinned(4).one(place).tolist() for place in (0, 1)] == [[0, 3, 6, 9], [20, 21, 22]]


@pytest.mark.parametrize("candidates", [3, 20])
def test_candidates_are_scored_set_to_set_and_come_first(candidates: int) -> None:
    vectors, sizes = unit_vectors(90, 6), np.random.default_rng(6).multinomial(70, [0.05] * 20) + 1
    sets = StoredSets.of(np.split(np.arange(90), np.cumsum(sizes)[:-1]), vectors.__getitem__)
    means = mean_directions(np.split(vectors, np.cumsum(sizes)[:-1]))
    scores = SetScores(sets, means, candidates)(np.array([4, 17]))
    for row, query in zip(scores, (4, 17), strict=True):
        cosines = means @ means[query]
        near = np.argsort(-cosines)[:candidates]
        for place in range(20):
            own, other = vectors[sets.one(query)], vectors[sets.one(place)]
            expected = defined(own, other) if place in near else cosines[place] - 3
            assert row[place] == pytest.approx(expected, abs=2e-6)
        assert set(np.argsort(-row)[:candidates]) == set(near)
        assert row.argmax() == query
