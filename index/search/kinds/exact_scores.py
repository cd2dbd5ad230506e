"""What an exact score is: the inner product of two stored vectors, rounded to float32 only once.

It is a property of the two vectors alone, so every kind of index gives the same scores to the last bit,
whatever the order in which a library adds products up.
"""

from __future__ import annotations

import math

import numpy as np

from medsiglip.index.vectors import Vectors

_CHUNK = 64


def exact_scores(rows: Vectors, queries: Vectors) -> Vectors:
    """The inner products of pairs of float32 [m, d] and [m, d]: the float32 nearest to each, [m]."""
    scores = np.empty(len(rows), np.float32)
    for start in range(0, len(rows), _CHUNK):
        few = slice(start, start + _CHUNK)
        scores[few] = _few_scores(rows[few].astype(np.float64), queries[few].astype(np.float64))
    return scores


def _few_scores(rows: np.ndarray, queries: np.ndarray) -> Vectors:
    # Products of two values of float32 are exact in float64; their sum is not, by at most this (Higham,
    # Accuracy and Stability of Numerical Algorithms, 2nd edition, section 3.1).
    sums = np.einsum("ij,ij->i", rows, queries)
    squares = np.einsum("ij,ij->i", rows, rows) * np.einsum("ij,ij->i", queries, queries)
    error = rows.shape[1] * 2.0**-52 * np.sqrt(squares)
    with np.errstate(over="ignore", invalid="ignore"):
        scores: Vectors = sums.astype(np.float32)
        unsure = (sums - error).astype(np.float32) != (sums + error).astype(np.float32)
    for pair in np.flatnonzero(unsure & np.isfinite(sums)):
        scores[pair] = _rounded((rows[pair] * queries[pair]).tolist())
    return scores


def _rounded(products: list[float]) -> np.float32:
    """The float32 nearest to the exact sum, of two equally near the even one."""
    total = math.fsum(products)
    with np.errstate(over="ignore"):
        nearest = np.float32(total)
    if not np.isfinite(nearest):
        return nearest
    other = np.nextafter(nearest, np.float32(np.inf if total > float(nearest) else -np.inf))
    middle = (float(nearest) + float(other)) / 2
    # The sum was rounded to float64 before: halfway there, its rest decides.
    if total != middle:
        return nearest
    rest = math.fsum([*products, -middle])
    if rest == 0.0:
        return np.float32(middle)
    return max(nearest, other) if rest > 0 else min(nearest, other)
