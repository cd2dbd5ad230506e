"""What the colour spaces, profiles and depths of PNG, JPEG and BMP mean, against arithmetic and Pillow."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
from PIL import Image, ImageCms

from medsiglip.pictures import open_picture, picture_facts, read_picture
from medsiglip.tuning.data import read_pictures
from tests.medsiglip.icc_profiles import as_srgb, grey_profile, rgb_profile, srgb_levels

Y, X = np.mgrid[:48, :64]
GREY = (2 * Y + 2 * X).astype(np.uint8)  # 0 .. 220
RGB = np.stack([40 + GREY // 2, 200 - GREY // 2, 60 + 2 * (X % 32)], axis=2).astype(np.uint8)


def png(path: Path, samples: Any, *chunks: tuple[bytes, bytes]) -> Path:
    """A PNG of 8 or 16 bits with further chunks between the header and the pixels."""
    data = bytes(imagecodecs.png_encode(samples))
    added = b""
    for name, content in chunks:
        crc = zlib.crc32(name + content)
        added += struct.pack(">I", len(content)) + name + content + struct.pack(">I", crc)
    path.write_bytes(data[:33] + added + data[33:])
    return path


def iccp(profile: bytes) -> tuple[bytes, bytes]:
    return b"iCCP", b"made\0\0" + zlib.compress(profile)


@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize("opacity", [False, True])
def test_a_profile_of_colours(tmp_path: Path, depth: int, opacity: bool) -> None:
    samples = np.dstack([RGB, GREY]) if opacity else RGB
    samples = samples if depth == 8 else samples.astype(np.uint16) * 257
    shown = open_picture(png(tmp_path / "x.png", samples, iccp(rgb_profile())))
    assert np.abs(shown.values - as_srgb(RGB / 255.0)).max() <= 1.5
    assert np.abs(shown.values.astype(int) - RGB).max() > 20
    assert shown.warnings == ()


def test_a_profile_of_a_palette_and_of_a_jpeg(tmp_path: Path) -> None:
    picture = Image.fromarray(RGB).quantize(16)
    colours = np.asarray(picture.convert("RGB"))
    picture.save(tmp_path / "x.png", icc_profile=rgb_profile())
    assert np.abs(read_picture(tmp_path / "x.png") - as_srgb(colours / 255.0)).max() <= 1.5
    Image.fromarray(RGB).save(tmp_path / "x.jpg", quality=100, subsampling=0, icc_profile=rgb_profile())
    plain = np.asarray(Image.open(tmp_path / "x.jpg"))
    assert np.abs(read_picture(tmp_path / "x.jpg") - as_srgb(plain / 255.0)).max() <= 1.5


@pytest.mark.parametrize("gamma", [1.0, 1.8])
def test_a_profile_of_grey(tmp_path: Path, gamma: float) -> None:
    expected = srgb_levels((GREY / 255.0) ** gamma)
    for name in ("x.png", "x.tif", "x.jpg"):
        Image.fromarray(GREY).save(tmp_path / name, icc_profile=grey_profile(gamma), quality=100)
        stored = np.asarray(Image.open(tmp_path / name))
        expected = srgb_levels((stored / 255.0) ** gamma)
        shown = read_picture(tmp_path / name)
        assert shown.shape == GREY.shape
        assert np.abs(shown - expected).max() <= 2.0, name
    # The same tones as colours, as writers give grey pictures too.
    Image.fromarray(GREY).save(tmp_path / "x.png", icc_profile=rgb_profile(gamma))
    assert np.abs(read_picture(tmp_path / "x.png") - srgb_levels((GREY / 255.0) ** gamma)).max() <= 2.0


def test_srgb_changes_nothing(tmp_path: Path) -> None:
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for samples in (RGB, GREY):
        path = png(tmp_path / "x.png", samples, iccp(srgb), (b"gAMA", struct.pack(">I", 45455)))
        np.testing.assert_array_equal(read_picture(path), samples)


def test_a_profile_that_cannot_be_used_is_told_and_left(tmp_path: Path) -> None:
    for profile in (b"no profile at all", grey_profile(1.8), rgb_profile()[:200]):
        Image.fromarray(RGB).save(tmp_path / "x.png", icc_profile=profile)
        shown = open_picture(tmp_path / "x.png")
        np.testing.assert_array_equal(shown.values, RGB)
        assert shown.warnings == ("icc-profile-invalid",)


@pytest.mark.parametrize("gamma", [1.0, 1 / 1.8])
def test_the_gamma_of_a_png(tmp_path: Path, gamma: float) -> None:
    stated = b"gAMA", struct.pack(">I", round(gamma * 100_000))
    for samples in (RGB, GREY):
        path = png(tmp_path / "x.png", samples, stated)
        expected = srgb_levels((samples / 255.0) ** (1 / gamma))
        np.testing.assert_allclose(read_picture(path), expected, atol=0.51)
        # PNG 11.3.2: a profile and sRGB go before gamma.
        path = png(tmp_path / "x.png", samples, (b"sRGB", b"\0"), stated)
        np.testing.assert_array_equal(read_picture(path), samples)
    for usual in (45_455, 45_000, 0, 4_000_000_000):
        path = png(tmp_path / "x.png", RGB, (b"gAMA", struct.pack(">I", usual)))
        np.testing.assert_array_equal(read_picture(path), RGB)


def test_deep_pngs(tmp_path: Path) -> None:
    deep = 500 + GREY.astype(np.uint16) * 9
    expected = np.rint(GREY / 220.0 * 255.0)
    for samples in (deep, np.dstack([deep, np.full_like(deep, 65535)])):
        path = png(tmp_path / "x.png", samples)
        np.testing.assert_array_equal(read_picture(path), expected)
        assert (picture_facts(path).bits, picture_facts(path).is_grey) == (16, True)
    # 16 bits of colour take the stated range, rounded: 16,000 of 65,535 is 62.26 of 255.
    colours = np.full((4, 4, 3), (16_000, 65_535, 63), np.uint16)
    np.testing.assert_array_equal(read_picture(png(tmp_path / "x.png", colours))[0, 0], [62, 255, 0])


def test_dead_pixels_do_not_take_the_grey_scale_in_ingest_or_tuning(tmp_path: Path) -> None:
    """Up to one in a thousand pixels far outside of the others: they do not count."""
    deep = 20_000 + GREY.astype(np.uint16) * 9
    expected = np.rint(GREY / 220.0 * 255.0)
    for places, value in (([7], 65535), ([7], 0), ([7, 500, 901], 65535)):
        broken = deep.copy()
        broken.flat[places] = value
        alive = np.ones(deep.shape, bool)
        alive.flat[places] = False
        for name in ("x.png", "x.tif"):
            Image.fromarray(broken).save(tmp_path / name)
            shown = read_picture(tmp_path / name)
            assert np.abs(shown - expected)[alive].max() <= 4, (places, value, name)
            assert set(shown.flat[places]) == {255 if value else 0}
            out = np.empty((1, 64, 64, 3), np.uint8)
            read_pictures([tmp_path / name], out, "hf-processor")
            assert out.max() - int(out.min()) > 200
            assert out.mean() > 100


def test_values_that_are_no_numbers_are_black_and_told(tmp_path: Path) -> None:
    values = GREY.astype(np.float32) / 10
    values[3, 4], values[5, 6], values[7, 8] = np.nan, np.inf, -np.inf
    Image.fromarray(values).save(tmp_path / "x.tif")
    shown = open_picture(tmp_path / "x.tif")
    assert shown.warnings == ("values-not-finite",)
    assert (shown.values[3, 4], shown.values[5, 6], shown.values[7, 8]) == (0, 255, 0)
    assert shown.values[-1, -1] == 255


@pytest.mark.parametrize(("colourspace", "transform"), [("RGB", 0), ("YCBCR", 1)])
def test_jpegs_with_adobes_marker(tmp_path: Path, colourspace: str, transform: int) -> None:
    data = bytes(
        imagecodecs.jpeg8_encode(
            RGB, level=100, colorspace="RGB", outcolorspace=colourspace, subsampling="444"
        )
    )
    adobe = b"\xff\xee\x00\x0eAdobe\x00\x64\0\0\0\0" + bytes([transform])
    at = data.index(b"\xff\xdb")
    (tmp_path / "x.jpg").write_bytes(b"\xff\xd8" + adobe + data[at:])
    assert np.abs(read_picture(tmp_path / "x.jpg").astype(int) - RGB).max() <= 4


def test_inks_of_a_jpeg(tmp_path: Path) -> None:
    picture = Image.fromarray(RGB).convert("CMYK")
    picture.save(tmp_path / "x.jpg", quality=100)
    assert np.abs(read_picture(tmp_path / "x.jpg").astype(int) - RGB).max() <= 6


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB"])
def test_bmps(tmp_path: Path, mode: str) -> None:
    picture = Image.fromarray(RGB).convert(mode)
    picture.save(tmp_path / "x.bmp")
    expected = np.asarray(picture.convert("L" if mode in ("1", "L") else "RGB"))
    np.testing.assert_array_equal(read_picture(tmp_path / "x.bmp"), expected)


def test_an_open_file_is_read_from_its_beginning(tmp_path: Path) -> None:
    deep = 500 + GREY.astype(np.uint16) * 9
    for name in ("x.tif", "x.png"):
        Image.fromarray(deep).save(tmp_path / name)
        stream = io.BytesIO((tmp_path / name).read_bytes())
        stream.seek(9)
        np.testing.assert_array_equal(read_picture(stream), read_picture(tmp_path / name))
