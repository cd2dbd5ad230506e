"""The profiles against PyTorch's bilinear resize, transformers' image processor, and known answers."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from medsiglip.errors import ModelError
from medsiglip.preprocess import DEFAULT_PROFILE, PROFILES, to_model_input

Pixels = npt.NDArray[np.uint8] | npt.NDArray[np.uint16]
SHAPES = [
    (1, 1),
    (7, 5),
    (1, 40),
    (447, 448),
    (448, 449),
    (512, 512),
    (640, 91),
    (897, 896),
    (1024, 701),
    (100, 448, 3),
    (448, 448, 3),
    (600, 800, 3),
]


def noise(shape: tuple[int, ...], dtype: type[np.uint8] | type[np.uint16] = np.uint8) -> Pixels:
    return np.random.default_rng(0).integers(0, np.iinfo(dtype).max, shape, dtype, endpoint=True)


def padded_to_square(image: Pixels) -> Pixels:
    height, width = image.shape[:2]
    side = max(height, width)
    square = np.zeros((side, side, *image.shape[2:]), image.dtype)
    top, left = (side - height) // 2, (side - width) // 2
    square[top : top + height, left : left + width] = image
    return square if image.ndim == 3 else np.stack([square] * 3, axis=2)


def torch_bilinear(square: Pixels, size: int) -> npt.NDArray[np.float32]:
    import torch

    pixels = torch.from_numpy(square.astype(np.float32)).permute(2, 0, 1)[None]
    resized = torch.nn.functional.interpolate(
        pixels, (size, size), mode="bilinear", align_corners=False, antialias=False
    )
    return resized[0].permute(1, 2, 0).numpy()


@pytest.mark.parametrize("size", [448, 32])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_medsiglip_eval_is_truncated_bilinear_of_the_padded_square(shape: tuple[int, ...], size: int) -> None:
    image = noise(shape)
    resized = to_model_input(image, size)
    exact = torch_bilinear(padded_to_square(image), size)
    # Both compute in float32 but in another order: what is nearly whole may fall to either side of it.
    assert ((resized == np.floor(exact + 0.002)) | (resized == np.floor(exact - 0.002))).all()


@pytest.mark.parametrize("shape", [(300, 200), (448, 448), (1200, 1000), (50, 80, 3)], ids=str)
def test_16_bit_input_is_divided_by_257(shape: tuple[int, ...]) -> None:
    image = noise(shape, np.uint16)
    resized = to_model_input(image, 448)
    exact = torch_bilinear(padded_to_square(image), 448) / 257
    assert ((resized == np.floor(exact + 0.002)) | (resized == np.floor(exact - 0.002))).all()


@pytest.mark.parametrize("profile", PROFILES)
def test_16_bit_copy_of_an_8_bit_image_is_resized_alike(profile: str) -> None:
    image = noise((300, 217))
    wide = image.astype(np.uint16) * 257
    assert (to_model_input(wide, 64, profile) == to_model_input(image, 64, profile)).all()


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("value", [0, 1, 77, 254, 255])
def test_flat_image_stays_flat(profile: str, value: int) -> None:
    resized = to_model_input(np.full((777, 777), value, np.uint8), 448, profile)
    assert (resized == value).all()


@pytest.mark.parametrize("profile", ["medsiglip-eval", "google-serving"])
def test_odd_padding_goes_to_the_bottom_and_right(profile: str) -> None:
    columns = to_model_input(np.full((5, 2), 200, np.uint8), 5, profile)[:, :, 0]
    assert columns.tolist() == [[0, 200, 200, 0, 0]] * 5
    rows = to_model_input(np.full((2, 5), 200, np.uint8), 5, profile)[:, :, 0]
    assert rows.tolist() == [[0] * 5, [200] * 5, [200] * 5, [0] * 5, [0] * 5]


def test_known_answer_between_pixels() -> None:
    # Half-pixel centres lie at -0.25, 0.25, 0.75 and 1.25 of [0, 255]: values 0, 63.75, 191.25 and 255.
    image = np.array([[0, 255], [0, 255]], np.uint8)
    assert to_model_input(image, 4)[0, :, 0].tolist() == [0, 63, 191, 255]


@pytest.mark.parametrize("shape", [(300, 200), (448, 448), (97, 640), (600, 800, 3)], ids=str)
def test_hf_processor_equals_transformers(shape: tuple[int, ...]) -> None:
    from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil

    image = noise(shape)
    processor = SiglipImageProcessorPil(
        size={"height": 448, "width": 448},
        resample=Image.Resampling.BILINEAR,
        do_rescale=False,
        do_normalize=False,
    )
    theirs = np.asarray(processor(Image.fromarray(image), return_tensors="np")["pixel_values"][0])
    resized = to_model_input(image, 448, "hf-processor")
    assert (resized == theirs.transpose(1, 2, 0)).all()


@pytest.mark.parametrize("shape", [(300, 200), (448, 448), (600, 801, 3)], ids=str)
def test_google_serving_is_bicubic_of_the_padded_square(shape: tuple[int, ...]) -> None:
    from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil

    image = noise(shape)
    processor = SiglipImageProcessorPil(
        size={"height": 448, "width": 448}, do_rescale=False, do_normalize=False
    )
    square = Image.fromarray(padded_to_square(image))
    theirs = np.asarray(processor(square, return_tensors="np")["pixel_values"][0])
    assert (to_model_input(image, 448, "google-serving") == theirs.transpose(1, 2, 0)).all()


@pytest.mark.parametrize("profile", PROFILES)
def test_alpha_is_dropped_and_grey_is_three_equal_channels(profile: str) -> None:
    colour = noise((120, 90, 4))
    assert (to_model_input(colour, 64, profile) == to_model_input(colour[:, :, :3], 64, profile)).all()
    grey = colour[:, :, 0]
    replicated = grey[:, :, None].repeat(3, axis=2)
    assert (to_model_input(grey, 64, profile) == to_model_input(replicated, 64, profile)).all()


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("shape", [(64, 64), (64, 64, 3), (64, 64, 4), (50, 70), (50, 70, 3)], ids=str)
def test_output_is_a_new_contiguous_array(profile: str, shape: tuple[int, ...]) -> None:
    image = noise(shape)
    before = image.copy()
    resized = to_model_input(image, 64, profile)
    assert resized.shape == (64, 64, 3)
    assert resized.dtype == np.uint8
    assert resized.flags.c_contiguous
    resized[:] = 0
    assert (image == before).all()


def test_strided_and_read_only_views_are_accepted() -> None:
    image = noise((200, 300, 3))
    view = image[::2, ::-1]
    view.setflags(write=False)
    for profile in PROFILES:
        assert (to_model_input(view, 64, profile) == to_model_input(view.copy(), 64, profile)).all()


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((4, 4), np.float32),
        np.zeros((4, 4), np.int16),
        np.zeros((4,), np.uint8),
        np.zeros((4, 4, 2), np.uint8),
        np.zeros((1, 4, 4, 3), np.uint8),
        np.zeros((0, 4), np.uint8),
        np.zeros((4, 0, 3), np.uint8),
    ],
    ids=lambda image: f"{image.dtype}{image.shape}",
)
def test_bad_image_is_refused(image: npt.NDArray[np.uint8]) -> None:
    with pytest.raises(ModelError) as caught:
        to_model_input(image, 64)
    assert caught.value.code == "bad-image"


def test_unknown_profile_names_the_known_ones() -> None:
    with pytest.raises(ModelError, match="medsiglip-eval, hf-processor, google-serving") as caught:
        to_model_input(np.zeros((4, 4), np.uint8), 64, "medsiglip")
    assert caught.value.code == "unknown-profile"
    assert DEFAULT_PROFILE in PROFILES


def test_preprocessing_imports_no_torch() -> None:
    program = (
        "import sys, numpy; from medsiglip.preprocess import to_model_input; "
        "to_model_input(numpy.zeros((9, 9), 'uint8'), 8); print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
