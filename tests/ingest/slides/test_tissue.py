"""What counts as tissue, by pictures whose share of it is known."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from PIL import Image

from medsiglip.ingest.slides.tissue import tissue_share
from tests.ingest.slides.slide_cases import STAIN, glass, tissue


@pytest.mark.parametrize("share", [0.0, 0.03, 0.25, 1.0])
def test_the_share_of_stained_pixels_is_found(share: Any) -> None:
    picture = glass(200, 200)
    picture[: round(200 * share)] = tissue(round(200 * share), 200)
    assert tissue_share(picture) == pytest.approx(share, abs=1e-9)


@pytest.mark.parametrize("size", [448, 1000, 2049])
def test_large_pictures_are_judged_by_some_of_their_pixels(size: Any) -> None:
    picture = glass(size, size)
    picture[: size // 4] = STAIN
    assert tissue_share(picture) == pytest.approx(0.25, abs=0.01)


@pytest.mark.parametrize(
    ("colour", "expected"),
    [
        ((255, 255, 255), 0.0),  # not scanned
        ((0, 0, 0), 0.0),  # not scanned
        ((228, 224, 230), 0.0),  # glass of a dim scanner
        ((200, 200, 200), 0.0),  # grey glass
        ((235, 190, 215), 1.0),  # eosin, faint
        ((120, 70, 150), 1.0),  # haematoxylin
        ((130, 90, 50), 1.0),  # diaminobenzidine
        ((90, 90, 95), 1.0),  # silver stain
    ],
)
def test_stains_are_tissue_and_glass_is_not(colour: Any, expected: Any) -> None:
    assert tissue_share(np.full((64, 64, 3), colour, np.uint8)) == expected


def test_glass_through_jpeg_stays_glass() -> None:
    noise = np.random.default_rng(0).normal(0, 3, (256, 256, 3))
    noisy = np.clip(glass(256, 256) + noise, 0, 255).astype(np.uint8)
    from io import BytesIO

    buffer = BytesIO()
    Image.fromarray(noisy).save(buffer, "JPEG", quality=60)
    assert tissue_share(np.asarray(Image.open(buffer))) < 0.01


def test_grey_tissue_is_what_is_not_even() -> None:
    dark = np.full((64, 64), 4, np.uint8)
    assert tissue_share(dark) == 0.0
    cells = dark.copy()
    cells[20:40, 20:40] = 180
    assert tissue_share(cells) == 1.0


def test_an_empty_picture_has_no_tissue() -> None:
    assert tissue_share(np.zeros((0, 5, 3), np.uint8)) == 0.0
