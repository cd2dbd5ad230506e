"""Our towers against transformers' `SiglipModel`: the same weights must give the same embeddings."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from medsiglip.architecture import tensor_shapes
from medsiglip.checkpoint import open_checkpoint, read_weights
from medsiglip.encoder import Encoder
from medsiglip.model import hugging_face_weights, load_model

TOLERANCE = 1e-5
VISION_14 = {
    "hidden_size": 48,
    "intermediate_size": 179,
    "num_hidden_layers": 3,
    "num_attention_heads": 3,
    "image_size": 56,
    "patch_size": 14,
}
TEXT_14 = {
    "hidden_size": 40,
    "intermediate_size": 149,
    "num_hidden_layers": 3,
    "num_attention_heads": 5,
    "max_position_embeddings": 16,
    "projection_size": 48,
}
VISION_16 = {
    "hidden_size": 64,
    "intermediate_size": 256,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "image_size": 64,
    "patch_size": 16,
}
TEXT_16 = {
    "hidden_size": 64,
    "intermediate_size": 256,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 64,
}
SHAPES: dict[str, tuple[dict[str, Any], dict[str, Any], dict[str, Any]]] = {
    "patch 14, odd heads, MLP no multiple of the width": (VISION_14, TEXT_14, {}),
    "patch 16": (VISION_16, TEXT_16, {}),
    "remainder beyond the last patch, other epsilon": (
        {**VISION_14, "image_size": 60, "layer_norm_eps": 1e-4},
        {**TEXT_14, "layer_norm_eps": 1e-3},
        {},
    ),
    "exact GELU in one tower": ({**VISION_14, "hidden_act": "gelu"}, TEXT_14, {}),
    "shards": (VISION_14, TEXT_14, {"max_shard_size": "60KB"}),
    "bfloat16 file": (VISION_14, TEXT_14, {"dtype": torch.bfloat16}),
    "float16 file": (VISION_16, TEXT_16, {"dtype": torch.float16}),
}


def model_inputs(model: Any) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    rng = np.random.default_rng(1)
    side = model.config.vision_config.image_size
    images = rng.integers(0, 256, (5, side, side, 3), dtype=np.uint8)
    text = model.config.text_config
    tokens = rng.integers(0, text.vocab_size, (7, text.max_position_embeddings))
    tokens[3:, 5:] = 1
    return images, tokens


def reference(model: Any, images: npt.NDArray[np.uint8], tokens: npt.NDArray[np.int64]) -> Any:
    pixels = (torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255 - 0.5) / 0.5
    with torch.inference_mode():
        return model(pixel_values=pixels, input_ids=torch.from_numpy(tokens))


def text_embeddings(encoder: Encoder, tokens: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
    with torch.inference_mode():
        features = load_model(encoder.checkpoint).text(torch.from_numpy(tokens))
        return torch.nn.functional.normalize(features, dim=-1).numpy()


@pytest.mark.parametrize("name", SHAPES)
def test_embeddings_and_logits_equal_transformers(
    name: str, tmp_path: Path, write_siglip: Callable[..., Any]
) -> None:
    vision, text, saving = SHAPES[name]
    model = write_siglip(tmp_path, vision, text, **saving)
    if "max_shard_size" in saving:
        assert len(list(tmp_path.glob("model-*.safetensors"))) > 2
    images, tokens = model_inputs(model)
    theirs = reference(model, images, tokens)

    encoder = Encoder(open_checkpoint(str(tmp_path)), device="cpu")
    image_vectors, text_vectors = encoder.encode_images(images), text_embeddings(encoder, tokens)

    np.testing.assert_allclose(image_vectors, theirs.image_embeds, rtol=0, atol=TOLERANCE)
    np.testing.assert_allclose(text_vectors, theirs.text_embeds, rtol=0, atol=TOLERANCE)
    logits = image_vectors @ text_vectors.T * encoder.logit_scale + encoder.logit_bias
    np.testing.assert_allclose(logits, theirs.logits_per_image, rtol=0, atol=1e-4)


@pytest.mark.parametrize("tower", ["vision_config", "text_config"])
def test_exact_gelu_would_be_noticed(tower: str, tmp_path: Path, small_siglip: tuple[Path, Any]) -> None:
    folder, model = small_siglip
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    config = json.loads((tmp_path / "config.json").read_text())
    assert config[tower]["hidden_act"] == "gelu_pytorch_tanh"
    config[tower]["hidden_act"] = "gelu"
    (tmp_path / "config.json").write_text(json.dumps(config))
    images, tokens = model_inputs(model)
    theirs = reference(model, images, tokens)

    encoder = Encoder(open_checkpoint(str(tmp_path)), device="cpu")
    image_error = np.abs(encoder.encode_images(images) - theirs.image_embeds.numpy()).max()
    text_error = np.abs(text_embeddings(encoder, tokens) - theirs.text_embeds.numpy()).max()

    changed, unchanged = (image_error, text_error) if tower == "vision_config" else (text_error, image_error)
    assert changed > 3 * TOLERANCE
    assert unchanged <= TOLERANCE


def test_tensor_shapes_are_those_transformers_writes(small_siglip: tuple[Path, Any]) -> None:
    folder, model = small_siglip
    written = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    assert tensor_shapes(open_checkpoint(str(folder)).architecture) == written


def test_weights_round_trip(small_siglip: tuple[Path, Any]) -> None:
    checkpoint = open_checkpoint(str(small_siglip[0]))
    before = read_weights(checkpoint)
    after = hugging_face_weights(load_model(checkpoint))
    assert after.keys() == before.keys()
    for name, tensor in before.items():
        assert torch.equal(after[name], tensor), name


def test_every_weight_has_a_place(small_siglip: tuple[Path, Any]) -> None:
    towers = load_model(open_checkpoint(str(small_siglip[0])))
    assert not any(parameter.is_meta for parameter in towers.parameters())
    assert not any(buffer.is_meta for buffer in towers.buffers())
    assert not any(parameter.requires_grad for parameter in towers.parameters())
