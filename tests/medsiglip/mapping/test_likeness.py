"""Outliers and near-duplicates, against brute force."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from medsiglip.mapping.likeness import duplicate_groups, loneliness, nearest_others


def graph(vectors: NDArray[np.float32], k: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    cosines = vectors @ vectors.T
    np.fill_diagonal(cosines, -np.inf)
    near = np.argsort(-cosines, axis=1, kind="stable")[:, :k]
    return near, np.take_along_axis(cosines, near, axis=1)


def made() -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    vectors = np.random.default_rng(0).normal(size=(40, 8))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors.astype(np.float32), np.arange(40) // 4


def test_the_nearest_of_other_studies_by_brute_force() -> None:
    vectors, owners = made()
    near, alike = nearest_others(*graph(vectors, 39), owners)
    cosines = vectors @ vectors.T
    cosines[owners[:, None] == owners[None]] = -np.inf
    expected = np.argsort(-cosines, axis=1, kind="stable")[:, :5]
    np.testing.assert_array_equal(near, expected)
    np.testing.assert_allclose(alike, np.take_along_axis(cosines, expected, axis=1), atol=1e-6)
    np.testing.assert_allclose(loneliness(alike), 1 - alike.mean(axis=1), atol=1e-6)


def test_what_has_no_other_study_has_no_loneliness() -> None:
    vectors, _ = made()
    near, alike = nearest_others(*graph(vectors, 10), np.zeros(40, np.int64))
    assert (near == -1).all()
    assert np.isnan(alike).all()
    assert np.isnan(loneliness(alike)).all()
    assert duplicate_groups(near, alike, 0.5) == []
    empty = nearest_others(np.empty((1, 0), np.int64), np.empty((1, 0), np.float32), np.zeros(1, np.int64))
    assert empty[0].tolist() == [[-1] * 5]


def test_planted_copies_are_found_as_groups() -> None:
    vectors, _ = made()
    random = np.random.default_rng(1)
    for copy, of in ((10, 2), (20, 2), (30, 5)):
        vectors[copy] = vectors[of] + random.normal(size=8) * (0.02 if copy == 30 else 0.001)
        vectors[copy] /= np.linalg.norm(vectors[copy])
    near, alike = nearest_others(*graph(vectors, 39), np.arange(40))
    groups = duplicate_groups(near, alike, 0.99)
    assert [one.tolist() for one in groups] == [[2, 10, 20], [5, 30]]
    assert loneliness(alike)[[2, 10, 20]].max() < 1
