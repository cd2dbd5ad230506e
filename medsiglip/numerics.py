"""Array types, and the few formulas that several modules share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.intp]


def unit_vectors(vectors: npt.NDArray[np.floating[Any]]) -> Floats:
    """Vectors [n, d] scaled to unit length, float64; a zero vector stays zero."""
    rows = np.asarray(vectors, dtype=np.float64)
    unit: Floats = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), np.finfo(np.float64).tiny)
    return unit


def mean_vector(
    vectors: Sequence[npt.NDArray[np.float32]] | npt.NDArray[np.float32],
) -> npt.NDArray[np.float32]:
    """Unit-length mean [d], float32, of unit-length vectors [n, d]: the vector of a series or a study."""
    mean = np.mean(np.asarray(vectors, dtype=np.float64), axis=0)
    unit: npt.NDArray[np.float32] = (mean / max(float(np.linalg.norm(mean)), 1e-12)).astype(np.float32)
    return unit


def sigmoid(logits: Floats) -> Floats:
    """Probability of each logit, computed without overflow."""
    probability: Floats = np.exp(-np.logaddexp(0.0, -logits))
    return probability
