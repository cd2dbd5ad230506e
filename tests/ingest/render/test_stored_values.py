"""Stored values that writers put into more room than they need, or describe in words of their own.

The answers are worked out by hand, and where they can, pydicom and DCMTK agree.
"""

from __future__ import annotations

import shutil
import struct
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pydicom import Dataset, dcmread
from pydicom.encaps import encapsulate
from pydicom.uid import (
    CTImageStorage,
    ExplicitVRBigEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
    SecondaryCaptureImageStorage,
    XRayAngiographicImageStorage,
    XRayRadiofluoroscopicImageStorage,
)

from medsiglip.ingest.render.attributes import attributes_of
from tests.ingest.read_files import images_of

Y, X = np.mgrid[:16, :24]
RAMP = (16 * Y + X).astype(np.uint16)
COLOURS = np.stack([10 * Y, 255 - 10 * X, 60 + 5 * Y + 3 * X], axis=2).astype(np.float64)


def ybr(colours: Any, half: float) -> Any:
    """PS3.3 C.7.6.3.1.2, YBR_FULL."""
    forward = [[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]]
    return colours @ np.array(forward).T + [0.0, half, half]


def image_of(path: Path) -> Any:
    (image,) = images_of([path])
    return image


@pytest.mark.parametrize("stored_bits", [8, 10, 12, 16])
@pytest.mark.parametrize("syntax", ["little", "big", "rle", "jpeg-ls", "planar"])
def test_the_middle_of_chrominance_is_half_of_what_is_stored(
    tmp_path: Path, make_dicom: Any, stored_bits: int, syntax: str
) -> None:
    top = 2.0**stored_bits - 1
    stored = np.rint(ybr(COLOURS / 255.0 * top, 2.0 ** (stored_bits - 1))).clip(0, top).astype(np.uint16)
    dataset = make_dicom(stored, PhotometricInterpretation="YBR_FULL", BitsStored=stored_bits)
    if syntax == "planar":
        dataset.PlanarConfiguration = 1
        dataset.PixelData = np.ascontiguousarray(stored.transpose(2, 0, 1)).tobytes()
    elif syntax == "big":
        dataset.file_meta.TransferSyntaxUID = ExplicitVRBigEndian
        dataset.PixelData = stored.astype(">u2").tobytes()
    elif syntax == "rle":
        dataset.file_meta.TransferSyntaxUID = RLELossless
        planes = stored.astype(">u2").view(np.uint8).reshape(16, 24, 3, 2)
        segments = [packed(planes[:, :, i // 2, i % 2].tobytes()) for i in range(6)]
        dataset.PixelData = encapsulate([rle(segments)])
    elif syntax == "jpeg-ls":
        import imagecodecs

        dataset.file_meta.TransferSyntaxUID = JPEGLSLossless
        dataset.PixelData = encapsulate([bytes(imagecodecs.jpegls_encode(stored))])
    dataset.save_as(tmp_path / "x.dcm", enforce_file_format=True)
    assert np.abs(image_of(tmp_path / "x.dcm").pixels - COLOURS).max() <= 1.6


def test_partial_range_in_more_bits(tmp_path: Path, write_dicom: Any) -> None:
    """YBR_PARTIAL: black is 16 and white 235 of 255, in 10 bits four times that."""
    stored = np.array([[[64, 512, 512], [940, 512, 512], [502, 512, 512]]], np.uint16)
    path = write_dicom(tmp_path / "x.dcm", stored, PhotometricInterpretation="YBR_PARTIAL_422", BitsStored=10)
    assert np.abs(image_of(path).pixels[0].astype(int) - [[0] * 3, [255] * 3, [128] * 3]).max() <= 1


@pytest.mark.parametrize("bits", [1, 4, 6, 8])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int8, np.int16, np.uint32])
def test_at_most_eight_bits_take_the_stated_range_in_any_room(
    tmp_path: Path, write_dicom: Any, bits: int, dtype: Any
) -> None:
    signed = np.dtype(dtype).kind == "i"
    least = -(2 ** (bits - 1)) if signed else 0
    most = least + 2**bits - 1
    dark = np.full((8, 8), least, dtype)
    full = (least + (np.arange(64).reshape(8, 8) % 2**bits)).astype(dtype)
    path = write_dicom(tmp_path / "x.dcm", np.stack([dark, full]), NumberOfFrames=2, BitsStored=bits)
    first, second = images_of([path])
    assert not first.pixels.any()
    expected = (full.astype(float) - least) / (most - least) * 255.0
    np.testing.assert_allclose(second.pixels, expected, atol=0.5001)


@pytest.mark.parametrize(("slope", "intercept"), [(1, -128), (2.5, 7), (-1, 255)])
def test_and_after_a_rescale_each_frame_by_the_same_range(
    tmp_path: Path, write_dicom: Any, slope: float, intercept: float
) -> None:
    frames = np.stack([np.full((4, 4), 100, np.uint8), np.full((4, 4), 200, np.uint8)])
    path = write_dicom(
        tmp_path / "x.dcm", frames, NumberOfFrames=2, RescaleSlope=slope, RescaleIntercept=intercept
    )
    shown = [int(image.pixels[0, 0]) for image in images_of([path])]
    assert shown == ([100, 200] if slope > 0 else [155, 55])


def table(values: Any) -> Any:
    item = Dataset()
    item.add_new("LUTDescriptor", "US", [len(values), 0, 16])
    item.add_new("LUTData", "US", [int(value) for value in values])
    return [item]


@pytest.mark.parametrize(
    ("sop_class", "modality", "applied"),
    [
        (XRayAngiographicImageStorage, "XA", False),
        (XRayRadiofluoroscopicImageStorage, "RF", False),
        ("1.2.840.10008.5.1.4.1.1.12.3", "XA", False),
        (None, "RF", False),
        (SecondaryCaptureImageStorage, "XA", True),
        (None, "CR", True),
    ],
)
def test_the_modality_table_of_angiography_is_not_for_display(
    tmp_path: Path, write_dicom: Any, sop_class: Any, modality: str, applied: bool
) -> None:
    pixels = np.arange(256, dtype=np.uint8).reshape(16, 16)
    path = write_dicom(
        tmp_path / "x.dcm",
        pixels,
        Modality=modality,
        SOPClassUID=sop_class,
        ModalityLUTSequence=table(255 - np.arange(256)),
        WindowCenter=128,
        WindowWidth=256,
    )
    np.testing.assert_array_equal(image_of(path).pixels, 255 - pixels if applied else pixels)


@pytest.mark.skipif(not shutil.which("dcm2pnm"), reason="DCMTK's programs (dcm2pnm) are not installed")
def test_dcmtk_agrees_about_the_table_of_angiography(tmp_path: Path, write_dicom: Any) -> None:
    path = write_dicom(
        tmp_path / "x.dcm",
        np.arange(256, dtype=np.uint8).reshape(16, 16),
        Modality="XA",
        SOPClassUID=XRayAngiographicImageStorage,
        PixelIntensityRelationship="LOG",
        ModalityLUTSequence=table(np.arange(256) ** 2),
        WindowCenter=128,
        WindowWidth=256,
    )
    subprocess.run(["dcm2pnm", "+Wi", "1", path, tmp_path / "x.pgm"], check=True, capture_output=True)
    shown = np.asarray(Image.open(tmp_path / "x.pgm")).astype(int)
    assert np.abs(image_of(path).pixels - shown).max() <= 1


UNUSUAL = ("rescale-type-unusual",)
TYPES = [
    (None, 1, -1024, True, ()),
    ("HU", 2, -500, True, ()),
    ("HU_MOD", 1, 0, True, ()),
    ("Houndsfield Unit", 1, -1024, True, UNUSUAL),
    ("HOUNSFIELD", 2, -2048, True, UNUSUAL),
    ("Hounsfield units", 1, 0, True, UNUSUAL),
    ("[HU]", 1, -1000, True, UNUSUAL),
    ("H.U.", 1, -1000, True, UNUSUAL),
    ("", 1, -1024, True, UNUSUAL),
    ("", 1, 0, True, UNUSUAL),
    ("", 2, -1024, False, ()),
    ("", 1, -8192, False, ()),
    ("", 1, 100, False, ()),
    ("US", 1, -1024, False, ()),
    ("OD", 1, -1024, False, ()),
    ("MGML", 1, 0, False, ()),
]


@pytest.mark.parametrize(("rescale_type", "slope", "intercept", "hounsfield", "warnings"), TYPES)
def test_rescale_types_that_mean_hounsfield_units(
    tmp_path: Path,
    write_dicom: Any,
    rescale_type: Any,
    slope: float,
    intercept: float,
    hounsfield: bool,
    warnings: Any,
) -> None:
    path = write_dicom(
        tmp_path / "x.dcm",
        RAMP * 7,
        Modality="CT",
        SOPClassUID=CTImageStorage,
        RescaleSlope=slope,
        RescaleIntercept=intercept,
        RescaleType=rescale_type,
        WindowCenter=0,
        WindowWidth=20_000,
    )
    if rescale_type == "":
        assert "RescaleType" in dcmread(path)
    image = image_of(path)
    assert (image.rendering == "ct-rgb-3window") == hounsfield
    assert image.warnings == warnings


def test_a_rescale_type_that_decides_nothing_is_not_told(make_dicom: Any) -> None:
    for given in ({"Modality": "MR"}, {"SOPClassUID": SecondaryCaptureImageStorage}, {"BitsStored": 8}):
        described = {"Modality": "CT", "RescaleSlope": 1, "RescaleIntercept": 0, "RescaleType": "Hounsfield"}
        assert attributes_of(make_dicom(RAMP, **{**described, **given})).warnings == ()


@pytest.mark.parametrize("count", [3, 4, 255, 256])
@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("wide", [False, True])
@pytest.mark.parametrize("big_endian", [False, True])
def test_palettes_of_one_byte_an_entry_whatever_the_descriptor_says(
    tmp_path: Path, make_dicom: Any, count: int, bits: int, wide: bool, big_endian: bool
) -> None:
    rng = np.random.default_rng(count)
    colours = rng.integers(0, 256, (count, 3), dtype=np.uint8)
    pixels = rng.integers(0, count, (8, 8), dtype=np.uint8)
    dataset = make_dicom(pixels, PhotometricInterpretation="PALETTE COLOR")
    for channel, name in enumerate(("Red", "Green", "Blue")):
        entries = colours[:, channel]
        dataset.add_new(f"{name}PaletteColorLookupTableDescriptor", "US", [count, 0, bits])
        words = np.frombuffer(bytes(entries) + b"\0" * (count % 2), "<u2")
        if wide:
            words = entries.astype(np.uint16) * (257 if bits == 16 else 1)
        order = ">u2" if big_endian else "<u2"
        dataset.add_new(f"{name}PaletteColorLookupTableData", "OW", words.astype(order).tobytes())
    if big_endian:
        dataset.file_meta.TransferSyntaxUID = ExplicitVRBigEndian
        dataset["PixelData"].VR = "OB"
    dataset.save_as(tmp_path / "x.dcm", enforce_file_format=True)
    np.testing.assert_array_equal(image_of(tmp_path / "x.dcm").pixels, colours[pixels])


def packed(values: bytes) -> bytes:
    """PS3.5 G.3: literal runs of at most 128 bytes."""
    runs = [values[at : at + 128] for at in range(0, len(values), 128)]
    return b"".join(bytes([len(run) - 1]) + run for run in runs)


def rle(segments: list[bytes]) -> bytes:
    offsets, at = [], 64
    for segment in segments:
        offsets.append(at)
        at += len(segment)
    return struct.pack("<16L", len(segments), *offsets, *[0] * (15 - len(offsets))) + b"".join(segments)


EXCESS = {
    "none": b"",
    "a byte of a run": packed(b"\7"),
    "a long run": b"\x81\5",
    "padding": b"\0",
    "padding without meaning": b"\x80\x80",
    "a run that is cut off": b"\x7f\1\2",
}


@pytest.mark.parametrize("excess", EXCESS)
@pytest.mark.parametrize(
    ("dtype", "samples"),
    [
        (np.uint8, 1),
        (np.uint16, 1),
        (np.int16, 1),
        (np.uint32, 1),
        (np.uint8, 3),
        (np.uint16, 3),
        (np.uint32, 3),
    ],
)
def test_run_lengths_hold_more_than_the_frame(
    tmp_path: Path, make_dicom: Any, excess: str, dtype: Any, samples: int
) -> None:
    rng = np.random.default_rng(2)
    shape = (7, 9, 3) if samples == 3 else (7, 9)
    info = np.iinfo(dtype)
    pixels = rng.integers(info.min, info.max, shape, dtype=dtype, endpoint=True)
    bytewise = np.ascontiguousarray(pixels).astype(pixels.dtype.newbyteorder(">"))
    planes = bytewise.view(np.uint8).reshape(7, 9, samples, -1)
    segments = [
        packed(planes[:, :, sample, byte].tobytes()) + EXCESS[excess]
        for sample in range(samples)
        for byte in range(planes.shape[3])
    ]
    dataset = make_dicom(pixels)
    dataset.file_meta.TransferSyntaxUID = RLELossless
    dataset.PixelData = encapsulate([rle(segments)])
    dataset.save_as(tmp_path / "x.dcm", enforce_file_format=True)

    from medsiglip.ingest.pixels.decode import frames, open_dataset

    (frame,) = frames(open_dataset(str(tmp_path / "x.dcm")), [0])
    np.testing.assert_array_equal(frame, pixels)


def test_run_lengths_that_are_too_short_are_still_refused(tmp_path: Path, make_dicom: Any) -> None:
    from medsiglip.ingest.errors import DecodeError
    from medsiglip.ingest.pixels.decode import frames, open_dataset

    pixels = RAMP.astype(np.uint8)
    for values in (pixels.tobytes()[:-1], b""):
        dataset = make_dicom(pixels)
        dataset.file_meta.TransferSyntaxUID = RLELossless
        dataset.PixelData = encapsulate([rle([packed(values)])])
        dataset.save_as(tmp_path / "x.dcm", enforce_file_format=True)
        with pytest.raises(DecodeError):
            list(frames(open_dataset(str(tmp_path / "x.dcm")), [0]))


def test_lossless_jpeg_2000_of_luma_and_chroma_in_more_room(tmp_path: Path, make_dicom: Any) -> None:
    import imagecodecs

    stored = np.rint(ybr(COLOURS, 128.0)).clip(0, 255).astype(np.uint16)
    coded = bytes(
        imagecodecs.jpeg2k_encode(
            stored, codecformat="j2k", reversible=True, level=0, mct=False, bitspersample=8
        )
    )
    dataset = make_dicom(stored, PhotometricInterpretation="YBR_FULL", BitsStored=8)
    dataset.file_meta.TransferSyntaxUID = JPEG2000Lossless
    dataset.PixelData = encapsulate([coded])
    dataset.save_as(tmp_path / "x.dcm", enforce_file_format=True)
    assert np.abs(image_of(tmp_path / "x.dcm").pixels - COLOURS).max() <= 1.6
