"""A SigLIP checkpoint of a given size with random weights of a fixed seed: as fast as a trained one."""

from pathlib import Path
from typing import Any

from medsiglip.architecture import read_architecture, tensor_shapes
from medsiglip.checkpoint import TINY, Checkpoint, open_checkpoint
from medsiglip.checkpoint_writer import save_checkpoint


def write_checkpoint(folder: Path, *, width: int, layers: int, image_size: int) -> Checkpoint:
    """Write a model of patches of 16 x 16 pixels with heads of 64, its text tower as small as that of
    `tiny`.
    """
    tower = {"hidden_act": "gelu_pytorch_tanh", "num_attention_heads": width // 64}
    vision = {**tower, "hidden_size": width, "intermediate_size": 4 * width, "num_hidden_layers": layers}
    text = {"hidden_size": 64, "intermediate_size": 256, "num_hidden_layers": 2, "num_attention_heads": 1}
    config = {
        "model_type": "siglip",
        "vision_config": {**vision, "image_size": image_size, "patch_size": 16},
        "text_config": {**text, "projection_size": width, "vocab_size": 1224, "max_position_embeddings": 64},
    }
    return write_random(folder, config)


def write_random(folder: Path, config: dict[str, Any]) -> Checkpoint:
    """Write a model of any size, by its `config.json`, with the tokenizer of `tiny`."""
    import torch

    generator = torch.Generator().manual_seed(0)
    tensors = {
        name: torch.randn(shape, generator=generator) * 0.02
        if len(shape) > 1
        else torch.full(shape, float("norm" in name and name.endswith("weight")))
        for name, shape in tensor_shapes(read_architecture(config, "config")).items()
    }
    save_checkpoint(folder, config, tensors, TINY / "spiece.model")
    return open_checkpoint(str(folder))
