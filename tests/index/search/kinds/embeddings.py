"""Made-up embeddings: pictures in clusters off the origin, texts far from them, and recall."""

from __future__ import annotations

import numpy as np

from medsiglip.index.search.kinds.vector_search import Neighbours

DIMENSION = 64
_AXES = np.arange(2, DIMENSION + 2) ** -1.2


def unit(vectors: np.ndarray) -> np.ndarray:
    """Float32 rows of unit length."""
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)


def pictures(count: int, seed: int) -> np.ndarray:
    """Twelve clusters, a spectrum that falls, and a mean."""
    draw = np.random.default_rng(seed)
    centres = np.random.default_rng(7).standard_normal((12, DIMENSION)) * _AXES
    own = draw.standard_normal((count, DIMENSION)) * _AXES
    return unit(centres[draw.integers(0, 12, count)] + 0.4 * own + 0.3 * np.eye(DIMENSION)[3])


def texts(count: int, seed: int) -> np.ndarray:
    """Sentences: of a direction of their own, which pictures lack."""
    draw = np.random.default_rng(seed)
    own = draw.standard_normal((count, DIMENSION)) * _AXES
    return unit(0.5 * own + 2.0 * np.eye(DIMENSION)[60] - 0.1 * np.eye(DIMENSION)[3])


def recall(answer: Neighbours, exact: Neighbours) -> float:
    """The mean part of the exact answer's scores that another reaches, so that equal rows may stand in."""
    least = exact.scores[:, -1:]
    return float((answer.scores >= least).mean())
