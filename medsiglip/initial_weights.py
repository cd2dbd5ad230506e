"""Weights of an untrained SigLIP model, chosen so that it learns from few samples."""

from __future__ import annotations

import math

import torch

from medsiglip.architecture import Architecture, Tower, tensor_shapes


def initial_tensors(
    architecture: Architecture, seed: int, *, logit_bias: float = -10.0
) -> dict[str, torch.Tensor]:
    """Weights of an untrained model, float32, by Hugging Face name; the same for the same `seed`.

    The temperature starts at 10. SigLIP's bias of -10 (Zhai et al., arXiv 2303.15343, section 3.2) is made
    for batches of thousands; about -log(batch size) suits small ones. Patches start with a two-dimensional
    sine-cosine position (Beyer et al., Better plain ViT baselines, arXiv 2205.01580), and attention in the
    image tower as it looks in trained models (Trockman and Kolter, Mimetic Initialization of Self-Attention
    Layers, arXiv 2305.09828).
    """
    generator = torch.Generator().manual_seed(seed)
    tensors = {
        name: _initial(name, shape, architecture, generator)
        for name, shape in tensor_shapes(architecture).items()
    }
    tensors["logit_bias"].fill_(logit_bias)
    for layer in range(architecture.vision.layers):
        prefix = f"vision_model.encoder.layers.{layer}.self_attn."
        tensors |= {prefix + key: value for key, value in _mimetic(architecture.vision, generator).items()}
    return tensors


def _initial(
    name: str, shape: tuple[int, ...], architecture: Architecture, generator: torch.Generator
) -> torch.Tensor:
    if name == "logit_scale":
        return torch.full(shape, math.log(10.0))
    if name.startswith("vision_model.embeddings.position"):
        return _sine_cosine(architecture.image_size // architecture.patch_size, shape[1])
    if name.endswith("bias"):
        return torch.zeros(shape)
    if "norm" in name:
        return torch.ones(shape)
    tensor = torch.empty(shape)
    if "embedding" in name and "patch" not in name:
        return tensor.normal_(0.0, 0.02, generator=generator)
    fan_out, fan_in = shape[0], math.prod(shape[1:])
    if name.endswith(("in_proj_weight", "probe")):
        fan_out = fan_in
    limit = math.sqrt(6.0 / (fan_in + fan_out))
    return tensor.uniform_(-limit, limit, generator=generator)


def _mimetic(tower: Tower, generator: torch.Generator) -> dict[str, torch.Tensor]:
    """Attention weights whose query-key product is near 0.7 I and value-output product near -0.4 I."""
    width, size = tower.width, tower.width // tower.heads

    def near_identity(noise: float, diagonal: float) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        matrix = noise * torch.randn(width, width, generator=generator) / math.sqrt(width)
        left, values, right = torch.linalg.svd(matrix + diagonal * torch.eye(width))
        return left, values.sqrt(), right

    left, roots, right = near_identity(0.4, -0.4)
    tensors = {"out_proj.weight": left * roots, "v_proj.weight": roots[:, None] * right}
    queries, keys = [], []
    for _ in range(tower.heads):
        left, roots, right = near_identity(0.7, 0.7)
        queries.append((left[:, :size] * roots[:size]).T)
        keys.append(roots[:size, None] * right[:size])
    return tensors | {"q_proj.weight": torch.cat(queries), "k_proj.weight": torch.cat(keys)}


def _sine_cosine(side: int, width: int) -> torch.Tensor:
    """Positions [side * side, width]: sine and cosine of column and row take a quarter of the width each."""
    quarter = max(1, width // 4)
    frequency = 10000.0 ** -(torch.arange(quarter) / quarter)
    row, column = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    angles = [axis.flatten()[:, None] * frequency for axis in (column, row)]
    table = torch.cat([wave for angle in angles for wave in (angle.sin(), angle.cos())], dim=1)
    return torch.nn.functional.pad(table, (0, max(0, width - table.shape[1])))[:, :width].contiguous()
