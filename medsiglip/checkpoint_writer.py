"""Writes SigLIP checkpoints in the Hugging Face layout: what `transformers` and `open_checkpoint` read.

A folder holds `config.json`, `model.safetensors`, `spiece.model`, `tokenizer_config.json` and
`preprocessor_config.json`. Tensors carry Hugging Face's names, see `architecture.tensor_shapes`.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from medsiglip.errors import ModelError

WEIGHTS = "model.safetensors"
VOCABULARY = "spiece.model"


def prepare_folder(folder: Path) -> None:
    """Make `folder`, or accept an empty one. Raises ModelError `folder-not-empty` or `folder-unwritable`."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        occupied = next(folder.iterdir(), None) is not None
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise ModelError(
            "folder-unwritable", f"{folder} cannot be made or read ({reason}): choose another folder."
        ) from error
    if occupied:
        raise ModelError(
            "folder-not-empty", f"{folder} already holds files: choose a new folder, or empty that one first."
        )


def save_checkpoint(
    folder: Path, config: Mapping[str, Any], tensors: Mapping[str, torch.Tensor], vocabulary: Path
) -> None:
    """Write a whole checkpoint to `folder`; `vocabulary` is the SentencePiece file to copy.

    `tensors` are by Hugging Face name and keep their dtype. Existing files are replaced, the weights last
    and in one step, so that a reader never sees half a file. Raises ModelError `folder-unwritable`.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _write_json(folder / "config.json", config)
        _write_json(folder / "tokenizer_config.json", tokenizer_config(_context_length(config)))
        _write_json(folder / "preprocessor_config.json", preprocessor_config(_image_size(config)))
        if vocabulary.resolve() != (folder / VOCABULARY).resolve():
            shutil.copyfile(vocabulary, folder / VOCABULARY)
        save_weights(folder, tensors)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise ModelError(
            "folder-unwritable", f"{folder} cannot be written ({reason}): free space there."
        ) from error


def save_weights(folder: Path, tensors: Mapping[str, torch.Tensor]) -> None:
    """Replace `model.safetensors` in `folder` in one step."""
    from safetensors.torch import save_file

    partial = folder / f".{WEIGHTS}.partial"
    contiguous = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    save_file(contiguous, partial, metadata={"format": "pt"})
    # safetensors makes files that only their owner can read.
    shutil.copymode(folder / "config.json", partial)
    os.replace(partial, folder / WEIGHTS)


def _write_json(path: Path, value: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")


def _context_length(config: Mapping[str, Any]) -> int:
    return int(config.get("text_config", {}).get("max_position_embeddings", 64))


def _image_size(config: Mapping[str, Any]) -> int:
    return int(config.get("vision_config", {}).get("image_size", 224))


def tokenizer_config(context_length: int) -> dict[str, Any]:
    """Contents of `tokenizer_config.json`: SigLIP pads with `</s>` to the whole context length."""
    return {
        "tokenizer_class": "SiglipTokenizer",
        "processor_class": "SiglipProcessor",
        "model_max_length": context_length,
        "model_input_names": ["input_ids"],
        "do_lower_case": True,
        "eos_token": "</s>",
        "pad_token": "</s>",
        "unk_token": "<unk>",
    }


def preprocessor_config(image_size: int) -> dict[str, Any]:
    """Contents of `preprocessor_config.json`: SigLIP's processor squashes to a square with the bilinear
    filter."""
    return {
        "image_processor_type": "SiglipImageProcessor",
        "processor_class": "SiglipProcessor",
        "do_convert_rgb": True,
        "do_resize": True,
        "size": {"height": image_size, "width": image_size},
        "resample": 2,
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": [0.5, 0.5, 0.5],
        "image_std": [0.5, 0.5, 0.5],
    }
