"""Medical image and text embeddings with MedSigLIP, and the arithmetic on them.

    from medsiglip import Encoder, open_checkpoint, to_model_input

    encoder = Encoder(open_checkpoint("tiny"))
    vectors = encoder.encode_images([to_model_input(picture, encoder.image_size)])

Names are imported when first used, so that opening a checkpoint does not load torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from medsiglip.checkpoint import Checkpoint, open_checkpoint
    from medsiglip.encoder import Encoder
    from medsiglip.errors import ModelError
    from medsiglip.preprocess import PROFILES, to_model_input
    from medsiglip.tokenizer import Tokenizer

__all__ = [
    "PROFILES",
    "Checkpoint",
    "Encoder",
    "ModelError",
    "Tokenizer",
    "open_checkpoint",
    "to_model_input",
]

_HOMES = {
    "PROFILES": "preprocess",
    "Checkpoint": "checkpoint",
    "Encoder": "encoder",
    "ModelError": "errors",
    "Tokenizer": "tokenizer",
    "open_checkpoint": "checkpoint",
    "to_model_input": "preprocess",
}


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{home}"), name)
