"""The decoders of the table: each against the others, real lossless pairs, and dcmtk."""

from __future__ import annotations

import shutil
import subprocess
import zlib
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
from pydicom import dcmread
from pydicom.encaps import encapsulate
from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import UID

from medsiglip.ingest.dicom.transfer_syntaxes import TRANSFER_SYNTAXES
from medsiglip.ingest.pixels import decode
from medsiglip.ingest.pixels.decode import frames, open_dataset
from medsiglip.ingest.pixels.decoders import DECODERS, is_installed
from medsiglip.ingest.pixels.fragments import encapsulated_frames
from medsiglip.ingest.pixels.image_pixel import image_pixel
from medsiglip.ingest.privacy.quiet import quiet

JPEG = "1.2.840.10008.1.2.4."
RLE, DEFLATED_FRAMES = "1.2.840.10008.1.2.5", "1.2.840.10008.1.2.8.1"
Y, X = np.mgrid[:61, :47]
SMOOTH = (np.sin(X / 9) + np.cos(Y / 7) + 2) / 4
GREY = (SMOOTH * 4095).astype(np.uint16)
SIGNED = GREY.astype(np.int16) - 2048
COLOUR = (np.stack([SMOOTH, SMOOTH[::-1], 1 - SMOOTH], axis=-1) * 255).astype(np.uint8)


def encoder(name: Any, **options: Any) -> Any:
    return lambda array: bytes(getattr(imagecodecs, name)(array, **options))


def run_lengths(array: Any) -> Any:
    samples = array.reshape(*array.shape[:2], -1)
    planes = [np.ascontiguousarray(samples[..., k]) for k in range(samples.shape[2])]
    segments = [
        imagecodecs.packbits_encode(
            np.ascontiguousarray(plane.view(np.uint8).reshape(-1)[byte :: plane.itemsize])
        )
        for plane in planes
        for byte in reversed(range(plane.itemsize))
    ]
    starts = np.zeros(16, "<u4")
    starts[0] = len(segments)
    starts[1 : len(segments) + 1] = 64 + np.cumsum([0, *map(len, segments[:-1])])
    return starts.tobytes() + b"".join(map(bytes, segments))


LOSSLESS = {
    RLE: run_lengths,
    DEFLATED_FRAMES: lambda array: zlib.compress(array.tobytes(), wbits=-15),
    "1.2.840.10008.1.2.1.98": lambda array: array.tobytes(),
    JPEG + "57": encoder("jpeg8_encode", lossless=True, predictor=4),
    JPEG + "70": encoder("jpeg8_encode", lossless=True, predictor=1),
    JPEG + "80": encoder("jpegls_encode"),
    JPEG + "90": encoder("jpeg2k_encode", codecformat="j2k", level=0, reversible=True),
    JPEG + "201": encoder("htj2k_encode", reversible=True),
    JPEG + "202": encoder("htj2k_encode", reversible=True),
}
LOSSY = {
    JPEG + "50": encoder("jpeg8_encode", level=95),
    JPEG + "81": encoder("jpegls_encode", level=3),
    JPEG + "91": encoder("jpeg2k_encode", codecformat="j2k", level=40, reversible=False),
    JPEG + "203": encoder("htj2k_encode", reversible=False),
}


def compressed(make_dicom: Any, syntax: Any, array: Any) -> Any:
    codestream = (LOSSLESS | LOSSY)[syntax](array.view(np.uint16) if unsigned(syntax, array) else array)
    dataset = make_dicom(array)
    dataset.file_meta.TransferSyntaxUID = UID(syntax)
    dataset.PixelData = encapsulate([codestream])
    return dataset, codestream


def unsigned(syntax: Any, array: Any) -> Any:
    """JPEG and JPEG-LS know no sign."""
    return array.dtype == np.int16 and syntax in {JPEG + end for end in ("57", "70", "80", "81")}


def test_the_table_names_decoders_that_are_there_and_gives_a_reason() -> None:
    for uid, syntax in TRANSFER_SYNTAXES.items():
        assert syntax.uid == uid
        assert syntax.reason
        assert syntax.decoders
        assert set(syntax.decoders) <= set(DECODERS)
        assert all(is_installed(name, uid) for name in syntax.decoders)
        assert UID(uid).is_encapsulated == syntax.encapsulated if UID(uid).name != uid else True
    assert not is_installed("gdcm", JPEG + "201")


