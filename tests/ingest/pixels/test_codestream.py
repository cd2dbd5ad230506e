"""What codestreams say of themselves, and frames whose codestream contradicts their header."""

from __future__ import annotations

import io
import struct
import tracemalloc
from typing import Any

import imagecodecs
import numpy as np
import pytest
from PIL import Image
from pydicom.encaps import encapsulate
from pydicom.uid import UID

from medsiglip.ingest.errors import DecodeError
from medsiglip.ingest.pixels.codestream import jpeg_2000_header, jpeg_header
from medsiglip.ingest.pixels.decode import frames

JPEG = "1.2.840.10008.1.2.4."
Y, X = np.mgrid[:40, :56]
GREY = ((np.sin(X / 9) + np.cos(Y / 7) + 2) * 60).astype(np.uint8)
COLOUR = np.stack([GREY, GREY[::-1], 255 - GREY[:, ::-1]], axis=-1)


def encoded(name: Any, array: Any, **options: Any) -> Any:
    return bytes(getattr(imagecodecs, name)(array, **options))


def jpeg_2000(array: Any, **options: Any) -> Any:
    return encoded("jpeg2k_encode", array, codecformat="j2k", level=0, **options)


def dataset_of(make_dicom: Any, pixels: Any, syntax: Any, codestream: Any, **attributes: Any) -> Any:
    dataset = make_dicom(pixels, **attributes)
    dataset.file_meta.TransferSyntaxUID = UID(syntax)
    dataset.PixelData = encapsulate([codestream])
    return dataset


def code_of(dataset: Any) -> Any:
    with pytest.raises(DecodeError) as caught:
        next(frames(dataset, [0]))
    return caught.value.code


@pytest.mark.parametrize("array", [GREY, GREY.astype(np.uint16) * 16, COLOUR], ids=["8", "12", "colour"])
def test_headers_agree_with_the_encoder(array: Any) -> None:
    size = (*array.shape[:2], 1 if array.ndim == 2 else 3)
    bits = 8 if array.dtype == np.uint8 else 12
    streams = [
        jpeg_header(encoded("jpeg8_encode", array, bitspersample=bits, lossless=True)),
        jpeg_header(encoded("jpeg8_encode", array, bitspersample=bits)),
        jpeg_header(encoded("jpegls_encode", array)),
        jpeg_2000_header(jpeg_2000(array, bitspersample=bits, reversible=True)),
        jpeg_2000_header(encoded("htj2k_encode", array, reversible=True)),
    ]
    assert [(h.rows, h.columns, h.samples_per_pixel) for h in streams] == [size] * 5
    assert [h.precision for h in streams] == [bits, bits, 8 * array.itemsize, bits, 8 * array.itemsize]
    assert [h.reversible for h in streams] == [True, False, True, True, True]
    assert not jpeg_2000_header(jpeg_2000(array, reversible=False)).reversible
    assert not jpeg_header(encoded("jpegls_encode", array, level=2)).reversible


def test_signed_codestreams_are_told() -> None:
    assert jpeg_2000_header(jpeg_2000(GREY.astype(np.int16), reversible=True)).signed
    assert not jpeg_2000_header(jpeg_2000(GREY, reversible=True)).signed


@pytest.mark.parametrize("content", [b"", b"\xff\xd8", b"\xff\xd8\xff\xd9", b"\xff\x4f\xff\x51", bytes(200)])
def test_what_is_no_codestream_is_refused(content: Any) -> None:
    for read in (jpeg_header, jpeg_2000_header):
        with pytest.raises((ValueError, struct.error)):
            read(content)


def without_app0(codestream: Any) -> Any:
    assert codestream[2:4] == b"\xff\xe0"
    return codestream[:2] + codestream[4 + struct.unpack(">H", codestream[4:6])[0] :]


def pillow(codestream: Any) -> Any:
    return np.asarray(Image.open(io.BytesIO(codestream)))


@pytest.mark.parametrize("photometric", ["RGB", "YBR_FULL", "YBR_FULL_422"])
def test_the_markers_of_a_jpeg_tell_its_colours_whatever_the_header_says(
    make_dicom: Any, photometric: Any
) -> None:
    ybr = encoded("jpeg8_encode", COLOUR, level=95)
    rgb = encoded("jpeg8_encode", COLOUR, level=95, colorspace="RGB", outcolorspace="RGB")
    assert jpeg_header(ybr).is_ybr is True
    assert jpeg_header(rgb).is_ybr is False
    for codestream in (ybr, rgb):
        dataset = dataset_of(
            make_dicom, COLOUR, JPEG + "50", codestream, PhotometricInterpretation=photometric
        )
        np.testing.assert_allclose(next(frames(dataset, [0])).astype(int), pillow(codestream), atol=1)
        assert np.abs(pillow(codestream).astype(int) - COLOUR).mean() < 4


