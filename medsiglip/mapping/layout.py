"""Places in a plane for vectors whose nearest neighbours are known: t-SNE from a start that PCA gives.

van der Maaten and Hinton, Visualizing data using t-SNE (JMLR 9, 2008), with the gradient by interpolation
(Linderman et al., Nature Methods 16, 2019). Kobak and Berens (Nature Communications 10, 2019) give the start,
the learning rate, and neighbours of equal weight in place of a perplexity.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from medsiglip.numerics import Floats

Singles = npt.NDArray[np.float32]
Ids = npt.NDArray[np.int64]
OnStep = Callable[[int, int], object]
"""Gets how many steps are done, and of how many; what it raises ends the layout."""

NEIGHBOURS = 15
"""Nearest neighbours that hold a point in its place: as many as a perplexity of 30 does in effect."""
METHOD = "t-sne"
_EARLY, _LATE = 250, 500
_EARLY_EXAGGERATION = 12.0
# Fewer points than this stand where PCA puts them: t-SNE needs several neighbours for each.
_FEWEST = 10
_START = 1e-4
_EVERY = 25
# From so many points on the gradient is interpolated: below it a tree of the points is faster, and so is one
# thread, which waits for no other.
_MANY = 5000


def lay_out(
    vectors: Singles, neighbours: Ids, *, seed: int = 0, on_step: OnStep = lambda _done, _of: None
) -> Singles:
    """Places float32 [n, 2] for vectors [n, d], within -1 and 1, centred.

    `neighbours` [n, k] are the rows of the nearest of each, best first, without itself; at most 15 are used.
    The same vectors, neighbours and `seed` give the same places on one machine.
    """
    start = _start(vectors, seed)
    if len(vectors) < _FEWEST or neighbours.shape[1] < 2:
        return _within(start)
    return _within(_embedded(start, neighbours[:, :NEIGHBOURS], seed, on_step))


def _start(vectors: Singles, seed: int) -> Floats:
    """The first two principal components [n, 2], as small as t-SNE wants them, shaken a little by the
    seed."""
    count = len(vectors)
    if not count:
        return np.zeros((0, 2))
    centred = vectors - vectors.mean(axis=0, dtype=np.float64).astype(np.float32)
    spread = (centred.T @ centred).astype(np.float64)
    axes = np.linalg.eigh(spread)[1][:, ::-1][:, :2]
    # An eigenvector has no sign of its own: its largest part is positive.
    largest = np.abs(axes).argmax(axis=0)
    axes = axes * np.sign(axes[largest, np.arange(axes.shape[1])])
    places = np.zeros((count, 2))
    places[:, : axes.shape[1]] = centred @ axes.astype(np.float32)
    deviation = places[:, 0].std()
    places *= _START / deviation if deviation > 0 else 0.0
    places += np.random.default_rng(seed).normal(0, _START / 100, places.shape)
    # The last bits depend on the number of threads, and t-SNE would make something of them.
    return np.round(places, 9)


def _embedded(start: Floats, neighbours: Ids, seed: int, on_step: OnStep) -> Floats:
    from openTSNE import TSNEEmbedding
    from openTSNE.affinity import Uniform

    is_large = len(start) >= _MANY
    threads = _cores() if is_large else 1
    nearest = _Nearest(neighbours)
    affinities = Uniform(
        knn_index=nearest,
        k_neighbors=neighbours.shape[1],
        symmetrize="mean",
        n_jobs=threads,
        random_state=seed,
    )

    def note(step: int, _error: float, _embedding: Any) -> bool:
        on_step(done + step, _EARLY + _LATE)
        return False

    places: Any = TSNEEmbedding(
        start,
        affinities,
        # Half as many boxes a side as openTSNE takes: a quarter of the time, and places that look the same.
        ints_in_interval=2,
        negative_gradient_method="fft" if is_large else "bh",
        learning_rate="auto",
        n_jobs=threads,
        random_state=seed,
        callbacks=[note],
        callbacks_every_iters=_EVERY,
    )
    done = 0
    places = places.optimize(_EARLY, exaggeration=_EARLY_EXAGGERATION, momentum=0.8, inplace=True)
    done = _EARLY
    places = places.optimize(_LATE, exaggeration=None, momentum=0.8, inplace=True)
    return np.asarray(places, np.float64)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class _Nearest:
    """Neighbours that are known already, as openTSNE asks an index for them."""

    verbose = False

    def __init__(self, neighbours: Ids) -> None:
        self._neighbours = neighbours.astype(np.int32)
        self.n_samples, self.k = neighbours.shape

    def build(self) -> tuple[npt.NDArray[np.int32], Floats]:
        """Neighbours [n, k], and distances, which equal weights do not look at."""
        return self._neighbours, np.ones(self._neighbours.shape)


def _within(places: Floats) -> Singles:
    if not len(places):
        return np.zeros((0, 2), np.float32)
    middle = (places.max(axis=0) + places.min(axis=0)) / 2
    centred = places - middle
    largest = np.abs(centred).max()
    return np.asarray(centred / largest if largest > 0 else centred, np.float32)
