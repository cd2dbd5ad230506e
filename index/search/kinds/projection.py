"""Short codes of vectors that bound their inner products, so that a search can prove that it missed nothing.

Let the columns of A be orthonormal, y = A'x, z = A'q, and r and s the lengths of what A leaves out of x and
q. Then x.q = y.z + (x - Ay).(q - Az), and by Cauchy and Schwarz x.q <= y.z + r s, which is the inner product
of the codes (y, r) and (z, s). The more of the vectors' length the axes hold, the tighter the bound.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medsiglip.index.vectors import Vectors

_CHUNK = 4096


@dataclass(frozen=True, slots=True, eq=False)
class Projection:
    """`axes` is float64 [d, p] with orthonormal columns; a code has p + 1 values."""

    axes: NDArray[np.float64]

    @property
    def width(self) -> int:
        """The number of values of a code."""
        return int(self.axes.shape[1]) + 1

    def codes(self, vectors: Vectors) -> NDArray[np.float64]:
        """The codes of vectors [n, d], float64 [n, p + 1]: their coordinates, and the length of the rest.

        In float64, because the length of the rest is the root of a small difference.
        """
        found = np.empty((len(vectors), self.width), np.float64)
        for start in range(0, len(vectors), _CHUNK):
            rows = vectors[start : start + _CHUNK].astype(np.float64)
            inside = rows @ self.axes
            rest = np.einsum("ij,ij->i", rows, rows) - np.einsum("ij,ij->i", inside, inside)
            found[start : start + _CHUNK, :-1] = inside
            found[start : start + _CHUNK, -1] = np.sqrt(np.maximum(rest, 0.0))
        return found


def narrowed(codes: NDArray[np.float64], width: int) -> NDArray[np.float64]:
    """The codes by fewer axes, [n, width], of codes [n, p + 1], width <= p + 1."""
    others = codes[:, width - 1 :]
    rest = np.sqrt(np.einsum("ij,ij->i", others, others))
    return np.concatenate([codes[:, : width - 1], rest[:, None]], axis=1)


def principal_axes(rows: Vectors, queries: Vectors, count: int) -> NDArray[np.float64]:
    """The first `count` orthonormal axes, float64 [d, min(count, d)], in the order of the length that they
    hold of both rows and queries.

    The second moments are not centred: an inner product has the mean in it. Rows and queries weigh the same,
    because what the axes leave out of either loosens the bound.
    """
    moment = np.zeros((rows.shape[1],) * 2, np.float64)
    for sample in (rows, queries):
        if len(sample):
            moment += (sample.T @ sample).astype(np.float64) / len(sample)
    _, axes = np.linalg.eigh(moment)
    # eigh is exact to about 1e-15 in float64; QR makes the columns orthonormal to the last bit.
    return np.linalg.qr(axes[:, ::-1][:, :count])[0]
