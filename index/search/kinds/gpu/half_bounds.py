"""Vectors in float16, and a bound on how far an inner product of two of them is from that of the vectors.

Let h(x) be x in float16. Then x.q - h(x).h(q) = x.(q - h(q)) + (x - h(x)).h(q), of which the absolute value
is at most |x| |q - h(q)| + |x - h(x)| |h(q)| (Cauchy and Schwarz). All four lengths are known. To this comes
the device's own rounding of h(x).h(q). Its products are exact in float32: eleven bits by eleven are 22.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medsiglip.index.vectors import Vectors

# Of one more than float64 rounds off in a length.
_UP = 1.0 + 1e-9
# Scores of an answer are rounded to float32: half a unit in the last place of 1, twice.
_SCORE = 2.0**-23


def summation(dimension: int) -> float:
    """A bound on the error of a sum of products in float32, of vectors of at most unit length.

    Tensor cores add some products at a time, each cut off rather than rounded, with no or a few more bits
    than float32 (Fasi, Higham, Mikaitis and Pranesh, Numerical behavior of NVIDIA tensor cores, PeerJ
    Computer Science 2021, section 4): each addend errs by at most 2^-23 of the largest, and the sum so far is
    an addend of each block as well, so that there are fewer than two addends for each value.
    """
    return (2 * dimension + 4) * 2.0**-23


def half(vectors: Vectors) -> Vectors:
    """Vectors rounded to float16, as float32, in which FAISS takes them."""
    return np.ascontiguousarray(vectors.astype(np.float16), np.float32)


@dataclass(frozen=True, slots=True)
class Rounding:
    """Of some rows: an upper bound of their length, and of the length of what float16 takes off a row."""

    longest: float = 0.0
    error: float = 0.0

    def with_rows(self, rows: Vectors, halves: Vectors) -> Rounding:
        """Of these rows as well, float32 [m, d]; `halves` are they in float16."""
        if not len(rows):
            return self
        return Rounding(
            max(self.longest, float(_lengths(rows).max())),
            max(self.error, float(_lengths(rows.astype(np.float64) - halves).max())),
        )

    def slack(self, queries: Vectors, halves: Vectors) -> NDArray[np.float64]:
        """How far a score of the device is at most from the true one, rounded to float32 as answers are, for
        each query [q]; `halves` are the queries in float16.
        """
        rounded = _lengths(queries.astype(np.float64) - halves)
        length = _lengths(halves)
        device = summation(halves.shape[1]) * length * (self.longest + self.error)
        return rounded * self.longest + length * self.error + device + _SCORE


def _lengths(rows: NDArray[np.floating]) -> NDArray[np.float64]:
    wide = rows.astype(np.float64)
    lengths: NDArray[np.float64] = np.sqrt(np.einsum("ij,ij->i", wide, wide)) * _UP
    return lengths
