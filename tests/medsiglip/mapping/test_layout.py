"""Vectors in a plane: groups stay together, the same comes again, and what little there is has a place."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.metrics import silhouette_score

from medsiglip.mapping.layout import lay_out


def grouped(count: int, groups: int = 4, seed: int = 0) -> tuple[NDArray[np.float32], NDArray[np.intp]]:
    """Vectors of unit length about well separated directions, and the group of each."""
    random = np.random.default_rng(seed)
    group = np.arange(count) % groups
    vectors = np.eye(24)[group] * 3 + random.normal(size=(count, 24)) * 0.3
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32), group


def nearest(vectors: NDArray[np.float32], k: int) -> NDArray[np.int64]:
    cosines = vectors @ vectors.T
    np.fill_diagonal(cosines, -np.inf)
    return np.argsort(-cosines, axis=1, kind="stable")[:, : min(k, max(len(vectors) - 1, 0))]


def test_groups_lie_apart_and_each_together() -> None:
    vectors, group = grouped(120)
    steps: list[tuple[int, int]] = []
    places = lay_out(vectors, nearest(vectors, 15), on_step=lambda *step: steps.append(step))
    assert places.shape == (120, 2)
    assert places.dtype == np.float32
    assert np.abs(places).max() == 1
    assert silhouette_score(places, group) > 0.5
    assert [done for done, _ in steps] == sorted(done for done, _ in steps)
    assert steps[-1] == (750, 750)


def test_the_same_comes_again_and_another_seed_gives_another_map() -> None:
    vectors, _ = grouped(60)
    first, again, other = (lay_out(vectors, nearest(vectors, 15), seed=seed) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("count", [0, 1, 2, 3, 9, 10, 16])
def test_few_have_places(count: int) -> None:
    vectors, _ = grouped(count)
    places = lay_out(vectors, nearest(vectors, 15))
    assert places.shape == (count, 2)
    assert np.isfinite(places).all()
    assert np.abs(places).max(initial=0) <= 1


def test_equal_vectors_have_places() -> None:
    vectors = np.repeat(grouped(1)[0], 30, axis=0)
    assert np.isfinite(lay_out(vectors, nearest(vectors, 15))).all()


def test_what_a_step_raises_ends_it() -> None:
    vectors, _ = grouped(60)

    def stop(_done: int, _of: int) -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        lay_out(vectors, nearest(vectors, 15), on_step=stop)
