"""The optimizers of tuning and their learning-rate schedule."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, Literal

import torch

from medsiglip.tuning.muon import Muon

OptimizerName = Literal["adamw", "muon"]


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
