from __future__ import annotations

import hashlib
import io
import struct
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
from blake3 import blake3
from PIL import Image
from pydicom import dcmread
from pydicom.encaps import encapsulate
from pydicom.pixels.processing import convert_color_space
from pydicom.uid import UID

from medsiglip.ingest.errors import DecodeError
from medsiglip.ingest.files.walk import FoundFile
from medsiglip.ingest.header.header import Header
from medsiglip.ingest.pixels.decode import decode_picture, frames, open_dataset, pixel_hash
from medsiglip.ingest.pixels.image_pixel import image_pixel
from medsiglip.ingest.pixels.native import native_frame
from medsiglip.ingest.privacy.deidentify import SecretKey
from medsiglip.ingest.scan.scan import scan_file
from tests.ingest.read_files import headers_of

JPEG = "1.2.840.10008.1.2.4."
Y, X = np.mgrid[:24, :33]
SMOOTH = (np.sin(X / 9) + np.cos(Y / 7) + 2) / 4


def grey(bits: Any) -> Any:
    return (SMOOTH * (2**bits - 1)).astype(np.uint8 if bits == 8 else np.uint16)


def written(tmp_path: Path, make_dicom: Any, pixels: Any, syntax: Any, encode: Any, **attributes: Any) -> Any:
    dataset = make_dicom(pixels, **attributes)
    dataset.file_meta.TransferSyntaxUID = UID(syntax)
    several = pixels if "NumberOfFrames" in attributes else [pixels]
    dataset.PixelData = encapsulate([encode(frame) for frame in several])
    dataset["PixelData"].VR = "OB"
    path = tmp_path / "file.dcm"
    dataset.save_as(path, enforce_file_format=True)
    return path


def decoded(path: Any, indices: Any = (0,)) -> Any:
    return list(frames(open_dataset(str(path)), indices))


def codec(name: Any, **options: Any) -> Any:
    return lambda frame: bytes(getattr(imagecodecs, name)(frame, **options))


@pytest.mark.parametrize(
    ("syntax", "bits", "encode"),
    [
        (JPEG + "57", 8, codec("jpeg8_encode", lossless=True, predictor=4)),
        (JPEG + "70", 8, codec("jpeg8_encode", lossless=True, predictor=1)),
        (JPEG + "80", 12, codec("jpegls_encode")),
        (JPEG + "90", 12, codec("jpeg2k_encode", codecformat="j2k", reversible=True, level=0)),
        (JPEG + "91", 16, codec("jpeg2k_encode", codecformat="j2k", reversible=True, level=0)),
        (JPEG + "201", 12, codec("htj2k_encode", reversible=True)),
    ],
)
def test_lossless_syntaxes_are_exact(
    tmp_path: Path, make_dicom: Any, syntax: Any, bits: Any, encode: Any
) -> None:
    path = written(tmp_path, make_dicom, grey(bits), syntax, encode)
    (frame,) = decoded(path)
    np.testing.assert_array_equal(frame, grey(bits))


@pytest.mark.parametrize("bits", [8, 12])
def test_lossy_jpeg_with_eight_and_twelve_bits(tmp_path: Path, make_dicom: Any, bits: Any) -> None:
    encode = codec("jpeg8_encode", level=100, **({"bitspersample": 12} if bits == 12 else {}))
    path = written(
        tmp_path, make_dicom, grey(bits), JPEG + ("50" if bits == 8 else "51"), encode, BitsStored=bits
    )
    (frame,) = decoded(path)
    assert np.abs(frame.astype(int) - grey(bits)).max() <= 2 ** (bits - 7)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16])
def test_run_length_encoding(tmp_path: Path, make_dicom: Any, dtype: Any) -> None:
    pixels = (SMOOTH * 200 - (100 if dtype == np.int16 else 0)).astype(dtype)
    dataset = make_dicom(pixels)
    dataset.compress("1.2.840.10008.1.2.5")
    dataset.save_as(tmp_path / "x.dcm", enforce_file_format=True)
    np.testing.assert_array_equal(decoded(tmp_path / "x.dcm")[0], pixels)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16, np.int8])
def test_uncompressed_frames(tmp_path: Path, write_dicom: Any, dtype: Any) -> None:
    info = np.iinfo(dtype)
    rng = np.random.default_rng(3)
    pixels = rng.integers(info.min, info.max, (5, 6, 7), dtype=dtype, endpoint=True)
    path = write_dicom(tmp_path / "x.dcm", pixels, NumberOfFrames=5)
    np.testing.assert_array_equal(np.stack(decoded(path, [3, 0])), pixels[[3, 0]])