def test_the_header_tells_the_colours_of_a_jpeg_without_markers(make_dicom: Any) -> None:
    silent = without_app0(encoded("jpeg8_encode", COLOUR, level=95))
    assert jpeg_header(silent).is_ybr is None
    for photometric in ("YBR_FULL", "YBR_RCT", "RGB"):
        dataset = dataset_of(make_dicom, COLOUR, JPEG + "50", silent, PhotometricInterpretation=photometric)
        frame = next(frames(dataset, [0])).astype(int)
        assert (np.abs(frame - COLOUR).mean() < 4) == (photometric != "RGB")


@pytest.mark.parametrize("mct", [True, False])
@pytest.mark.parametrize("photometric", ["RGB", "YBR_FULL", "YBR_RCT", "YBR_ICT"])
def test_jpeg_2000_with_and_without_a_component_transformation(
    make_dicom: Any, photometric: Any, mct: Any
) -> None:
    """The codestream tells whether the transformation was taken, not its name in the header (T.800 A.6.1)."""
    codestream = jpeg_2000(COLOUR, reversible=True, mct=mct)
    assert (jpeg_2000_header(codestream).is_ybr is False) == mct
    dataset = dataset_of(make_dicom, COLOUR, JPEG + "90", codestream, PhotometricInterpretation=photometric)
    is_ybr = photometric == "YBR_FULL" and not mct
    wanted = np.asarray(Image.fromarray(COLOUR, "YCbCr").convert("RGB")) if is_ybr else COLOUR
    np.testing.assert_allclose(next(frames(dataset, [0])).astype(int), wanted, atol=is_ybr)


@pytest.mark.parametrize("reversible", [True, False])
def test_both_component_transformations_give_back_red_green_and_blue(
    make_dicom: Any, reversible: Any
) -> None:
    """RCT (T.800 G.2) and ICT (G.3) of patches of pure colours."""
    pure = np.array(
        [[255, 0, 0], [0, 255, 0], [0, 0, 255], [0, 0, 0], [255, 255, 255], [200, 30, 90]], np.uint8
    )
    patches = np.repeat(np.repeat(pure.reshape(2, 3, 3), 32, axis=0), 32, axis=1)
    codestream = jpeg_2000(patches, reversible=reversible, mct=True)
    name = "YBR_RCT" if reversible else "YBR_ICT"
    syntax = JPEG + ("90" if reversible else "91")
    dataset = dataset_of(make_dicom, patches, syntax, codestream, PhotometricInterpretation=name)
    difference = next(frames(dataset, [0])).astype(int) - patches
    assert np.abs(difference).max() <= (0 if reversible else 2)


@pytest.mark.parametrize("photometric", ["YBR_RCT", "YBR_ICT"])
def test_uncompressed_pixels_keep_no_transformation_of_jpeg_2000(make_dicom: Any, photometric: Any) -> None:
    dataset = make_dicom(COLOUR, PhotometricInterpretation=photometric)
    np.testing.assert_array_equal(next(frames(dataset, [0])), COLOUR)


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("codestream_signed", [False, True])
def test_jpeg_2000_told_the_wrong_sign(make_dicom: Any, signed: Any, codestream_signed: Any) -> None:
    values = GREY.astype(np.int16) * 8 - (900 if signed else 0)
    cells = values if codestream_signed == signed else values & 0x1FFF
    if codestream_signed and not signed:
        cells = np.where(values >= 4096, values - 8192, values)
    codestream = jpeg_2000(
        cells.astype(np.int16 if codestream_signed else np.uint16), reversible=True, bitspersample=13
    )
    header = {"BitsStored": 13, "PixelRepresentation": int(signed)}
    dataset = dataset_of(make_dicom, values.astype(np.uint16), JPEG + "90", codestream, **header)
    np.testing.assert_array_equal(next(frames(dataset, [0])), values)


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize(
    ("syntax", "codec", "options"),
    [
        ("70", "jpeg8_encode", {"lossless": True, "predictor": 1, "bitspersample": 16}),
        ("80", "jpegls_encode", {}),
        ("90", "jpeg2k_encode", {"codecformat": "j2k", "level": 0, "reversible": True}),
    ],
)
def test_values_that_lie_above_other_bits_are_taken_from_there(
    make_dicom: Any, syntax: Any, codec: Any, options: Any, signed: Any
) -> None:
    """12 bits below High Bit 15, and four bits of something else below them (PS3.5 8.1.1)."""
    wanted = GREY.astype(np.int16) - (500 if signed else 0)
    cells = ((wanted << 4) | 0b0101).view(np.uint16)
    codestream = bytes(getattr(imagecodecs, codec)(cells, **options))
    header = {"BitsStored": 12, "HighBit": 15, "PixelRepresentation": int(signed)}
    dataset = dataset_of(make_dicom, cells, JPEG + syntax, codestream, **header)
    np.testing.assert_array_equal(next(frames(dataset, [0])), wanted)


