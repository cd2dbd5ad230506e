"""Medical image and text embeddings with MedSigLIP: archives of cases, their HTTP service, and the model.

    from medsiglip import Archive, Client, Encoder, open_checkpoint

    with Archive("~/archive") as archive:
        archive.ingest(["~/dicom"])
        print(archive.search(text="right pneumothorax").hits[0].score)

    with Client("http://127.0.0.1:8000", api_key="msk_...") as client:
        print(client.classify("case.dcm", prompts="chest-xray").best)

    encoder = Encoder(open_checkpoint("tiny"))

Names are imported when first used: `Client` needs httpx and pydantic alone, and opening a checkpoint does not
load torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from medsiglip.api.archive.archive import Archive
    from medsiglip.checkpoint import Checkpoint, open_checkpoint
    from medsiglip.client.client import Client
    from medsiglip.encoder import Encoder
    from medsiglip.errors import ModelError
    from medsiglip.ingest.workers.render_files import render_files
    from medsiglip.preprocess import PROFILES, to_model_input
    from medsiglip.tokenizer import Tokenizer

__all__ = [
    "PROFILES",
    "Archive",
    "Checkpoint",
    "Client",
    "Encoder",
    "ModelError",
    "Tokenizer",
    "open_checkpoint",
    "render_files",
    "to_model_input",
]

_MODULES = {
    "PROFILES": "preprocess",
    "Archive": "api.archive.archive",
    "Checkpoint": "checkpoint",
    "Client": "client.client",
    "Encoder": "encoder",
    "ModelError": "errors",
    "Tokenizer": "tokenizer",
    "open_checkpoint": "checkpoint",
    "render_files": "ingest.workers.render_files",
    "to_model_input": "preprocess",
}


def __getattr__(name: str) -> object:
    module = _MODULES.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{module}"), name)
