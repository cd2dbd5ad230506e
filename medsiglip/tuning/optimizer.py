"""The optimizers of tuning and their learning-rate schedule."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch

from medsiglip.tuning.options import OptimizerName

MOMENTUM = 0.95
# Jordan et al. 2024, "Muon: An optimizer for hidden layers in neural networks": five steps of a quintic
# Newton-Schulz iteration with the steepest slope at zero.
COEFFICIENTS = (3.4445, -4.7750, 2.0315)
STEPS = 5


def make_optimizers(
    module: torch.nn.Module, name: OptimizerName, *, learning_rate: float, weight_decay: float
) -> list[torch.optim.Optimizer]:
    """AdamW for everything, or Muon for the matrices inside the transformers and AdamW for the rest.

    Muon (Jordan et al. 2024; scaled to AdamW's step as in arXiv 2502.16982) learns from far fewer samples
    when training starts from random weights. Weight decay is on matrices alone, not on biases, norms,
    temperature or logit bias.
    """
    trained = [(key, p) for key, p in module.named_parameters() if p.requires_grad]
    inner = [
        p
        for key, p in trained
        if name == "muon"
        and p.ndim == 2
        and not key.endswith(("token_embedding.weight", "caption_table.weight"))
    ]
    taken = {id(p) for p in inner}
    matrices = [p for _, p in trained if p.ndim > 1 and id(p) not in taken]
    others = [p for _, p in trained if p.ndim <= 1]
    groups: list[dict[str, Any]] = [
        {"params": matrices, "weight_decay": weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    optimizers: list[torch.optim.Optimizer] = [torch.optim.AdamW(groups, lr=learning_rate, betas=(0.9, 0.95))]
    if inner:
        optimizers.append(Muon(inner, lr=learning_rate, weight_decay=weight_decay))
    return optimizers


def set_learning_rate(optimizers: Iterable[torch.optim.Optimizer], rate: float) -> None:
    """Set the rate of every parameter group."""
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = rate


def warmup_cosine(step: int, steps: int, warmup: float) -> float:
    """Share of the rate at `step` of `steps`: rises over the share `warmup`, falls as a cosine to 0."""
    rising = max(1, round(warmup * steps))
    if step < rising:
        return (step + 1) / rising
    return 0.5 * (1 + math.cos(math.pi * (step - rising) / max(1, steps - rising)))


class Muon(torch.optim.Optimizer):
    """Muon in float32: PyTorch's own computes in bfloat16, which is ten times slower on processors without
    it.

    The step of a matrix is its momentum made nearly orthogonal, as large as AdamW's (arXiv 2502.16982,
    section 2.2). Takes matrices only; matrices of equal shape are computed together.
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
                directions = orthogonalise(torch.stack([self._momentum(matrix) for matrix in matrices]))
                for matrix, direction in zip(matrices, directions, strict=True):
                    matrix.mul_(1 - group["lr"] * group["weight_decay"])
                    matrix.add_(direction, alpha=-scale)

    def _momentum(self, matrix: torch.nn.Parameter) -> torch.Tensor:
        """The gradient with Nesterov momentum."""
        gradient = matrix.grad
        assert gradient is not None
        state = self.state[matrix]
        mean = state.setdefault("momentum_buffer", torch.zeros_like(gradient))
        mean.lerp_(gradient, 1 - MOMENTUM)
        return gradient.lerp(mean, MOMENTUM)


def orthogonalise(matrices: torch.Tensor) -> torch.Tensor:
    """Matrices [n, a, b] with their singular values brought near 1, all in one batch."""
    tall = matrices.shape[1] > matrices.shape[2]
    x = matrices.float().mT if tall else matrices.float()
    x = x / x.norm(dim=(1, 2), keepdim=True).clamp(min=1e-7)
    a, b, c = COEFFICIENTS
    for _ in range(STEPS):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.mT if tall else x