@pytest.mark.parametrize("syntax", LOSSLESS)
@pytest.mark.parametrize("array", [GREY, SIGNED, COLOUR], ids=["grey", "signed", "colour"])
def test_every_decoder_of_a_lossless_syntax_gives_back_what_was_encoded(
    make_dicom: Any, syntax: Any, array: Any
) -> None:
    dataset, codestream = compressed(make_dicom, syntax, array)
    for name in TRANSFER_SYNTAXES[syntax].decoders:
        decoded = DECODERS[name](codestream, image_pixel(dataset), syntax)
        np.testing.assert_array_equal(decoded, array, err_msg=name)
    (frame,) = frames(dataset, [0])
    assert frame.dtype == array.dtype


@pytest.mark.parametrize("syntax", LOSSY)
@pytest.mark.parametrize("array", [(SMOOTH * 255).astype(np.uint8), COLOUR], ids=["grey", "colour"])
def test_the_decoders_of_a_lossy_syntax_agree(make_dicom: Any, syntax: Any, array: Any) -> None:
    dataset, codestream = compressed(make_dicom, syntax, array)
    if syntax == JPEG + "50" and array.ndim == 3:
        dataset.PhotometricInterpretation = "YBR_FULL_422"
    (frame,) = frames(dataset, [0])
    assert np.abs(frame.astype(int) - array).max() < 16
    for plugin in get_decoder(UID(syntax)).available_plugins:
        other = DECODERS[plugin](codestream, image_pixel(dataset), syntax) if plugin in DECODERS else frame
        np.testing.assert_allclose(other.astype(int), frame.astype(int), atol=array.ndim - 2, err_msg=plugin)


@pytest.mark.parametrize("packing", ["native", RLE, DEFLATED_FRAMES])
@pytest.mark.parametrize("shape", [(3, 16, 24), (3, 11, 13)], ids=["aligned", "not aligned"])
def test_one_bit(make_dicom: Any, packing: Any, shape: Any) -> None:
    bits = np.random.default_rng(7).integers(0, 2, shape, dtype=np.uint8)
    dataset = make_dicom(bits, NumberOfFrames=3, BitsStored=1)
    dataset.BitsAllocated = 1
    if packing == "native":
        dataset.PixelData = np.packbits(bits, bitorder="little").tobytes()
    else:
        packed = [np.packbits(frame, bitorder="little") for frame in bits]
        dataset.file_meta.TransferSyntaxUID = UID(packing)
        dataset.PixelData = encapsulate([LOSSLESS[packing](p.reshape(1, -1)) for p in packed])
    np.testing.assert_array_equal(np.stack(list(frames(dataset, range(3)))), bits)


