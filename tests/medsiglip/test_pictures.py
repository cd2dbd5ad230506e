from __future__ import annotations

import io
import pickle
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngImageFile

from medsiglip.grey_range import counted, through_table
from medsiglip.pictures import PictureError, read_picture


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, shape, dtype=np.uint8)


def test_a_path_and_an_open_file_give_the_same(tmp_path: Path) -> None:
    values = noise(5, 7, 3)
    path = tmp_path / "x.png"
    Image.fromarray(values).save(path)
    for source in (path, str(path), io.BytesIO(path.read_bytes())):
        np.testing.assert_array_equal(read_picture(source), values)
    with path.open("rb") as file:
        np.testing.assert_array_equal(read_picture(file), values)


def test_more_than_8_bits_are_stretched_from_smallest_to_largest(tmp_path: Path) -> None:
    Image.fromarray(np.array([[100, 4100], [2100, 100]], np.uint16)).save(tmp_path / "deep.png")
    Image.fromarray(np.array([[-1.0, 3.0], [0.0, 1.0]], np.float32)).save(tmp_path / "real.tif")
    assert read_picture(tmp_path / "deep.png").tolist() == [[0, 255], [128, 0]]
    assert read_picture(tmp_path / "real.tif").tolist() == [[0, 255], [64, 128]]


def test_a_png_of_16_bits_is_decoded_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.arange(12, dtype=np.uint16).reshape(3, 4) * 5000
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees clockwise
    path = tmp_path / "deep.png"
    Image.fromarray(values).save(path, exif=exif)
    content = path.read_bytes()
    start, end = content.index(b"eXIf") - 4, content.index(b"IDAT") - 4
    # The standard lets eXIf follow the pixels too.
    (tmp_path / "late.png").write_bytes(
        content[:start] + content[end:-12] + content[start:end] + content[-12:]
    )
    monkeypatch.setattr(PngImageFile, "load", lambda opened: pytest.fail("decoded by Pillow too"))
    expected = np.rot90(np.rint(values / values.max() * 255), -1)
    for name in ("deep.png", "late.png"):
        np.testing.assert_array_equal(read_picture(tmp_path / name), expected)


@pytest.mark.parametrize("dtype", ["u1", "i1", "u2", "i2", ">u2", "<i2"])
def test_integers_of_all_kinds_are_counted_and_shown_as_plain_arithmetic_does(dtype: str) -> None:
    rng = np.random.default_rng(2)
    limits = np.iinfo(dtype)
    values = rng.integers(limits.min, limits.max + 1, (300, 400)).astype(dtype)
    levels, counts = counted(values)
    expected = np.unique(values, return_counts=True)
    assert (levels.tolist(), counts.tolist()) == (expected[0].tolist(), expected[1].tolist())
    table = (np.arange(int(limits.min), int(limits.max) + 1) % 251).astype(np.uint8)
    np.testing.assert_array_equal(through_table(values, table), values.astype(int) % 251)


def refused(source: Path | io.BytesIO, code: str) -> str:
    with pytest.raises(PictureError) as caught:
        read_picture(source)
    assert caught.value.code == pickle.loads(pickle.dumps(caught.value)).code == code
    return str(caught.value)


def test_damaged_pictures_and_unknown_formats_are_refused(tmp_path: Path) -> None:
    stream = io.BytesIO()
    Image.fromarray(noise(64, 64)).save(stream, "PNG")
    (tmp_path / "cut.png").write_bytes(stream.getvalue()[:1000])
    (tmp_path / "text.png").write_text("no picture")
    Image.fromarray(noise(8, 8)).save(tmp_path / "x.gif")
    for name in ("cut.png", "text.png", "x.gif", "absent.png"):
        assert name in refused(tmp_path / name, "picture-unreadable")
    assert "The picture" in refused(io.BytesIO(b""), "picture-unreadable")


def test_a_picture_of_too_many_pixels_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.fromarray(noise(30, 30)).save(tmp_path / "x.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 400)
    assert "x.png" in refused(tmp_path / "x.png", "picture-too-large")
