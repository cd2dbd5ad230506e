"""The rows that probes are fitted on, and the metric in which they are fitted."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from medsiglip.numerics import Floats

if TYPE_CHECKING:
    import torch

Numbers = npt.NDArray[np.floating[Any]]
"""float32 or float64."""
Singles = npt.NDArray[np.float32]

_PRECISE_SIZE = 1_500_000
"""Up to so many components the rows are kept in float64, which then costs little."""
_GPU_SIZE = 20_000_000
"""From so many components a GPU is worth the loading of torch."""


@dataclass(frozen=True, slots=True)
class Basis:
    """Centred rows [n, r] of `vectors` [n, d] and the metric of their products: `principal` [r, r] are the
    eigenvectors and `squares` [r] the eigenvalues of `rows.T @ rows`. Coefficients `w` [r] are `axes @ w` for
    the vectors if r is less than d; else `axes` is None. `on_gpu` are the same rows there, or None.
    """

    vectors: Numbers
    rows: Numbers
    mean: Floats
    principal: Singles
    squares: Floats
    axes: Floats | None
    on_gpu: "GpuRows | None" = None

    @staticmethod
    def of(vectors: Numbers, device: str | None = None) -> "Basis":
        """The basis of vectors [n, d]; r is at most the smaller of n and d.

        `device` is `cpu` or a name of torch's; None is a GPU where there is one and the rows are many.
        """
        axes = None
        precise = vectors.size <= _PRECISE_SIZE
        mean = vectors.mean(axis=0, dtype=np.float64)
        if len(vectors) < vectors.shape[1]:
            centred: Floats = vectors - mean
            axes = np.linalg.qr(centred.T)[0]
            rows: Numbers = centred @ axes
            rows = rows if precise else rows.astype(np.float32)
        elif precise:
            rows = vectors - mean
        else:
            rows = np.empty(vectors.shape, dtype=np.float32)
            np.subtract(vectors, mean, out=rows, casting="same_kind")
        device = device or _device(rows.size)
        if device != "cpu":
            on_gpu = GpuRows.of(rows.astype(np.float32), device)
            return Basis(vectors, rows, mean, *on_gpu.metric(), axes, on_gpu)
        return Basis(vectors, rows, mean, *_metric(rows), axes)

    def forward(self, coef: Numbers) -> Numbers:
        """Logits [n, m] of coefficients [r, m], without the intercept, in the precision of the rows."""
        if self.on_gpu is not None:
            return self.on_gpu.forward(coef)
        logits: Numbers = self.rows @ coef.astype(self.rows.dtype, copy=False)
        return logits

    def backward(self, residual: Numbers) -> Floats:
        """Sums over the rows [r, m] of residuals [n, m]."""
        if self.on_gpu is not None:
            return self.on_gpu.backward(residual)
        sums: Floats = (self.rows.T @ residual).astype(np.float64, copy=False)
        return sums

    def scaled(self, gradient: Singles, scale: Singles) -> Singles:
        """Gradients [r, m] divided by `scale` [r, m] along the principal axes."""
        along = self.principal.T @ gradient
        along /= scale
        scaled: Singles = self.principal @ along
        return scaled

    def precise(self) -> "Basis":
        """The same with rows in float64."""
        if self.rows.dtype == np.float64 and self.on_gpu is None:
            return self
        rows: Floats = self.vectors - self.mean
        if self.axes is not None:
            rows = rows @ self.axes
        return Basis(self.vectors, rows, self.mean, self.principal, self.squares, self.axes)

    def in_vectors(self, inner: Floats) -> Floats:
        """Coefficients [m, d] for the vectors, of coefficients [r, m]."""
        coef: Floats = (inner if self.axes is None else self.axes @ inner).T
        return coef


def _metric(rows: Numbers) -> tuple[Singles, Floats]:
    from scipy.linalg import eigh

    squares, principal = eigh(rows.T @ rows, driver="evd", overwrite_a=True, check_finite=False)
    return principal.astype(np.float32, copy=False), np.maximum(squares.astype(np.float64), 0.0)


def _device(size: int) -> str:
    if size < _GPU_SIZE:
        return "cpu"
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


@dataclass(frozen=True, slots=True)
class GpuRows:
    """Rows [n, r], float32, on a device of torch's; what goes in and comes out is numpy's."""

    rows: "torch.Tensor"

    @staticmethod
    def of(rows: Singles, device: str) -> "GpuRows":
        """The rows on `device`. Products there are not shortened to TF32."""
        import torch

        return GpuRows(torch.from_numpy(np.ascontiguousarray(rows)).to(device))

    def metric(self) -> tuple[Singles, Floats]:
        """The eigenvectors and eigenvalues of the products of the columns."""
        import torch

        squares, principal = torch.linalg.eigh(self.rows.T @ self.rows)
        found: Singles = principal.cpu().numpy()
        return found, np.maximum(squares.cpu().numpy().astype(np.float64), 0.0)

    def forward(self, coef: Numbers) -> Singles:
        """As `Basis.forward`."""
        logits: Singles = (self.rows @ self._there(coef)).cpu().numpy()
        return logits

    def backward(self, residual: Numbers) -> Floats:
        """As `Basis.backward`."""
        return (self.rows.T @ self._there(residual)).cpu().numpy().astype(np.float64)

    def _there(self, values: Numbers) -> "torch.Tensor":
        import torch

        return torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32)).to(self.rows.device)
