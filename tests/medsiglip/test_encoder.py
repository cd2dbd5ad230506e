"""What an encoder promises about any checkpoint: unit vectors, independence of the batch, clear refusals."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from medsiglip.checkpoint import open_checkpoint
from medsiglip.encoder import Encoder
from medsiglip.errors import ModelError
from medsiglip.preprocess import to_model_input

TEXTS = [
    "normal chest x-ray",
    "a small left pleural effusion",
    "pneumothorax",
    "no acute cardiopulmonary abnormality, heart size is normal, no consolidation and no oedema at all today",
    "nodule",
    "CT",
    "mass in the left breast",
]


@pytest.fixture(scope="module")
def encoder(small_siglip: tuple[Path, Any]) -> Encoder:
    return Encoder(open_checkpoint(str(small_siglip[0])), device="cpu")


@pytest.fixture(scope="module")
def images() -> npt.NDArray[np.uint8]:
    return np.random.default_rng(5).integers(0, 256, (9, 56, 56, 3), dtype=np.uint8)


def test_vectors_are_float32_of_unit_length(encoder: Encoder, images: npt.NDArray[np.uint8]) -> None:
    for vectors, n in ((encoder.encode_images(images), 9), (encoder.encode_texts(TEXTS), 7)):
        assert vectors.shape == (n, encoder.dimension)
        assert vectors.dtype == np.float32
        np.testing.assert_allclose(np.linalg.norm(vectors.astype(np.float64), axis=1), 1, atol=1e-6)


def test_text_embeddings_equal_transformers_from_text_to_vector(
    encoder: Encoder, small_siglip: tuple[Path, Any]
) -> None:
    from transformers import SiglipTokenizer

    folder, model = small_siglip
    tokenizer = SiglipTokenizer(str(folder / "spiece.model"), model_max_length=16)
    tokens = tokenizer(TEXTS, padding="max_length", truncation=True, return_tensors="pt")["input_ids"]
    with torch.inference_mode():
        features = model.get_text_features(tokens).pooler_output
        theirs = torch.nn.functional.normalize(features, dim=-1).numpy()
    np.testing.assert_allclose(encoder.encode_texts(TEXTS), theirs, rtol=0, atol=1e-5)


def test_image_embeddings_equal_transformers_from_picture_to_vector(
    encoder: Encoder, small_siglip: tuple[Path, Any]
) -> None:
    from PIL import Image
    from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil

    picture = np.random.default_rng(2).integers(0, 256, (90, 70, 3), dtype=np.uint8)
    processor = SiglipImageProcessorPil(
        size={"height": 56, "width": 56},
        resample=Image.Resampling.BILINEAR,
        image_mean=[0.5, 0.5, 0.5],
        image_std=[0.5, 0.5, 0.5],
    )
    with torch.inference_mode():
        pixels = processor(Image.fromarray(picture), return_tensors="pt")["pixel_values"]
        features = small_siglip[1].get_image_features(pixels).pooler_output
        theirs = torch.nn.functional.normalize(features, dim=-1).numpy()
    ours = encoder.encode_images([to_model_input(picture, 56, "hf-processor")])
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-5)


@pytest.mark.parametrize("batch_size", [1, 2, 4, 9, 100])
def test_an_item_does_not_depend_on_its_batch(
    encoder: Encoder, images: npt.NDArray[np.uint8], batch_size: int
) -> None:
    batched = Encoder(encoder.checkpoint, device="cpu", batch_size=batch_size)
    alone = np.concatenate([encoder.encode_images(image[None]) for image in images])
    np.testing.assert_allclose(batched.encode_images(images), alone, rtol=0, atol=1e-6)
    alone = np.concatenate([encoder.encode_texts([text]) for text in TEXTS])
    np.testing.assert_allclose(batched.encode_texts(TEXTS), alone, rtol=0, atol=1e-6)


def test_order_of_items_is_kept(encoder: Encoder, images: npt.NDArray[np.uint8]) -> None:
    order = np.random.default_rng(0).permutation(len(images))
    shuffled = encoder.encode_images(images[order])
    np.testing.assert_allclose(shuffled, encoder.encode_images(images)[order], rtol=0, atol=1e-6)
    backwards = encoder.encode_texts(TEXTS[::-1])
    np.testing.assert_allclose(backwards, encoder.encode_texts(TEXTS)[::-1], rtol=0, atol=1e-6)


def test_list_and_array_of_images_are_the_same(encoder: Encoder, images: npt.NDArray[np.uint8]) -> None:
    assert (encoder.encode_images(list(images)) == encoder.encode_images(images)).all()


def test_empty_input(encoder: Encoder) -> None:
    assert encoder.encode_texts([]).shape == (0, 48)
    assert encoder.encode_images([]).shape == (0, 48)
    assert encoder.encode_images(np.zeros((0, 56, 56, 3), np.uint8)).shape == (0, 48)


def test_scale_and_bias_are_those_of_the_file(encoder: Encoder, small_siglip: tuple[Path, Any]) -> None:
    model = small_siglip[1]
    assert encoder.logit_scale == pytest.approx(math.exp(model.logit_scale.item()))
    assert encoder.logit_bias == pytest.approx(model.logit_bias.item())


def test_bfloat16_stays_close_to_float32(encoder: Encoder, images: npt.NDArray[np.uint8]) -> None:
    half = Encoder(encoder.checkpoint, device="cpu", precision="bfloat16")
    for exact, rounded in (
        (encoder.encode_images(images), half.encode_images(images)),
        (encoder.encode_texts(TEXTS), half.encode_texts(TEXTS)),
    ):
        assert rounded.dtype == np.float32
        assert (exact * rounded).sum(axis=1).min() >= 0.999
        assert (exact != rounded).any()


@pytest.mark.parametrize("text", ["", "  \n", "...", "_ _", "!?", "\u200b", "</s>", "\u2581"])
def test_text_without_a_word_is_refused(encoder: Encoder, text: str) -> None:
    with pytest.raises(ModelError, match="Text 1 ") as caught:
        encoder.encode_texts(["nodule", text])
    assert caught.value.code == "empty-text"


@pytest.mark.parametrize("texts", ["nodule", [b"nodule"], ["nodule", None]])
def test_non_text_is_refused(encoder: Encoder, texts: Any) -> None:
    with pytest.raises(ModelError) as caught:
        encoder.encode_texts(texts)
    assert caught.value.code == "bad-text"


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((56, 56), np.uint8),
        np.zeros((3, 56, 56), np.uint8),
        np.zeros((56, 56, 4), np.uint8),
        np.zeros((57, 56, 3), np.uint8),
        np.zeros((56, 56, 3), np.float32),
        np.zeros((56, 56, 3), np.uint16),
        "chest.png",
    ],
    ids=lambda image: f"{getattr(image, 'dtype', type(image))}{getattr(image, 'shape', '')}",
)
def test_wrong_image_is_named(encoder: Encoder, images: npt.NDArray[np.uint8], image: Any) -> None:
    with pytest.raises(ModelError, match="Image 2 ") as caught:
        encoder.encode_images([images[0], images[1], image])
    assert caught.value.code == "bad-image"


def test_single_image_without_a_batch_axis_is_refused(
    encoder: Encoder, images: npt.NDArray[np.uint8]
) -> None:
    with pytest.raises(ModelError) as caught:
        encoder.encode_images(images[0])
    assert caught.value.code == "bad-image"


def test_embedding_that_is_not_finite_names_the_item(tmp_path: Path, small_siglip: tuple[Path, Any]) -> None:
    from safetensors.numpy import load_file, save_file

    shutil.copytree(small_siglip[0], tmp_path, dirs_exist_ok=True)
    weights = load_file(tmp_path / "model.safetensors")
    name = "text_model.embeddings.token_embedding.weight"
    damaged = open_checkpoint(str(tmp_path))
    piece = Encoder(damaged, device="cpu").tokenizer(["nodule"])[0, 0]
    weights[name][piece] = np.nan
    save_file(weights, tmp_path / "model.safetensors")
    with pytest.raises(ModelError, match="text 2;") as caught:
        Encoder(open_checkpoint(str(tmp_path)), device="cpu", batch_size=2).encode_texts(
            ["CT", "mass", "nodule"]
        )
    assert caught.value.code == "not-finite"


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"profile": "medsiglip"}, "unknown-profile"),
        ({"precision": "float16"}, "unknown-precision"),
        ({"device": "tpu9"}, "unknown-device"),
        ({"batch_size": 0}, "bad-batch-size"),
    ],
)
def test_unknown_option_is_refused(encoder: Encoder, options: dict[str, Any], code: str) -> None:
    with pytest.raises(ModelError) as caught:
        Encoder(encoder.checkpoint, **{"device": "cpu", **options})
    assert caught.value.code == code


def test_missing_gpu_is_refused(encoder: Encoder) -> None:
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    assert Encoder(encoder.checkpoint).device.type == "cpu"
    with pytest.raises(ModelError, match="no GPU") as caught:
        Encoder(encoder.checkpoint, device="cuda")
    assert caught.value.code == "unknown-device"


def test_vocabulary_larger_than_the_model_knows_is_refused(
    tmp_path: Path, write_siglip: Callable[..., Any]
) -> None:
    small = {"hidden_size": 24, "intermediate_size": 32, "num_attention_heads": 2, "num_hidden_layers": 1}
    write_siglip(tmp_path, small, {**small, "vocab_size": 50})
    with pytest.raises(ModelError, match=r"spiece\.model") as caught:
        Encoder(open_checkpoint(str(tmp_path)), device="cpu")
    assert caught.value.code == "bad-tokenizer"


def test_batches_shrink_until_they_fit_into_memory(encoder: Encoder, images: npt.NDArray[np.uint8]) -> None:
    small = Encoder(encoder.checkpoint, device="cpu", batch_size=9)
    seen: list[int] = []

    def limited(module: torch.nn.Module, inputs: tuple[torch.Tensor]) -> None:
        seen.append(len(inputs[0]))
        if seen[-1] > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")

    small._model.visual.register_forward_pre_hook(limited)
    np.testing.assert_allclose(small.encode_images(images), encoder.encode_images(images), rtol=0, atol=1e-6)
    assert seen == [9, 4, 2, 2, 2, 2, 1]


def test_single_item_that_does_not_fit_is_refused(encoder: Encoder, images: npt.NDArray[np.uint8]) -> None:
    small = Encoder(encoder.checkpoint, device="cpu")

    def never(module: torch.nn.Module, inputs: tuple[torch.Tensor]) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    small._model.visual.register_forward_pre_hook(never)
    with pytest.raises(ModelError) as caught:
        small.encode_images(images)
    assert caught.value.code == "out-of-memory"
