"""Our towers against transformers at the full size of MedSigLIP: So400m, 448 pixels, patch 14.

A campaign of its own: random weights of 3.5 GB are written, read and compared.
"""

from __future__ import annotations

import gc
import json
import resource
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from medsiglip.checkpoint import open_checkpoint
from medsiglip.encoder import Encoder
from medsiglip.model import load_model

VISION = {
    "hidden_size": 1152,
    "intermediate_size": 4304,
    "num_hidden_layers": 27,
    "num_attention_heads": 16,
    "image_size": 448,
    "patch_size": 14,
}
TEXT = {
    "hidden_size": 1152,
    "intermediate_size": 4304,
    "num_hidden_layers": 27,
    "num_attention_heads": 16,
    "vocab_size": 32000,
}


@pytest.fixture
def large_folder(tmp_path: Path) -> Iterator[Path]:
    """A folder that does not stay behind: pytest keeps the folders of its last runs."""
    yield tmp_path
    shutil.rmtree(tmp_path)


@pytest.mark.campaign
def test_full_size_embeddings_equal_transformers(
    large_folder: Path, write_siglip: Callable[..., Any], capsys: pytest.CaptureFixture[str]
) -> None:
    rng = np.random.default_rng(3)
    images = rng.integers(0, 256, (2, 448, 448, 3), dtype=np.uint8)
    tokens = torch.from_numpy(rng.integers(0, 32000, (4, 64)))
    tokens[2:, 20:] = 1
    figures: dict[str, float] = {}

    model = write_siglip(large_folder, VISION, TEXT)
    pixels = (torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255 - 0.5) / 0.5
    with torch.inference_mode():
        started = time.perf_counter()
        their_images = torch.nn.functional.normalize(model.get_image_features(pixels).pooler_output, dim=-1)
        figures["transformers, seconds per image"] = (time.perf_counter() - started) / len(images)
        their_texts = torch.nn.functional.normalize(model.get_text_features(tokens).pooler_output, dim=-1)
    del model
    gc.collect()

    started = time.perf_counter()
    checkpoint = open_checkpoint(str(large_folder), hash_cache=large_folder / "hashes.json")
    figures["open and hash, seconds"] = time.perf_counter() - started
    started = time.perf_counter()
    assert open_checkpoint(str(large_folder), hash_cache=large_folder / "hashes.json").hash == checkpoint.hash
    figures["open again, seconds"] = time.perf_counter() - started
    started = time.perf_counter()
    encoder = Encoder(checkpoint, device="cpu")
    figures["load, seconds"] = time.perf_counter() - started
    started = time.perf_counter()
    our_images = encoder.encode_images(images)
    figures["ours, seconds per image"] = (time.perf_counter() - started) / len(images)
    del encoder
    gc.collect()
    with torch.inference_mode():
        our_texts = torch.nn.functional.normalize(load_model(checkpoint).text(tokens), dim=-1).numpy()
    figures["peak memory of the process, GiB"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20

    figures["largest image difference"] = float(np.abs(our_images - their_images.numpy()).max())
    figures["largest text difference"] = float(np.abs(our_texts - their_texts.numpy()).max())
    figures["cosine between the two images"] = float(our_images[0] @ our_images[1])
    with capsys.disabled():
        print("\n" + json.dumps(figures, indent=2))
    np.testing.assert_allclose(our_images, their_images, rtol=0, atol=1e-5)
    np.testing.assert_allclose(our_texts, their_texts, rtol=0, atol=1e-5)
