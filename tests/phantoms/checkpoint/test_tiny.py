"""The bundled demonstration model: what it promises, on phantoms that it has not seen."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from medsiglip.checkpoint import TINY, open_checkpoint
from medsiglip.encoder import Encoder
from medsiglip.phantoms.catalogue import ANATOMIES, anatomy
from medsiglip.phantoms.checkpoint.figures import Figures, measure
from medsiglip.phantoms.checkpoint.make_checkpoint import MEASURING_SEED
from medsiglip.phantoms.checkpoint.tuning_set import TuningSetOptions, render_studies

SEED = 31_337


@pytest.fixture(scope="module")
def encoder() -> Encoder:
    return Encoder(open_checkpoint("tiny"), device="cpu")


@pytest.fixture(scope="module")
def figures(encoder: Encoder) -> Figures:
    options = TuningSetOptions(240, SEED, encoder.image_size, images=1000, workers=1)
    return measure(encoder, render_studies(options))


@pytest.mark.long
def test_every_finding_is_measured(figures: Figures) -> None:
    findings = {f"{name}/{finding}" for name in ANATOMIES for finding in anatomy(name).FINDINGS}
    assert figures.zero_shot.keys() == findings == figures.probe.keys()
    assert figures.studies == 240


@pytest.mark.long
def test_zero_shot_over_all_findings(figures: Figures) -> None:
    assert np.mean(list(figures.zero_shot.values())) >= 0.95


@pytest.mark.long
def test_zero_shot_of_the_worst_finding(figures: Figures) -> None:
    assert min(figures.zero_shot.values()) >= 0.85, figures.zero_shot


@pytest.mark.long
def test_retrieval(figures: Figures) -> None:
    assert figures.retrieval["precision_at_5"] >= 0.90


@pytest.mark.long
def test_linear_probe(figures: Figures) -> None:
    assert np.mean(list(figures.probe.values())) >= 0.97


def test_folder_is_small_and_says_what_it_is() -> None:
    checkpoint = open_checkpoint("tiny")
    assert checkpoint.is_demonstration
    assert sum(path.stat().st_size for path in TINY.iterdir()) <= 10_000_000
    card = (TINY / "README.md").read_text()
    assert "Not a medical device" in card
    recorded = json.loads((TINY / "figures.json").read_text())
    assert recorded["measured_on"]["seed"] == MEASURING_SEED != recorded["trained_on"]["seed"] != SEED
    assert f"{recorded['zero_shot']['macro_auroc']:.3f}" in card
    assert f"{recorded['retrieval']['precision_at_5']:.3f}" in card
    assert f"{recorded['probe']['macro_auroc']:.3f}" in card


def test_transformers_gives_the_same_vectors(encoder: Encoder) -> None:
    import torch
    from transformers import SiglipModel

    model: Any = SiglipModel.from_pretrained(TINY, dtype=torch.float32)
    model.eval()
    size = encoder.image_size
    pictures = np.random.default_rng(0).integers(0, 256, (4, size, size, 3)).astype(np.uint8)
    texts = ["pleural effusion", "No lung nodule.", "mammogram with calcifications", "MELANOMA"]
    pixels = torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 127.5 - 1
    with torch.no_grad():
        images = model.vision_model(pixels).pooler_output
        words = model.text_model(torch.from_numpy(encoder.tokenizer(texts))).pooler_output
    for theirs, ours in (
        (images, encoder.encode_images(pictures)),
        (words, encoder.encode_texts(texts)),
    ):
        np.testing.assert_allclose(torch.nn.functional.normalize(theirs).numpy(), ours, atol=1e-5)
