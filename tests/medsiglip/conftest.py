"""Checkpoints with random weights, written by transformers itself."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

REPORT_TEXT = (
    "no acute cardiopulmonary abnormality small left pleural effusion right apical pneumothorax enlarged "
    "cardiac silhouette patchy consolidation in the lower lobe spiculated nodule measuring 12 mm axial "
    "non-contrast head CT without haemorrhage T2 hyperintense lesion BI-RADS 4 microcalcifications oedema"
)


@pytest.fixture(scope="session")
def spiece_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SentencePiece model of 300 pieces with SigLIP's special ids, trained on made-up report sentences."""
    from sentencepiece import SentencePieceTrainer

    rng = np.random.default_rng(0)
    sentences = [" ".join(rng.choice(REPORT_TEXT.split(), 9)).lower() for _ in range(400)]
    model = io.BytesIO()
    SentencePieceTrainer.train(
        sentence_iterator=iter(sentences),
        model_writer=model,
        vocab_size=300,
        hard_vocab_limit=False,
        pad_id=0,
        eos_id=1,
        unk_id=2,
        bos_id=-1,
        minloglevel=2,
    )
    path = tmp_path_factory.mktemp("vocabulary") / "spiece.model"
    path.write_bytes(model.getvalue())
    return path


WriteSiglip = Callable[..., Any]


@pytest.fixture(scope="session")
def write_siglip(spiece_path: Path) -> WriteSiglip:
    """Write a random SigLIP to a folder with transformers, and give back transformers' own model of it.

    The weights are larger than usual at the start of training, so that the two forms of GELU differ.
    """

    def write(folder: Path, vision: dict[str, Any], text: dict[str, Any], **saving: Any) -> Any:
        import torch
        from transformers import SiglipConfig, SiglipModel

        dtype = saving.pop("dtype", torch.float32)
        text = {"vocab_size": 400, "bos_token_id": 0, "eos_token_id": 1, **text}
        generator = torch.Generator().manual_seed(0)
        model = SiglipModel(SiglipConfig(vision_config=vision, text_config=text)).eval()
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                noise = torch.randn(parameter.shape, generator=generator)
                fan_in = parameter[0].numel() if parameter.ndim > 1 else 25
                centre = 1.0 if "norm" in name and name.endswith("weight") else 0.0
                parameter.copy_(centre + noise * 2.0 / fan_in**0.5)
            model.logit_scale.copy_(torch.tensor([2.3]))
        model.to(dtype).save_pretrained(folder, **saving)
        (folder / "spiece.model").write_bytes(spiece_path.read_bytes())
        return model.float()

    return write


SMALL_VISION = {
    "hidden_size": 48,
    "intermediate_size": 179,
    "num_hidden_layers": 3,
    "num_attention_heads": 3,
    "image_size": 56,
    "patch_size": 14,
}
SMALL_TEXT = {
    "hidden_size": 40,
    "intermediate_size": 149,
    "num_hidden_layers": 3,
    "num_attention_heads": 5,
    "max_position_embeddings": 16,
    "projection_size": 48,
}


@pytest.fixture(scope="session")
def small_siglip(write_siglip: WriteSiglip, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """Folder and transformers model of one small checkpoint; tests that change the folder copy it first."""
    folder = tmp_path_factory.mktemp("small-siglip")
    return folder, write_siglip(folder, SMALL_VISION, SMALL_TEXT)
