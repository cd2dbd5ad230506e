"""Muon in float32.

PyTorch's own computes in bfloat16, which processors without such instructions do ten times slower.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch

MOMENTUM = 0.95
# Jordan et al. 2024, "Muon: An optimizer for hidden layers in neural networks": five steps of a quintic
# Newton-Schulz iteration with the steepest slope at zero.
COEFFICIENTS = (3.4445, -4.7750, 2.0315)
STEPS = 5


class Muon(torch.optim.Optimizer):
    """Steps of matrices are their momentum made nearly orthogonal, as large as AdamW's (arXiv 2502.16982,
    section 2.2). Takes matrices alone; ones of equal shape are computed together.
    """

    def __init__(
        self, params: Iterable[torch.nn.Parameter], *, lr: float = 1e-3, weight_decay: float = 0.1
    ) -> None:
        matrices = list(params)
        if any(matrix.ndim != 2 for matrix in matrices):
            raise ValueError("Muon takes matrices; give other parameters to another optimizer.")
        super().__init__(matrices, {"lr": lr, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """Move every matrix that has a gradient."""
        for group in self.param_groups:
            alike: dict[torch.Size, list[torch.nn.Parameter]] = {}
            for matrix in group["params"]:
                if matrix.grad is not None:
                    alike.setdefault(matrix.shape, []).append(matrix)
            for shape, matrices in alike.items():
                scale = 0.2 * math.sqrt(max(shape)) * group["lr"]
                directions = orthogonalised(torch.stack([self._momentum(matrix) for matrix in matrices]))
                for matrix, direction in zip(matrices, directions, strict=True):
                    matrix.mul_(1 - group["lr"] * group["weight_decay"])
                    matrix.add_(direction, alpha=-scale)

    def _momentum(self, matrix: torch.nn.Parameter) -> torch.Tensor:
        """The gradient looked ahead along its running mean (Nesterov)."""
        gradient = matrix.grad
        assert gradient is not None
        state = self.state[matrix]
        mean = state.setdefault("momentum_buffer", torch.zeros_like(gradient))
        mean.lerp_(gradient, 1 - MOMENTUM)
        return gradient.lerp(mean, MOMENTUM)


def orthogonalised(matrices: torch.Tensor) -> torch.Tensor:
    """Matrices [n, a, b] with their singular values brought near 1, all in one batch."""
    tall = matrices.shape[1] > matrices.shape[2]
    x = matrices.float().mT if tall else matrices.float()
    x = x / x.norm(dim=(1, 2), keepdim=True).clamp(min=1e-7)
    a, b, c = COEFFICIENTS
    for _ in range(STEPS):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.mT if tall else x
