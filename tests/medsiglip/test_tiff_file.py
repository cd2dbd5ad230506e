"""TIFFs of every kind that scanners and laboratories write, made by tifffile, against plain arithmetic."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
import pytest
import tifffile
from PIL import Image, UnidentifiedImageError

from medsiglip.pictures import PictureError, open_picture, picture_facts, read_picture
from tests.medsiglip.icc_profiles import as_srgb, rgb_profile

Y, X = np.mgrid[:40, :56]
GREY = (3 * Y + 2 * X).astype(np.uint8)  # 0 .. 227
RGB = np.stack([GREY, 255 - GREY, 10 * (X % 25)], axis=2).astype(np.uint8)
FULL = np.rint(GREY / 227.0 * 255.0)  # GREY stretched from its least to its greatest value


def written(tmp_path: Path, values: Any, **options: Any) -> Path:
    path = tmp_path / "x.tif"
    tifffile.imwrite(path, values, **{"photometric": "minisblack", **options})
    return path


@pytest.mark.parametrize("options", [{}, {"tile": (16, 32)}, {"rowsperstrip": 7}, {"bigtiff": True}])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("compression", [None, "zlib", "lzw", "packbits", "zstd"])
def test_deep_grey_is_stretched_however_it_is_stored(
    tmp_path: Path, options: Any, order: str, compression: Any
) -> None:
    deep = (100 + 16 * GREY.astype(np.uint16)).astype(np.uint16)
    predictor = compression in ("zlib", "lzw", "zstd")
    path = written(tmp_path, deep, byteorder=order, compression=compression, predictor=predictor, **options)
    np.testing.assert_array_equal(read_picture(path), FULL)


@pytest.mark.parametrize("dtype", ["u1", "u2", "u4", "u8", "i2", "i4", "f2", "f4", "f8"])
@pytest.mark.parametrize("white_is_zero", [False, True])
def test_white_is_zero_is_the_negative_at_any_depth(tmp_path: Path, dtype: str, white_is_zero: bool) -> None:
    kind = np.dtype(dtype)
    # Values of more than half the range, such as 2 ** 31 and more.
    step = {"u4": 1 << 24, "u8": 1 << 40, "i4": 1 << 22}.get(dtype, 1)
    values = (GREY.astype(np.int64) * step).astype(kind)
    if white_is_zero:
        values = (-values if kind.kind == "f" else ~values).astype(kind)
    path = written(tmp_path, values, photometric="miniswhite" if white_is_zero else "minisblack")
    np.testing.assert_array_equal(read_picture(path), GREY if dtype == "u1" else FULL)


@pytest.mark.parametrize("bits", [1, 2, 4, 10, 12, 14])
def test_packed_grey(tmp_path: Path, bits: int) -> None:
    most = 2**bits - 1
    values = ((Y + X) * most // (Y + X).max()).astype(np.uint8 if bits <= 8 else np.uint16)
    path = tmp_path / "x.tif"
    if bits == 1:
        tifffile.imwrite(path, values.astype(bool), photometric="minisblack")
    else:
        raw_tiff(path, values, bits)
    low, high = (0, most) if bits <= 8 else (values.min(), values.max())
    expected = (values.astype(float) - low) / (high - low) * 255.0
    np.testing.assert_allclose(read_picture(path), expected, atol=0.5001)
    assert picture_facts(path).bits == bits


def raw_tiff(path: Path, values: Any, bits: int) -> None:
    """One strip of packed values, most significant bit first (TIFF 6.0)."""
    planes = [(values >> shift) & 1 for shift in range(bits - 1, -1, -1)]
    rows = np.packbits(np.stack(planes, axis=2).reshape(len(values), -1), axis=1)
    fields = [
        (256, 3, values.shape[1]),
        (257, 3, values.shape[0]),
        (258, 3, bits),
        (259, 3, 1),
        (262, 3, 1),
        (273, 4, 8 + 2 + 9 * 12 + 4),
        (277, 3, 1),
        (278, 3, values.shape[0]),
        (279, 4, rows.size),
    ]
    head = b"II*\0\x08\0\0\0" + len(fields).to_bytes(2, "little")
    for tag, kind, value in fields:
        head += tag.to_bytes(2, "little") + kind.to_bytes(2, "little") + b"\1\0\0\0"
        head += value.to_bytes(4, "little")
    path.write_bytes(head + bytes(4) + rows.tobytes())


@pytest.mark.parametrize("planar", ["contig", "separate"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.uint32])
@pytest.mark.parametrize("options", [{}, {"tile": (16, 16)}, {"compression": "zlib", "predictor": True}])
def test_colours_take_the_stated_range_in_either_order(
    tmp_path: Path, planar: str, dtype: Any, options: Any
) -> None:
    factor = np.iinfo(dtype).max // 255
    values = RGB.astype(dtype) * dtype(factor)
    if planar == "separate":
        values = np.moveaxis(values, 2, 0)
    path = written(tmp_path, values, photometric="rgb", planarconfig=planar, **options)
    np.testing.assert_array_equal(read_picture(path), RGB)
    facts = picture_facts(path)
    assert (facts.rows, facts.columns, facts.samples) == (40, 56, 3)
    assert (facts.bits, facts.is_grey) == (8 * np.dtype(dtype).itemsize, False)


def test_opacity_is_left_out(tmp_path: Path) -> None:
    opacity = (X % 3 * 100 + 55).astype(np.uint8)
    shown = np.dstack([RGB, opacity])
    path = written(tmp_path, shown, photometric="rgb", extrasamples=["unassalpha"])
    np.testing.assert_array_equal(read_picture(path), RGB)
    multiplied = np.dstack([RGB.astype(int) * opacity[..., None] // 255, opacity]).astype(np.uint8)
    path = written(tmp_path, multiplied, photometric="rgb", extrasamples=["assocalpha"])
    assert np.abs(read_picture(path).astype(int) - RGB).max() <= 255 / 55 + 1
    grey = np.dstack([GREY.astype(np.uint16) * 9, np.full_like(GREY, 9, np.uint16)])
    path = written(tmp_path, grey, extrasamples=["unassalpha"])
    np.testing.assert_array_equal(read_picture(path), FULL)


@pytest.mark.parametrize("factor", [1, 256, 257])
def test_colour_maps_of_8_and_of_16_bits(tmp_path: Path, factor: int) -> None:
    colours = np.stack([np.arange(256), 255 - np.arange(256), np.arange(256) // 2])
    path = written(tmp_path, GREY, photometric="palette", colormap=(colours * factor).astype(np.uint16))
    np.testing.assert_array_equal(read_picture(path), np.moveaxis(colours[:, GREY], 0, 2))


def test_pages_but_the_first_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "x.tif"
    with tifffile.TiffWriter(path) as file:
        file.write(GREY, photometric="minisblack")
        file.write(255 - GREY, photometric="minisblack")
    np.testing.assert_array_equal(read_picture(path), GREY)
    tifffile.imwrite(
        path, np.stack([GREY, 255 - GREY]), photometric="minisblack", volumetric=True, tile=(1, 16, 16)
    )
    np.testing.assert_array_equal(read_picture(path), GREY)


# TIFF 6.0, Orientation: where the first row and the first column lie.
UPRIGHT: dict[int, Any] = {
    1: lambda stored: stored,
    2: np.fliplr,
    3: lambda stored: np.rot90(stored, 2),
    4: np.flipud,
    5: np.transpose,
    6: lambda stored: np.rot90(stored, -1),
    7: lambda stored: np.rot90(np.transpose(stored), 2),
    8: np.rot90,
}


@pytest.mark.parametrize("orientation", UPRIGHT)
def test_pages_are_turned_upright(tmp_path: Path, orientation: int) -> None:
    tag = [(274, 3, 1, orientation, True)]
    for values, shown in ((GREY, GREY), (GREY.astype(np.uint16) * 9, FULL)):
        path = written(tmp_path, values, extratags=tag)
        np.testing.assert_array_equal(read_picture(path), UPRIGHT[orientation](shown))
    # These are read by Pillow.
    Image.fromarray(GREY > 100).save(tmp_path / "fax.tif", compression="group4", tiffinfo={274: orientation})
    np.testing.assert_array_equal(
        read_picture(tmp_path / "fax.tif"), UPRIGHT[orientation]((GREY > 100) * np.uint8(255))
    )


def lab(lightness: float, a: float, b: float) -> Any:
    """CIE L*a*b* under D50 as sRGB (CIE 15; Bradford adaptation; IEC 61966-2-1)."""
    fy = (lightness + 16) / 116
    f = np.array([fy + a / 500, fy, fy - b / 200])
    xyz = np.where(f > 6 / 29, f**3, 3 * (6 / 29) ** 2 * (f - 4 / 29)) * [0.96422, 1.0, 0.82521]
    matrix = [[3.13385, -1.61687, -0.49061], [-0.97877, 1.91614, 0.03345], [0.07194, -0.22899, 1.40524]]
    light = np.clip(np.array(matrix) @ xyz, 0, 1)
    return 255 * np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)


@pytest.mark.parametrize(("photometric", "offset"), [("cielab", 0), ("icclab", 128)])
@pytest.mark.parametrize("deep", [False, True])
def test_lab_is_shown_in_srgb(tmp_path: Path, photometric: str, offset: int, deep: bool) -> None:
    colours = [(50.0, 0, 0), (80.0, 20, 30), (45.0, -20, 10), (60.0, 10, -40)]
    stored = np.array([[[round(c[0] * 2.55), c[1] + offset, c[2] + offset] for c in colours]])
    values = (stored & 255).astype(np.uint16 if deep else np.uint8)
    path = written(tmp_path, values * (256 if deep else 1), photometric=photometric)
    expected = [lab(round(c[0] * 2.55) / 2.55, c[1], c[2]) for c in colours]
    assert np.abs(read_picture(path)[0].astype(float) - expected).max() <= 3


def test_inks_are_shown_without_and_by_a_profile(tmp_path: Path) -> None:
    inks = np.dstack([GREY, 255 - GREY, GREY // 2, GREY // 4])
    path = written(tmp_path, inks, photometric="separated")
    expected = np.asarray(Image.frombytes("CMYK", (56, 40), inks.tobytes()).convert("RGB"))
    np.testing.assert_array_equal(read_picture(path), expected)
    # 16 bits of ink are 8 bits and a repetition of them.
    path = written(tmp_path, inks.astype(np.uint16) * 257, photometric="separated")
    np.testing.assert_array_equal(read_picture(path), expected)


@pytest.mark.parametrize("compression", ["tiff_ccitt", "group3", "group4", "tiff_lzw", "jpeg"])
def test_kinds_that_pillow_writes(tmp_path: Path, compression: str) -> None:
    bilevel = compression in ("tiff_ccitt", "group3", "group4")
    picture = Image.fromarray(GREY > 100) if bilevel else Image.fromarray(RGB)
    picture.save(tmp_path / "x.tif", compression=compression)
    expected = np.asarray(Image.open(tmp_path / "x.tif").convert("L" if bilevel else "RGB"))
    np.testing.assert_array_equal(read_picture(tmp_path / "x.tif"), expected)
    assert picture_facts(tmp_path / "x.tif").is_lossy == (compression == "jpeg")


def test_jpeg_2000_and_others_of_imagecodecs(tmp_path: Path) -> None:
    deep = GREY.astype(np.uint16) * 9
    for compression in ("jpeg2000", "lerc", "jpegxl", "png"):
        path = written(tmp_path, deep, compression=compression)
        assert np.abs(read_picture(path) - FULL).max() <= 2, compression


@pytest.mark.parametrize("depth", [1, 257])
def test_a_profile_of_a_tiff_is_applied(tmp_path: Path, depth: int) -> None:
    values = RGB.astype(np.uint16 if depth > 1 else np.uint8) * depth
    shown = read_picture(written(tmp_path, values, photometric="rgb", iccprofile=rgb_profile()))
    assert np.abs(shown.astype(float) - as_srgb(RGB / 255.0)).max() <= 3
    assert np.abs(shown.astype(int) - RGB).max() > 20


@pytest.mark.parametrize("compression", [None, "zlib", "lzw"])
def test_a_tiff_that_ends_early_is_refused(tmp_path: Path, compression: Any) -> None:
    path = written(tmp_path, RGB.astype(np.uint16) * 257, photometric="rgb", compression=compression)
    data = path.read_bytes()
    for keep in (len(data) - 200, len(data) // 2, 100, 8):
        path.write_bytes(data[:keep])
        with pytest.raises(PictureError) as caught:
            read_picture(path)
        assert caught.value.code == "picture-unreadable"


@pytest.mark.parametrize("compression", [None, "zlib", "lzw", "packbits", "jpeg2000"])
@pytest.mark.parametrize("lost", ["offset", "count", "last"])
def test_a_tiff_without_some_of_its_strips_is_refused(tmp_path: Path, compression: Any, lost: str) -> None:
    path = written(tmp_path, GREY, compression=compression, rowsperstrip=10)
    change_tag(
        path, 279 if lost == "count" else 273, lambda old: old[:3] if lost == "last" else (0, *old[1:])
    )
    for read in (read_picture, picture_facts):
        with pytest.raises((PictureError, UnidentifiedImageError)):
            read(path)


@pytest.mark.parametrize("kind", ["group4", "ycbcr"])
@pytest.mark.parametrize("tag", [273, 279])
def test_what_pillow_reads_is_refused_too_without_some_of_its_strips(
    tmp_path: Path, kind: str, tag: int
) -> None:
    path = tmp_path / "x.tif"
    if kind == "group4":
        Image.fromarray(GREY > 100).save(path, compression="group4", strip_size=70)
    else:
        tifffile.imwrite(path, RGB, photometric="ycbcr", rowsperstrip=10, subsampling=(1, 1))
    assert read_picture(path).shape[:2] == GREY.shape
    change_tag(path, tag, lambda old: (0, *old[1:]))
    with pytest.raises(PictureError) as caught:
        read_picture(path)
    assert caught.value.code == "picture-unreadable"


def change_tag(path: Path, tag: int, change: Any) -> None:
    with tifffile.TiffFile(path, mode="r+") as file:
        found = file.pages.first.tags[tag]
        found.overwrite(change(found.value))


@pytest.mark.parametrize("compression", ["jpeg", "jpeg2000", "png", "webp", "jpegxl"])
@pytest.mark.parametrize("shape", [(40, 112), (80, 56), (20, 112), (56, 40)])
def test_a_codestream_of_another_size_than_its_strip_is_refused(
    tmp_path: Path, compression: str, shape: tuple[int, int]
) -> None:
    """Of each, tifffile would make 40 rows of 56 pixels."""
    values, photometric = np.resize(GREY, shape), "minisblack"
    if compression == "webp":
        values, photometric = np.dstack([values] * 3), "rgb"
    path = written(tmp_path, values, photometric=photometric, compression=compression, rowsperstrip=shape[0])
    change_tag(path, 256, lambda _: 56)
    for tag in (257, 278):
        change_tag(path, tag, lambda _: 40)
    with pytest.raises(PictureError) as caught:
        read_picture(path)
    assert caught.value.code == "picture-unreadable"


def test_a_codestream_that_says_it_is_huge_is_not_decoded(tmp_path: Path) -> None:
    path = written(tmp_path, GREY, photometric="minisblack", compression="png", rowsperstrip=len(GREY))
    content = bytearray(path.read_bytes())
    header = content.index(b"IHDR")
    content[header + 4 : header + 12] = struct.pack(">II", 40_000, 40_000)
    content[header + 17 : header + 21] = struct.pack(">I", crc32(content[header : header + 17]))
    path.write_bytes(content)
    with pytest.raises(PictureError) as caught:
        read_picture(path)
    assert caught.value.code == "picture-too-large"


@pytest.mark.parametrize("compression", ["jpeg", "jpeg2000", "png"])
@pytest.mark.parametrize("options", [{"rowsperstrip": 16}, {"tile": (32, 32)}])
def test_the_last_strips_and_tiles_may_reach_beyond_the_picture(
    tmp_path: Path, compression: str, options: Any
) -> None:
    path = written(tmp_path, RGB, photometric="rgb", compression=compression, **options)
    assert np.abs(read_picture(path).astype(int) - RGB).mean() < 10


def test_a_tiff_is_parsed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = []
    whole = tifffile.TiffFile.__init__

    def count(self: Any, *arguments: Any, **options: Any) -> None:
        opened.append(self)
        whole(self, *arguments, **options)

    path = written(tmp_path, GREY)
    monkeypatch.setattr(tifffile.TiffFile, "__init__", count)
    read_picture(path)
    assert len(opened) == 1


@pytest.mark.parametrize(
    ("values", "options"),
    [
        (np.zeros((4, 4), np.complex64), {}),
        (np.zeros((4, 4, 5), np.uint8), {"photometric": "minisblack", "planarconfig": "contig"}),
        (np.zeros((4, 4), np.uint8), {"photometric": "cfa"}),
    ],
)
def test_kinds_that_are_no_picture_are_refused(tmp_path: Path, values: Any, options: Any) -> None:
    with pytest.raises(PictureError):
        read_picture(written(tmp_path, values, **options))


def test_too_many_pixels_are_refused_before_they_are_read(tmp_path: Path, monkeypatch: Any) -> None:
    path = written(tmp_path, GREY.astype(np.uint16))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with pytest.raises(PictureError) as caught:
        open_picture(path)
    assert caught.value.code == "picture-too-large"
