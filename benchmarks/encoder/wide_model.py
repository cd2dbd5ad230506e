"""The image tower of MedSigLIP at its full width with two of its 27 layers, its weights random."""

from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks.random_checkpoint import write_random
from medsiglip.architecture import Architecture
from medsiglip.checkpoint import Checkpoint

LAYERS, IMAGE_SIZE = 2, 448
_VISION = {
    "hidden_act": "gelu_pytorch_tanh",
    "hidden_size": 1152,
    "intermediate_size": 4304,
    "num_attention_heads": 16,
    "num_hidden_layers": LAYERS,
    "image_size": IMAGE_SIZE,
    "patch_size": 14,
}
_TEXT = {
    "hidden_act": "gelu_pytorch_tanh",
    "hidden_size": 64,
    "intermediate_size": 256,
    "num_hidden_layers": 1,
    "num_attention_heads": 1,
    "projection_size": 1152,
    "vocab_size": 1224,
    "max_position_embeddings": 64,
}


def write_wide_model(folder: Path) -> Checkpoint:
    """A checkpoint in Hugging Face's layout, with weights of a fixed seed: as fast as trained ones."""
    config = {"model_type": "siglip", "vision_config": _VISION, "text_config": _TEXT}
    return write_random(folder, config)


def images(count: int) -> npt.NDArray[np.uint8]:
    """Model inputs uint8 [n, 448, 448, 3], smooth with noise, from a seed."""
    draw = np.random.default_rng(0)
    coarse = draw.integers(0, 200, (count, 14, 14, 3), np.uint8).repeat(32, axis=1).repeat(32, axis=2)
    noisy: npt.NDArray[np.uint8] = coarse + draw.integers(0, 56, coarse.shape, np.uint8)
    return noisy


def matrix_flops(architecture: Architecture) -> int:
    """Floating-point operations of the matrix products of one image: patches, layers, attention pooling."""
    tower, n = architecture.vision, architecture.patches
    width, mlp = tower.width, tower.mlp_width
    patches = 2 * n * width * 3 * architecture.patch_size**2
    layer = 2 * n * width * (4 * width + 2 * mlp) + 4 * n * n * width
    pooling = 2 * n * width * 2 * width + 4 * n * width + 2 * width * (2 * width + 2 * mlp)
    return patches + tower.layers * layer + pooling


def least_cosine(one: npt.NDArray[np.float32], other: npt.NDArray[np.float32]) -> float:
    """The least cosine of unit vectors [n, d] row by row."""
    return float((one * other).sum(axis=1).min())