def test_the_cost_of_a_frame_does_not_grow_with_their_number(
    make_dicom: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    parsed: list[int] = []

    def counted(*given: Any) -> Any:
        parsed.append(1)
        return encapsulated_frames(*given)

    monkeypatch.setattr(decode, "encapsulated_frames", counted)
    stack = np.stack([(GREY + k).astype(np.uint16) for k in range(20)])
    dataset = make_dicom(stack, NumberOfFrames=20)
    dataset.file_meta.TransferSyntaxUID = UID(JPEG + "80")
    dataset.PixelData = encapsulate([LOSSLESS[JPEG + "80"](frame) for frame in stack], has_bot=False)
    np.testing.assert_array_equal(np.stack(list(frames(dataset, range(20)))), stack)
    assert parsed == [1]


def decoded(path: Any, indices: Any = (0,)) -> Any:
    with quiet():
        return np.stack(list(frames(open_dataset(str(path)), indices)))


# The images of NEMA's compression set: each of a pair was made from one original without loss.
PAIRS = [
    *(("CT1", other) for other in ("JPLL", "JLSL", "J2KR")),
    *(("MR1", other) for other in ("JPLL", "JLSL", "J2KR")),
    *(("XA1", other) for other in ("JPLL", "JLSL", "J2KR")),
    ("US1", "J2KR"),
    ("VL1", "J2KR"),
]


@pytest.mark.parametrize(("image", "coding"), PAIRS)
def test_lossless_pairs_are_equal_bit_for_bit(test_data: Path, image: Any, coding: Any) -> None:
    folder = test_data / "dicom/wg04"
    np.testing.assert_array_equal(
        decoded(folder / coding / f"{image}_{coding}"), decoded(folder / "RLE" / f"{image}_RLE")
    )


# Other pictures that are stored in several ways without loss.
FILES, DATA = "pydicom/test_files/", "pydicom-data/"
SAME = [
    ["wg04/J2KR/RG3_J2KR", "wg04/JLSL/RG3_JLSL"],
    ["wg04/RLE/CT1_RLE", "fo-dicom/D_CLUNIE_CT1_RLE_FRAGS.dcm"],
    ["wg04/RLE/US1_RLE", FILES + "examples_jpeg2k.dcm"],
    ["highdicom/sm_image.dcm", "highdicom/sm_image_jpegls.dcm", "highdicom/sm_image_jpegls_nobot.dcm"],
    ["fo-dicom/TestPattern_Palette.dcm", "fo-dicom/TestPattern_Palette_16.dcm"],
    [FILES + "SC_rgb_small_odd.dcm", FILES + "SC_rgb_small_odd_big_endian.dcm"],
    [FILES + "JPEG2000.dcm", DATA + "JPEG2000_UNC.dcm"],
    [FILES + "693_J2KI.dcm", DATA + "693_UNCI.dcm"],
    [DATA + "693_J2KR.dcm", DATA + "693_UNCR.dcm"],
    [DATA + "color-pl.dcm", DATA + "color-px.dcm"],
    [DATA + f"JLSL_RGB_ILV{interleave}.dcm" for interleave in (0, 1, 2)],
    [FILES + f"rtdose{coding}.dcm" for coding in ("", "_expb", "_rle")],
    [DATA + f"OBXXXX1A{coding}.dcm" for coding in ("", "_expb", "_rle")],
    [
        DATA + f"emri_small{coding}.dcm"
        for coding in ("", "_RLE", "_big_endian", "_jpeg_2k_lossless", "_jpeg_ls_lossless")
    ],
    [
        FILES + f"MR_small{coding}.dcm"
        for coding in ("", "_RLE", "_bigendian", "_expb", "_implicit", "_jp2klossless", "_jpeg_ls_lossless")
    ],
    *(
        [DATA + f"SC_rgb{kind}.dcm", FILES + f"SC_rgb_rle{kind}.dcm", DATA + f"SC_rgb_expb{kind}.dcm"]
        for kind in ("", "_2frame", "_16bit", "_16bit_2frame", "_32bit", "_32bit_2frame")
    ),
]


@pytest.mark.filterwarnings("ignore::UserWarning:pydicom")
@pytest.mark.parametrize("names", SAME, ids=lambda names: names[0].rpartition("/")[2])
def test_one_picture_stored_in_several_ways_is_one_picture(test_data: Path, names: Any) -> None:
    paths = [test_data / "dicom" / name for name in names]
    indices = range(int(dcmread(paths[0], force=True).get("NumberOfFrames") or 1))
    first, *others = (decoded(path, indices) for path in paths)
    for other in others:
        np.testing.assert_array_equal(other, first)


@pytest.mark.parametrize(
    ("image", "coding", "of", "mean"),
    [
        ("CT1", "JLSN", "RLE", 6),
        ("MR1", "J2KI", "RLE", 60),
        ("MR1", "JPLY", "RLE", 30),
        ("XA1", "JPLY", "RLE", 6),
        ("XA1", "J2KI", "RLE", 6),
        ("RG3", "JPLY", "JLSL", 6),
        ("RG3", "J2KI", "J2KR", 6),
        ("US1", "J2KI", "RLE", 3),
    ],
)
def test_lossy_images_are_close_to_their_lossless_pair(
    test_data: Path, image: Any, coding: Any, of: Any, mean: Any
) -> None:
    lossy, exact = (decoded(test_data / "dicom/wg04" / c / f"{image}_{c}").astype(int) for c in (coding, of))
    assert np.abs(lossy - exact).mean() < mean


@pytest.mark.parametrize("aligned", ["", "_nonbyte_aligned"])
@pytest.mark.parametrize("packing", ["deflate", "rle", "j2k"])
def test_one_bit_frames_equal_the_uncompressed_ones(test_data: Path, aligned: Any, packing: Any) -> None:
    folder = test_data / "dicom/pydicom-data"
    wanted = dcmread(folder / f"liver{aligned}.dcm").pixel_array
    np.testing.assert_array_equal(decoded(folder / f"liver{aligned}_{packing}.dcm", range(3)), wanted)


def test_a_file_of_packed_twelve_bits_equals_dcmtk(test_data: Path, tmp_path: Path) -> None:
    source = test_data / "dicom/fo-dicom/GH340.dcm"
    copy = tmp_path / "x.dcm"
    shutil.copy(source, copy)
    dcmtk("dcmodify", "-nb", "-i", "0028,0004=MONOCHROME2", "-i", "0028,0002=1", copy)
    dcmtk("dcm2pnm", "-W", "-M", "+opn", "12", copy, tmp_path / "x.pgm")
    lines = [line for line in (tmp_path / "x.pgm").read_text().splitlines() if not line.startswith("#")]
    numbers = np.array(" ".join(lines[1:]).split(), int)
    assert numbers[:3].tolist() == [256, 256, 4095]
    np.testing.assert_array_equal(decoded(source)[0], numbers[3:].reshape(256, 256))


@pytest.mark.filterwarnings("ignore::UserWarning:pydicom")
@pytest.mark.parametrize(
    ("tool", "name"),
    [
        ("dcmdjpeg", "wg04/JPLY/MR1_JPLY"),
        ("dcmdjpeg", "wg04/JPLY/RG3_JPLY"),
        ("dcmdjpeg", "wg04/JPLY/XA1_JPLY"),
        ("dcmdjpeg", "pydicom/test_files/JPEG-lossy.dcm"),
        ("dcmdjpeg", "wg04/JPLL/CT1_JPLL"),
        ("dcmdjpeg", "jpeg_lossless_p14/1.2.840.10008.1.2.4.57.dcm"),
        ("dcmdjpeg", "fo-dicom/GH538-jpeg1.dcm"),
        ("dcmdjpeg", "fo-dicom/GH538-jpeg14sv1.dcm"),
        ("dcmdjpeg", "pydicom/test_files/SC_jpeg_no_color_transform.dcm"),
        ("dcmdjpeg", "pydicom/test_files/examples_ybr_color.dcm"),
        ("dcmdrle", "wg04/RLE/CT1_RLE"),
        ("dcmdrle", "wg04/RLE/US1_RLE"),
        ("dcmdjpls", "wg04/JLSL/MR1_JLSL"),
        ("dcmdjpls", "wg04/JLSN/CT1_JLSN"),
    ],
)
def test_frames_equal_those_of_dcmtk(test_data: Path, tmp_path: Path, tool: Any, name: Any) -> None:
    source = test_data / "dicom" / name
    dcmtk(tool, source, tmp_path / "x.dcm")
    reference = dcmread(tmp_path / "x.dcm")
    if reference.SamplesPerPixel == 3:
        assert reference.PhotometricInterpretation == "RGB"
    wanted = reference.pixel_array.reshape(-1, *decoded(source).shape[1:])[0].astype(int)
    # dcmtk leaves lossy values outside Bits Stored as they are.
    if "JPLY" in name:
        words = np.frombuffer(reference.PixelData, np.uint16).reshape(wanted.shape)
        wanted = np.minimum(words, 2**reference.BitsStored - 1)
    np.testing.assert_array_equal(decoded(source)[0], wanted)


@pytest.mark.parametrize("predictor", range(1, 8))
def test_every_predictor_of_lossless_jpeg(tmp_path: Path, write_dicom: Any, predictor: Any) -> None:
    values = np.random.default_rng(predictor).integers(-(2**15), 2**15, (40, 31)).astype(np.int16)
    source = write_dicom(tmp_path / "x.dcm", values)
    dcmtk("dcmcjpeg", "+el", "+sv", predictor, source, tmp_path / "y.dcm")
    assert dcmread(tmp_path / "y.dcm").file_meta.TransferSyntaxUID == JPEG + "57"
    np.testing.assert_array_equal(decoded(tmp_path / "y.dcm")[0], values)


def test_the_tiles_of_a_slide_equal_dcmtk_where_it_has_them(test_data: Path, tmp_path: Path) -> None:
    source = test_data / "dicom/fo-dicom/multiframe.dcm"
    dcmtk("dcmdjpeg", source, tmp_path / "x.dcm")
    wanted = np.frombuffer(dcmread(tmp_path / "x.dcm").PixelData, np.uint8)[: 13 * 240 * 240 * 3]
    tiles = decoded(source, range(14))
    np.testing.assert_array_equal(tiles[:13], wanted.reshape(13, 240, 240, 3))
    assert (tiles[13] == tiles[13][:, 54:55])[
        :, 55:
    ].all()  # stored 55 columns wide, its last column repeated


def dcmtk(tool: Any, *arguments: Any) -> None:
    if shutil.which(tool) is None:
        pytest.skip(f"{tool} of dcmtk is not installed")
    subprocess.run([tool, *map(str, arguments)], check=True, capture_output=True, timeout=60)
