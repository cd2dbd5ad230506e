"""How far a plane keeps neighbours, against scikit-learn and against sets counted by hand."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.manifold import trustworthiness as by_scikit_learn
from sklearn.neighbors import NearestNeighbors

from medsiglip.mapping.distortion import kept_neighbours, trustworthiness


def random_unit(count: int, dimension: int, seed: int) -> NDArray[np.float32]:
    vectors = np.random.default_rng(seed).normal(size=(count, dimension))
    unit: NDArray[np.float32] = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    return unit


@pytest.mark.parametrize("k", [1, 5, 15])
@pytest.mark.parametrize("seed", [0, 1])
def test_trustworthiness_is_that_of_scikit_learn(k: int, seed: int) -> None:
    vectors = random_unit(80, 6, seed)
    for places in (np.ascontiguousarray(vectors[:, :2]), random_unit(80, 2, seed + 10)):
        expected = by_scikit_learn(vectors, places, n_neighbors=k, metric="cosine")
        assert trustworthiness(vectors, places, k) == pytest.approx(expected, abs=1e-9)


def test_a_sample_of_points_comes_near_to_all() -> None:
    vectors = random_unit(600, 6, 0)
    places = np.ascontiguousarray(vectors[:, :2])
    whole = by_scikit_learn(vectors, places, n_neighbors=10, metric="cosine")
    assert trustworthiness(vectors, places, 10, sample=200) == pytest.approx(whole, abs=0.03)


def test_too_few_points_have_no_trustworthiness() -> None:
    assert trustworthiness(random_unit(2, 4, 0), random_unit(2, 2, 0), 5) is None


@pytest.mark.parametrize("k", [1, 4, 15])
def test_kept_neighbours_are_those_in_both_sets(k: int) -> None:
    vectors, places = random_unit(60, 8, 2), random_unit(60, 2, 3)
    true = NearestNeighbors(n_neighbors=k, metric="cosine").fit(vectors).kneighbors()[1]
    plane = NearestNeighbors(n_neighbors=k).fit(places).kneighbors()[1]
    expected = [
        len({*here} & {*there}) / k for here, there in zip(true.tolist(), plane.tolist(), strict=True)
    ]
    np.testing.assert_allclose(kept_neighbours(places, true.astype(np.int64)), expected)


def test_a_plane_that_is_the_space_keeps_all() -> None:
    places = random_unit(30, 2, 0)
    true = NearestNeighbors(n_neighbors=5).fit(places).kneighbors()[1].astype(np.int64)
    assert kept_neighbours(places, true).tolist() == [1.0] * 30
    assert kept_neighbours(places[:1], np.empty((1, 0), np.int64)).tolist() == [1.0]


def test_many_points_in_one_place() -> None:
    places = np.zeros((20, 2), np.float32)
    true = np.array([[(i + 1) % 20, (i + 2) % 20] for i in range(20)], np.int64)
    found = kept_neighbours(places, true)
    assert ((found >= 0) & (found <= 1)).all()