def test_uncompressed_colour(tmp_path: Path, write_dicom: Any) -> None:
    pixels = np.random.default_rng(4).integers(0, 256, (6, 7, 3), dtype=np.uint8)
    path = write_dicom(tmp_path / "x.dcm", pixels)
    np.testing.assert_array_equal(decoded(path)[0], pixels)
    apart = open_dataset(str(path))
    apart.PlanarConfiguration = 1
    apart.PixelData = np.ascontiguousarray(pixels.transpose(2, 0, 1)).tobytes()
    np.testing.assert_array_equal(next(frames(apart, [0])), pixels)


@pytest.mark.parametrize("signed", [False, True])
def test_bits_above_high_bit_are_ignored(tmp_path: Path, write_dicom: Any, signed: Any) -> None:
    wanted = (SMOOTH * 1000).astype(np.int16) - (500 if signed else 0)
    stored = (wanted.astype(np.uint16) & 0x0FFF) | 0x7000
    path = write_dicom(tmp_path / "x.dcm", stored, BitsStored=12, PixelRepresentation=int(signed))
    np.testing.assert_array_equal(decoded(path)[0], wanted)


@pytest.mark.parametrize("signed", [False, True])
def test_values_may_lie_above_overlay_bits(tmp_path: Path, write_dicom: Any, signed: Any) -> None:
    wanted = (SMOOTH * 1000).astype(np.int16) - (500 if signed else 0)
    stored = ((wanted << 4) | 0b0101).view(np.uint16)
    path = write_dicom(tmp_path / "x.dcm", stored, BitsStored=12, HighBit=15, PixelRepresentation=int(signed))
    np.testing.assert_array_equal(decoded(path)[0], wanted)


@pytest.mark.parametrize(
    ("bits", "dtype"), [(7, np.uint8), (8, np.uint8), (10, np.uint16), (12, np.int16), (16, np.int16)]
)
def test_uncompressed_values_equal_pydicom(tmp_path: Path, write_dicom: Any, bits: Any, dtype: Any) -> None:
    low = -(2 ** (bits - 1)) if dtype == np.int16 else 0
    pixels = np.random.default_rng(bits).integers(low, low + 2**bits, (9, 8)).astype(dtype)
    path = write_dicom(tmp_path / "x.dcm", pixels, BitsStored=bits)
    (frame,) = decoded(path)
    np.testing.assert_array_equal(frame, dcmread(path).pixel_array)
    assert frame.dtype == dcmread(path).pixel_array.dtype


def test_eight_bits_are_a_view_of_the_file(tmp_path: Path, write_dicom: Any) -> None:
    dataset = open_dataset(str(write_dicom(tmp_path / "x.dcm", grey(8))))
    frame = native_frame(dataset.PixelData, image_pixel(dataset), 0)
    assert np.shares_memory(frame, np.frombuffer(dataset.PixelData, np.uint8))


@pytest.mark.parametrize("keyword", ["FloatPixelData", "DoubleFloatPixelData"])
def test_float_pixel_data(tmp_path: Path, make_dicom: Any, keyword: Any) -> None:
    values = (SMOOTH - 0.5).astype(np.float32 if keyword == "FloatPixelData" else np.float64)
    dataset = make_dicom(grey(16))
    del dataset.PixelData
    dataset.BitsAllocated = 8 * values.itemsize
    setattr(dataset, keyword, values.tobytes())
    dataset.save_as(tmp_path / "x.dcm", enforce_file_format=True)
    np.testing.assert_array_equal(decoded(tmp_path / "x.dcm")[0], values)


