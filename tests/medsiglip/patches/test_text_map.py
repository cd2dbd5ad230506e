"""Parts of patches, maps of a text and correspondences, against sums, differences and known places."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch

from medsiglip.checkpoint import open_checkpoint
from medsiglip.encoder import Encoder
from medsiglip.patches.correspondences import mutual_nearest
from medsiglip.patches.picture_place import picture_place
from medsiglip.patches.text_map import enlarged, moved, patch_shares, text_direction, text_maps
from medsiglip.preprocess import PROFILES, to_model_input


@pytest.fixture(scope="module")
def tiny() -> Encoder:
    return Encoder(open_checkpoint("tiny"), device="cpu")


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_parts_add_up_to_the_pooled_vector(
    small_siglip: tuple[Path, Any], precision: Literal["float32", "bfloat16"]
) -> None:
    """The head's MLP, put on the sum, gives the image's vector, of a checkpoint of full layout too."""
    encoder = Encoder(open_checkpoint(str(small_siglip[0])), device="cpu", precision=precision)
    size = encoder.image_size
    images = np.random.default_rng(3).integers(0, 256, (3, size, size, 3), dtype=np.uint8)
    found = encoder.encode_patches(images)
    assert found.shape == (3, 2, encoder.checkpoint.architecture.patches, encoder.dimension)
    assert found.dtype == np.float32
    pool = encoder._model.visual.attn_pool.float()
    pooled = torch.from_numpy(found[:, 0].sum(axis=1))
    with torch.inference_mode():
        vectors = torch.nn.functional.normalize(pooled + pool.mlp(pool.norm(pooled)), dim=-1)
    if precision == "bfloat16":
        pool.to(torch.bfloat16)
    tolerance = 2e-6 if precision == "float32" else 0.05
    np.testing.assert_allclose(vectors, encoder.encode_images(images), rtol=0, atol=tolerance)


def test_a_patch_s_share_is_what_the_cosine_loses_without_it() -> None:
    rng = np.random.default_rng(4)
    parts, direction = rng.normal(size=(1, 9, 7)), rng.normal(size=7)
    shares = patch_shares(parts, direction).ravel()

    def cosine(pooled: Any) -> float:
        return float(pooled @ direction / np.linalg.norm(pooled))

    whole, step = parts[0].sum(axis=0), 1e-6
    lost = [(cosine(whole) - cosine(whole - step * part)) / step for part in parts[0]]
    np.testing.assert_allclose(shares, lost, rtol=1e-3, atol=1e-6)
    assert abs(shares.sum()) < 1e-12


def test_a_direction_is_present_less_absent() -> None:
    found = text_direction(np.array([[1.0, 0], [0, 1]]), np.array([[0.0, -2]]))
    np.testing.assert_allclose(found, [0.5**0.5, 0.5**0.5 + 1])


def test_a_map_is_enlarged_with_values_at_the_centres_of_patches() -> None:
    small = np.arange(9.0).reshape(1, 3, 3)
    large = enlarged(small, 17)  # patches of 5 pixels; the last two are read by nothing
    centres = [2, 7, 12]
    np.testing.assert_allclose(large[0][np.ix_(centres, centres)], small[0])
    assert large[0, 2, 2:8].tolist() == pytest.approx([0, 0.2, 0.4, 0.6, 0.8, 1])
    assert large[0, 16, 16] == 8
    assert enlarged(np.full((2, 1, 1), 3.0), 5).tolist() == np.full((2, 5, 5), 3.0).tolist()


def test_images_are_moved_and_their_edge_repeated() -> None:
    image = np.arange(16, dtype=np.uint8).reshape(1, 4, 4)
    assert moved(image, 1, 0)[0].tolist() == image[0][[0, 0, 1, 2]].tolist()
    assert moved(image, 0, -2)[0].tolist() == image[0][:, [2, 3, 3, 3]].tolist()


def test_maps_of_coarse_patches_are_means_of_moved_images(tiny: Encoder) -> None:
    images = np.random.default_rng(6).integers(0, 256, (2, 128, 128, 3), dtype=np.uint8)
    direction = np.random.default_rng(7).normal(size=tiny.dimension)
    maps = text_maps(tiny, images, direction)
    assert maps.shape == (2, 128, 128)
    expected = np.zeros_like(maps)
    for down, right in ((0, 0), (8, 0), (0, 8), (8, 8)):
        shares = patch_shares(tiny.encode_patches(moved(images, down, right))[:, 0], direction)
        expected += moved(enlarged(shares, 128), -down, -right) / 4
    np.testing.assert_allclose(maps, expected, atol=1e-9)
    np.testing.assert_allclose(text_maps(tiny, images[1:], direction)[0], maps[1], atol=1e-6)


def test_patches_moved_to_known_places_are_found_again() -> None:
    rng = np.random.default_rng(8)
    tokens = rng.normal(size=(16, 20)) + 5.0
    order = rng.permutation(16)
    pairs = mutual_nearest(tokens, tokens[order] + rng.normal(size=(16, 20)) * 0.05)
    assert len(pairs) == 16
    assert all(
        order[4 * pair.second[0] + pair.second[1]] == 4 * pair.first[0] + pair.first[1] for pair in pairs
    )
    assert [pair.cosine for pair in pairs] == sorted((pair.cosine for pair in pairs), reverse=True)
    few = np.arange(16) < 3
    kept = mutual_nearest(tokens, tokens[order], usable=(few, np.ones(16, bool)))
    assert {pair.first for pair in kept} <= {(0, 0), (0, 1), (0, 2)}
    assert mutual_nearest(tokens, tokens, usable=(np.zeros(16, bool), few)) == []


@pytest.mark.parametrize("profile", sorted(PROFILES))
@pytest.mark.parametrize("shape", [(60, 100), (100, 60), (80, 80)])
def test_a_bright_spot_of_a_picture_is_found_at_its_place(profile: str, shape: tuple[int, int]) -> None:
    """The place in the picture of what is bright in the model input, which the profile made."""
    picture = np.full(shape, 10, np.uint8)
    row, column = round(0.3 * shape[0]), round(0.75 * shape[1])
    picture[row - 4 : row + 4, column - 4 : column + 4] = 255
    square = to_model_input(picture, 128, profile)[..., 0].astype(np.float64)
    place = picture_place(*shape, profile)
    weights = np.where(square > 100, square, 0)
    y = float((weights.sum(1) * (np.arange(128) + 0.5)).sum() / weights.sum()) / 128
    x = float((weights.sum(0) * (np.arange(128) + 0.5)).sum() / weights.sum()) / 128
    np.testing.assert_allclose(place.to_picture(y, x), (0.3, 0.75), atol=0.015)
    cut = place.cut(square)
    assert cut.min() > 5 or profile == "google-serving"
    assert abs(cut.shape[0] / cut.shape[1] - shape[0] / shape[1]) < 0.03 or profile == "hf-processor"
    inside = place.patches_inside(8).reshape(8, 8)
    # Padding of a fifth on either side covers the centres of two of eight patches, at 1/16 and 3/16.
    padded = profile != "hf-processor" and 100 in shape
    assert inside.sum() == (32 if padded else 64)