def test_lossy_values_beyond_bits_stored_are_limited_and_overlay_bits_cleared(make_dicom: Any) -> None:
    over = np.where(X < 20, 1030, 1000).astype(np.uint16)
    lossy = encoded("jpeg8_encode", over, level=100, bitspersample=12)
    dataset = dataset_of(make_dicom, over, JPEG + "51", lossy, BitsStored=10)
    frame = next(frames(dataset, [0]))
    assert frame[0, 0] == 1023
    assert abs(int(frame[0, -1]) - 1000) < 8
    exact = encoded("jpegls_encode", over | 0x4000)
    dataset = dataset_of(make_dicom, over, JPEG + "80", exact, BitsStored=12)
    np.testing.assert_array_equal(next(frames(dataset, [0])), over)


def test_lossless_jpeg_of_signed_values(make_dicom: Any) -> None:
    values = GREY.astype(np.int16) * 16 - 2000
    codestream = encoded("ljpeg_encode", (values & 0xFFF).astype(np.uint16), bitspersample=12)
    dataset = dataset_of(make_dicom, values, JPEG + "70", codestream, BitsStored=12)
    np.testing.assert_array_equal(next(frames(dataset, [0])), values)


CODESTREAMS = {
    "50": encoded("jpeg8_encode", GREY),
    "70": encoded("jpeg8_encode", GREY, lossless=True),
    "80": encoded("jpegls_encode", GREY),
    "90": jpeg_2000(GREY, reversible=True),
    "201": encoded("htj2k_encode", GREY, reversible=True),
}


@pytest.mark.parametrize("syntax", CODESTREAMS)
def test_a_codestream_that_contradicts_the_header_is_refused(make_dicom: Any, syntax: Any) -> None:
    codestream = CODESTREAMS[syntax]
    for attributes in ({"Rows": 39}, {"Columns": 57}, {"SamplesPerPixel": 3}, {"BitsAllocated": 4}):
        dataset = dataset_of(make_dicom, GREY, JPEG + syntax, codestream, **{"BitsStored": 4, **attributes})
        assert code_of(dataset) == "inconsistent-pixels"


@pytest.mark.parametrize("syntax", CODESTREAMS)
def test_a_codestream_without_its_end_is_truncated(make_dicom: Any, syntax: Any) -> None:
    codestream = CODESTREAMS[syntax]
    for share in (0.5, 0.9):
        cut = codestream[: int(len(codestream) * share)]
        assert code_of(dataset_of(make_dicom, GREY, JPEG + syntax, cut)) in {
            "truncated",
            "undecodable-pixels",
        }
    np.testing.assert_allclose(
        next(frames(dataset_of(make_dicom, GREY, JPEG + syntax, codestream + b"\xff" * 4), [0])).astype(int),
        GREY,
        atol=8 if syntax == "50" else 0,
    )