@pytest.mark.parametrize("allocated", [1, 12])
def test_packed_values_go_on_across_the_frames(tmp_path: Path, write_dicom: Any, allocated: Any) -> None:
    values = np.random.default_rng(1).integers(0, 2**allocated, (3, 5, 7))
    # The first value lies in the lowest bits (PS3.5 8.1.1), which is a number written in base 2**allocated.
    number = sum(int(value) << (allocated * i) for i, value in enumerate(values.ravel()))
    packed = number.to_bytes((values.size * allocated + 7) // 8, "little")
    dataset = open_dataset(
        str(write_dicom(tmp_path / "x.dcm", values.astype(np.uint16), NumberOfFrames=3, BitsStored=allocated))
    )
    dataset.BitsAllocated = allocated
    dataset.PixelData = packed
    np.testing.assert_array_equal(np.stack(list(frames(dataset, range(3)))), values)


@pytest.mark.filterwarnings("ignore::UserWarning:pydicom")
def test_big_endian_bytes_in_words(tmp_path: Path, make_dicom: Any) -> None:
    pixels = np.random.default_rng(2).integers(0, 256, (3, 3, 5), dtype=np.uint8)
    dataset = make_dicom(pixels, NumberOfFrames=3)
    dataset.file_meta.TransferSyntaxUID = UID("1.2.840.10008.1.2.2")
    dataset.PixelData = np.frombuffer(pixels.tobytes() + b"\0", np.uint16).byteswap().tobytes()
    dataset["PixelData"].VR = "OW"
    dataset.save_as(tmp_path / "x.dcm", implicit_vr=False, little_endian=False, enforce_file_format=True)
    np.testing.assert_array_equal(np.stack(decoded(tmp_path / "x.dcm", range(3))), pixels)
    np.testing.assert_array_equal(dcmread(tmp_path / "x.dcm").pixel_array, pixels)


def test_ybr_becomes_rgb(tmp_path: Path, write_dicom: Any) -> None:
    ybr = np.array([[[81, 90, 240], [145, 54, 34]]], np.uint8)
    path = write_dicom(tmp_path / "x.dcm", ybr, PhotometricInterpretation="YBR_FULL")
    # PS3.3 C.7.6.3.1.2: R = Y + 1.402 (Cr - 128), G = Y - 0.344136 (Cb - 128) - 0.714136 (Cr - 128),
    # B = Y + 1.772 (Cb - 128)
    np.testing.assert_allclose(decoded(path)[0][0], [[238, 14, 14], [13, 238, 14]], atol=1)


def test_partial_ybr_has_black_at_16_and_white_at_235(tmp_path: Path, write_dicom: Any) -> None:
    ybr = np.array([[[16, 128, 128], [235, 128, 128], [81, 90, 240]]], np.uint8)
    path = write_dicom(tmp_path / "x.dcm", ybr, PhotometricInterpretation="YBR_PARTIAL_422")
    # ITU-R BT.601: these are black, white and red.
    np.testing.assert_allclose(decoded(path)[0][0], [[0, 0, 0], [255, 255, 255], [254, 0, 0]], atol=1)


def test_two_pixels_share_their_chrominance(tmp_path: Path, write_dicom: Any) -> None:
    ybr = np.random.default_rng(5).integers(16, 236, (4, 6, 3), dtype=np.uint8)
    ybr[:, 1::2, 1:] = ybr[:, ::2, 1:]
    halved = np.stack([ybr[:, ::2, 0], ybr[:, 1::2, 0], ybr[:, ::2, 1], ybr[:, ::2, 2]], axis=-1)
    full = write_dicom(tmp_path / "full.dcm", ybr, PhotometricInterpretation="YBR_FULL")
    dataset = open_dataset(
        str(write_dicom(tmp_path / "422.dcm", ybr, PhotometricInterpretation="YBR_FULL_422"))
    )
    np.testing.assert_array_equal(next(frames(dataset, [0])), decoded(full)[0])  # stored in full all the same
    dataset.PixelData = halved.tobytes()
    np.testing.assert_array_equal(next(frames(dataset, [0])), decoded(full)[0])
    np.testing.assert_allclose(
        decoded(full)[0].astype(int), convert_color_space(ybr, "YBR_FULL", "RGB").astype(int), atol=1
    )


def test_frames_of_an_encapsulated_file_are_taken_alone(tmp_path: Path, make_dicom: Any) -> None:
    stack = np.stack([grey(12), grey(12) // 2, grey(12) // 3])
    path = written(tmp_path, make_dicom, stack, JPEG + "80", codec("jpegls_encode"), NumberOfFrames=3)
    (last,) = decoded(path, [2])
    np.testing.assert_array_equal(last, stack[2])


@pytest.mark.parametrize("cut", [8, 9, 100, -1], ids=["delimiter", "and a byte", "and more", "and a frame"])
@pytest.mark.filterwarnings("ignore::UserWarning:pydicom")
def test_pixel_data_that_lack_only_their_delimiter_are_whole(
    tmp_path: Path, make_dicom: Any, cut: Any
) -> None:
    stack = np.stack([grey(12), grey(12) // 2, grey(12) // 3])
    path = written(tmp_path, make_dicom, stack, JPEG + "80", codec("jpegls_encode"), NumberOfFrames=3)
    content, whole = path.read_bytes(), pixel_hash(open_dataset(str(path)))
    path.write_bytes(content[: content.rindex(b"\xfe\xff\x00\xe0") if cut < 0 else -cut])
    if cut == 8:
        assert pixel_hash(open_dataset(str(path))) == whole
        np.testing.assert_array_equal(np.stack(decoded(path, range(3))), stack)
        assert isinstance(scan_file(FoundFile(str(path), 1, 1), SecretKey(bytes(32))), Header)
    else:
        with pytest.raises(DecodeError) as caught:
            decoded(path)
        assert caught.value.code == "truncated"


def test_an_unknown_sequence_of_a_big_endian_file_is_little_endian(tmp_path: Path, make_dicom: Any) -> None:
    pixels = (SMOOTH * 4000).astype(np.uint16)
    dataset = make_dicom(pixels)
    dataset.file_meta.TransferSyntaxUID = UID("1.2.840.10008.1.2.2")
    dataset.PixelData = pixels.astype(">u2").tobytes()
    dataset.PatientComments = "x" * 4096
    path = tmp_path / "x.dcm"
    dataset.save_as(path, implicit_vr=False, little_endian=False, enforce_file_format=True)
    content = path.read_bytes()
    # PS3.5 6.2.2: implicit VR little endian within, whatever surrounds it; here in group 0009.
    inner = (
        struct.pack("<HHI", 0x0008, 0x0100, 4) + b"CODE" + struct.pack("<HHI", 0x0009, 0x1001, 2) + b"\1\0"
    )
    items = struct.pack("<HHI", 0xFFFE, 0xE000, len(inner)) + inner
    items += struct.pack("<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF) + inner + struct.pack("<HHI", 0xFFFE, 0xE00D, 0)
    unknown = struct.pack(">HH2sHI", 0x0009, 0x1000, b"UN", 0, 0xFFFFFFFF) + items
    unknown += struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)
    place = content.index(struct.pack(">HH2s", 0x0010, 0x0010, b"PN"))
    path.write_bytes(content[:place] + unknown + content[place:])
    np.testing.assert_array_equal(decoded(path)[0], pixels)
    (header,) = headers_of(path)
    assert (header.rows, header.columns) == pixels.shape


def test_pixel_hash_is_of_the_stored_value_alone(tmp_path: Path, write_dicom: Any) -> None:
    a = write_dicom(tmp_path / "a", grey(8), PatientID="A")
    b = write_dicom(tmp_path / "b", grey(8), PatientID="B")
    c = write_dicom(tmp_path / "c", grey(8) // 2, PatientID="A")
    hashes = [pixel_hash(open_dataset(str(path))) for path in (a, b, c)]
    assert hashes[0] == hashes[1] != hashes[2]
    assert hashes[0].value == f"blake3:{blake3(grey(8).tobytes()).hexdigest()[:32]}"
    older = pixel_hash(open_dataset(str(a)), older=True).older
    assert older == hashlib.sha256(grey(8).tobytes()).hexdigest()[:32]


def broken(tmp_path: Path, write_dicom: Any, make_dicom: Any, kind: Any) -> Any:
    if kind == "truncated":
        path = write_dicom(tmp_path / "x.dcm", grey(16))
        path.write_bytes(path.read_bytes()[:-100])
    elif kind == "inconsistent-pixels":
        path = write_dicom(tmp_path / "x.dcm", grey(16), Rows=0)
    elif kind == "no-decoder":
        path = written(tmp_path, make_dicom, grey(8), JPEG + "102", lambda frame: b"\0" * 64)
    elif kind == "undecodable-pixels":
        path = written(tmp_path, make_dicom, grey(8), JPEG + "80", lambda frame: b"\xff\xd8" + b"\1" * 64)
    else:
        path = tmp_path / "x.dcm"
        path.mkdir()
        return path
    return path


@pytest.mark.filterwarnings("ignore::UserWarning:pydicom")
@pytest.mark.parametrize("code", ["truncated", "inconsistent-pixels", "no-decoder", "undecodable-pixels"])
def test_broken_files_have_codes(tmp_path: Path, write_dicom: Any, make_dicom: Any, code: Any) -> None:
    path = broken(tmp_path, write_dicom, make_dicom, code)
    with pytest.raises(DecodeError) as caught:
        decoded(path)
    assert caught.value.code == code


def test_a_codestream_cut_short_is_not_embedded(tmp_path: Path, make_dicom: Any) -> None:
    def cut(frame: Any) -> Any:
        return bytes(imagecodecs.jpegls_encode(frame))[:200]

    with pytest.raises(DecodeError):
        decoded(written(tmp_path, make_dicom, grey(12), JPEG + "80", cut))


def save(array: Any, tmp_path: Path, name: Any, **options: Any) -> Any:
    Image.fromarray(array).save(tmp_path / name, **options)
    return str(tmp_path / name)


def values_of(path: Any) -> Any:
    return decode_picture(path).values


def test_plain_pictures(tmp_path: Path) -> None:
    colour = np.random.default_rng(1).integers(0, 256, (5, 6, 3), dtype=np.uint8)
    np.testing.assert_array_equal(values_of(save(colour, tmp_path, "rgb.png")), colour)
    np.testing.assert_array_equal(values_of(save(colour[..., 0], tmp_path, "grey.bmp")), colour[..., 0])
    alpha = np.dstack([colour, np.full((5, 6), 7, np.uint8)])
    np.testing.assert_array_equal(values_of(save(alpha, tmp_path, "rgba.png")), colour)
    deep = np.array([[100, 40100], [20100, 100]], np.uint16)
    np.testing.assert_array_equal(values_of(save(deep, tmp_path, "deep.png")), [[0, 255], [128, 0]])


def test_palette_picture_and_first_page(tmp_path: Path) -> None:
    picture = Image.new("P", (2, 1))
    picture.putpalette([10, 20, 30, 200, 100, 50])
    picture.putdata([0, 1])
    picture.save(tmp_path / "p.png")
    np.testing.assert_array_equal(values_of(str(tmp_path / "p.png")), [[[10, 20, 30], [200, 100, 50]]])
    pages = [Image.new("L", (3, 2), value) for value in (9, 200)]
    pages[0].save(tmp_path / "pages.tif", save_all=True, append_images=pages[1:])
    assert values_of(str(tmp_path / "pages.tif")).tolist() == [[9, 9, 9], [9, 9, 9]]


def test_exif_orientation_is_honoured(tmp_path: Path) -> None:
    picture = Image.fromarray(np.arange(6, dtype=np.uint8).reshape(2, 3))
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees clockwise
    picture.save(tmp_path / "x.png", exif=exif)
    np.testing.assert_array_equal(values_of(str(tmp_path / "x.png")), [[3, 0], [4, 1], [5, 2]])


def test_damaged_picture(tmp_path: Path) -> None:
    stream = io.BytesIO()
    Image.fromarray(np.random.default_rng(2).integers(0, 255, (64, 64), dtype=np.uint8)).save(stream, "PNG")
    (tmp_path / "x.png").write_bytes(stream.getvalue()[:1000])
    with pytest.raises(DecodeError) as caught:
        decode_picture(str(tmp_path / "x.png"))
    assert caught.value.code == "undecodable-picture"


@pytest.mark.parametrize("vr", [b"UT", b"OF", b"UN", b"UC"])
def test_pixel_data_of_a_wrong_vr_are_bytes_all_the_same(tmp_path: Path, write_dicom: Any, vr: Any) -> None:
    pixels = (SMOOTH * 1000).astype(np.uint16)
    path = write_dicom(tmp_path / "x.dcm", pixels)
    wanted = pixel_hash(open_dataset(str(path)))
    data = path.read_bytes()
    path.write_bytes(data.replace(b"\xe0\x7f\x10\0OW", b"\xe0\x7f\x10\0" + vr))
    dataset = open_dataset(str(path))
    assert pixel_hash(dataset) == wanted
    np.testing.assert_array_equal(next(frames(dataset, [0])), pixels)


def test_pixel_data_written_as_a_sequence_have_a_code(tmp_path: Path, write_dicom: Any) -> None:
    path = write_dicom(tmp_path / "x.dcm", (SMOOTH * 1000).astype(np.uint16))
    before, _, _ = path.read_bytes().partition(b"\xe0\x7f\x10\0OW")
    path.write_bytes(before + b"\xe0\x7f\x10\0SQ\0\0" + b"\xff" * 4 + b"\xfe\xff\xdd\xe0" + bytes(4))
    dataset = dcmread(path)
    with pytest.raises(DecodeError) as caught:
        pixel_hash(dataset)
    assert caught.value.code == "unreadable-header"
    with pytest.raises(DecodeError) as caught:
        next(frames(open_dataset(str(path)), [0]))
    assert caught.value.code == "inconsistent-pixels"


def test_an_extended_offset_table_that_is_text_is_none(tmp_path: Path, make_dicom: Any) -> None:
    path = written(tmp_path, make_dicom, grey(8), JPEG + "80", codec("jpegls_encode"), BitsStored=8)
    dataset = open_dataset(str(path))
    dataset.add_new(0x7FE00001, "LT", "twelve chars")
    np.testing.assert_array_equal(next(frames(dataset, [0])), grey(8))
