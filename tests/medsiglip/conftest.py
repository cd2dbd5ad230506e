"""Checkpoints with random weights, most of them written by transformers itself, ways to damage them, and
pictures to tune on.
"""

from __future__ import annotations

import csv
import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from medsiglip.checkpoint import Checkpoint, open_checkpoint

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
        model = SiglipModel(SiglipConfig(vision_config=vision, text_config=text)).eval()  # type: ignore[no-untyped-call]
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


@pytest.fixture
def folder(tmp_path: Path, small_siglip: tuple[Path, Any]) -> Path:
    """A copy of a good checkpoint, to be damaged."""
    copy = tmp_path / "checkpoint"
    shutil.copytree(small_siglip[0], copy)
    return copy


@pytest.fixture
def sharded(tmp_path: Path, write_siglip: Callable[..., Any]) -> Path:
    small = {"hidden_size": 24, "intermediate_size": 32, "num_attention_heads": 2, "num_hidden_layers": 1}
    write_siglip(tmp_path, small, small, max_shard_size="20KB")
    return tmp_path


def edit_tensors(folder: Path, edit: Callable[[dict[str, Any]], object]) -> None:
    from safetensors.numpy import load_file, save_file

    tensors = load_file(folder / "model.safetensors")
    edit(tensors)
    save_file(tensors, folder / "model.safetensors")


def edit_config(folder: Path, **values: Any) -> None:
    """Set values by dotted path, given as `vision_config__hidden_size=...`; None removes the key."""
    path = folder / "config.json"
    config = json.loads(path.read_text())
    for dotted, value in values.items():
        *sections, key = dotted.split("__")
        target = config
        for section in sections:
            target = target[section]
        if value is None:
            target.pop(key, None)
        else:
            target[key] = value
    path.write_text(json.dumps(config))


SIZE = 16
COLOURS = {
    "red": (220, 30, 30),
    "green": (30, 200, 30),
    "blue": (40, 40, 220),
    "white": (240, 240, 240),
    "yellow": (220, 220, 20),
    "black": (10, 10, 10),
}


def config(vocabulary_size: int) -> dict[str, object]:
    tower = {
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "layer_norm_eps": 1e-6,
    }
    return {
        "model_type": "siglip",
        "vision_config": {**tower, "image_size": SIZE, "patch_size": 8},
        "text_config": {
            **tower,
            "projection_size": 32,
            "vocab_size": vocabulary_size,
            "max_position_embeddings": 16,
        },
    }


@pytest.fixture(scope="session")
def untrained(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    """A fresh model of 30,000 weights with a vocabulary of its own."""
    import sentencepiece

    from medsiglip.architecture import read_architecture
    from medsiglip.checkpoint_writer import save_checkpoint
    from medsiglip.initial_weights import initial_tensors

    folder = tmp_path_factory.mktemp("untrained")
    with (folder / "spiece.model").open("wb") as file:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter([f"a {name} square on a page" for name in COLOURS] * 4),
            model_writer=file,
            vocab_size=60,
            hard_vocab_limit=False,
            pad_id=0,
            eos_id=1,
            unk_id=2,
            bos_id=-1,
            minloglevel=2,
        )
    vocabulary = folder / "spiece.model"
    size = sentencepiece.SentencePieceProcessor(model_file=str(vocabulary)).get_piece_size()
    values = config(size)
    save_checkpoint(folder, values, initial_tensors(read_architecture(values, "config"), 3), vocabulary)
    return open_checkpoint(str(folder))


def write_squares(folder: Path, each: int = 10, *, seed: int = 0, extra: str = "") -> Path:
    """Noisy squares of one colour with captions that name it, two captions for each picture."""
    rng = np.random.default_rng(seed)
    folder.mkdir(exist_ok=True)
    with (folder / "metadata.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "caption", "patient_id"] + ([extra] if extra else []))
        for number in range(each * len(COLOURS)):
            name = list(COLOURS)[number % len(COLOURS)]
            noise = rng.integers(-10, 11, (SIZE, SIZE, 3))
            picture = np.clip(np.array(COLOURS[name]) + noise, 0, 255).astype(np.uint8)
            Image.fromarray(picture).save(folder / f"{number}.png")
            for caption in (f"a {name} square", f"{name} square on a page"):
                row = [f"{number}.png", caption, f"patient {number // 2}"]
                writer.writerow(row + (["val" if number % 5 == 0 else "train"] if extra else []))
    return folder


@pytest.fixture(scope="session")
def squares(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_squares(tmp_path_factory.mktemp("squares"))