def test_damage_in_htj2k_is_an_error_and_prints_nothing(
    make_dicom: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    noise = np.random.default_rng(1).integers(0, 256, (256, 256), dtype=np.uint8)
    codestream = encoded("htj2k_encode", noise, reversible=True)
    middle = len(codestream) // 2
    damaged = codestream[:middle] + codestream[middle + 20 :]
    assert code_of(dataset_of(make_dicom, noise, JPEG + "201", damaged)) == "undecodable-pixels"
    assert capfd.readouterr().err == ""


def huge(codestream: Any, syntax: Any, size: Any) -> Any:
    """The codestream claiming `size` x `size` pixels."""
    if syntax == "90":
        fields = struct.pack(">2I", size, size)
        return codestream[:8] + fields + codestream[16:24] + fields + codestream[32:]
    marker = {"50": b"\xff\xc0", "70": b"\xff\xc3", "80": b"\xff\xf7"}[syntax]
    at = codestream.index(marker) + 5
    return codestream[:at] + struct.pack(">2H", size, size) + codestream[at + 4 :]


@pytest.mark.parametrize("syntax", ["50", "70", "80", "90"])
def test_a_claim_of_60000_pixels_takes_no_memory(make_dicom: Any, syntax: Any) -> None:
    bomb = huge(CODESTREAMS[syntax], syntax, 60_000)
    read = jpeg_2000_header if syntax == "90" else jpeg_header
    assert (read(bomb).rows, read(bomb).columns) == (60_000, 60_000)
    honest = dataset_of(make_dicom, GREY, JPEG + syntax, bomb)
    agreed = dataset_of(make_dicom, GREY, JPEG + syntax, bomb, Rows=60_000, Columns=60_000)
    large = dataset_of(
        make_dicom,
        GREY,
        JPEG + syntax,
        huge(CODESTREAMS[syntax], syntax, 30_000),
        Rows=30_000,
        Columns=30_000,
    )
    tracemalloc.start()
    assert code_of(honest) == "inconsistent-pixels"
    assert code_of(agreed) == "inconsistent-pixels"
    assert code_of(large) == "picture-too-large"
    assert tracemalloc.get_traced_memory()[1] < 10 << 20
    tracemalloc.stop()


def test_the_last_tiles_of_a_slide_may_be_cropped(make_dicom: Any) -> None:
    cropped = COLOUR[:30, :20]
    codestream = encoded("jpeg8_encode", cropped, level=95)
    dataset = dataset_of(make_dicom, COLOUR, JPEG + "50", codestream)
    assert code_of(dataset) == "inconsistent-pixels"
    dataset.TotalPixelMatrixColumns = 100
    frame = next(frames(dataset, [0]))
    assert frame.shape == COLOUR.shape
    np.testing.assert_allclose(frame[:30, :20].astype(int), pillow(codestream), atol=1)
    np.testing.assert_array_equal(frame[30:, :20], np.broadcast_to(frame[29, :20], (10, 20, 3)))


SIZE = b"\xff\x4f\xff\x51"
# Places in the SIZ segment (T.800 A.5.1) from its length on: tiles, their origin, a component's step.
TILE_WIDTH, TILE_HEIGHT, TILE_LEFT, COMPONENTS, STEP = 20, 24, 28, 36, 39


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (TILE_WIDTH, bytes(4)),
        (TILE_HEIGHT, bytes(4)),
        (TILE_LEFT, b"\0\0\0\1"),
        (COMPONENTS, b"\0\0"),
        (COMPONENTS, b"\0\2"),
        (STEP, b"\0"),
        (STEP + 1, b"\0"),
    ],
)
@pytest.mark.parametrize("encoder", ["htj2k_encode", "jpeg2k_encode"])
def test_a_grid_of_tiles_that_cannot_be_is_no_header(encoder: Any, place: Any, value: Any) -> None:
    """OpenJPH ends the process over a tile of no width."""
    codestream = encoded(encoder, np.tile(GREY, (7, 7)), reversible=True)
    at = codestream.index(SIZE) + 4 + place
    jpeg_2000_header(codestream)
    with pytest.raises(ValueError, match="grid"):
        jpeg_2000_header(codestream[:at] + value + codestream[at + len(value) :])


def test_more_tiles_than_there_can_be_are_refused(make_dicom: Any) -> None:
    codestream = jpeg_2000(np.tile(GREY, (7, 7)), reversible=True)
    at = codestream.index(SIZE) + 4 + TILE_WIDTH
    many = codestream[:at] + b"\0\0\0\1" * 2 + codestream[at + 8 :]
    assert jpeg_2000_header(many).tiles == 280 * 392
    assert code_of(dataset_of(make_dicom, np.tile(GREY, (7, 7)), JPEG + "90", many)) == "undecodable-pixels"


@pytest.mark.parametrize("place", [5, 6, 7, 9])
def test_a_coding_style_that_cannot_be_is_no_header(place: Any) -> None:
    codestream = jpeg_2000(GREY, reversible=True)
    at = codestream.index(b"\xff\x52") + 4 + place
    with pytest.raises(ValueError, match="coding style"):
        jpeg_2000_header(codestream[:at] + b"\x40" + codestream[at + 1 :])


@pytest.mark.parametrize("syntax", ["50", "70"])
def test_another_decoder_is_not_asked_over_a_damaged_frame(make_dicom: Any, syntax: Any) -> None:
    """gdcm ends the process over these."""
    options = {"lossless": True, "predictor": 1} if syntax == "70" else {}
    codestream = encoded("jpeg8_encode", GREY, **options)
    table = codestream.index(b"\xff\xc4")
    for damaged in (
        codestream[:table] + b"\0\0" + codestream[table:],
        codestream[: table + 5] + b"\xff" * 16 + codestream[table + 21 :],
    ):
        assert code_of(dataset_of(make_dicom, GREY, JPEG + syntax, damaged)) == "undecodable-pixels"
