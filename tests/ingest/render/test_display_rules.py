"""Known answers of the whole way from a file to display values, one for each rule (PS3.3 C.7.6.3, C.11.1,
C.11.2; PS3.5 8.1).

Levels are worked out by hand from the formulas of the standard; rounding is half up.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import ImageCms
from pydicom import Dataset
from pydicom.tag import Tag

from tests.ingest.read_files import images_of


def table(first: Any, values: Any, bits: Any = 8) -> Any:
    item = Dataset()
    item.add_new("LUTDescriptor", "US", [len(values), first & 0xFFFF, bits])
    item.add_new("LUTData", "US", list(values))
    return [item]


def palette(channels: Any, segmented: Any = "") -> Any:
    found: dict[str, Any] = {}
    for colour, entries in zip(("Red", "Green", "Blue"), channels, strict=True):
        found[f"{colour}PaletteColorLookupTableDescriptor"] = [3, 1, 16]
        found[f"{segmented}{colour}PaletteColorLookupTableData"] = np.array(entries, "<u2").tobytes()
    return found


def u8(*values: Any) -> Any:
    return np.array([values], np.uint8)


def u16(*values: Any) -> Any:
    return np.array([values], np.uint16)


def i16(*values: Any) -> Any:
    return np.array([values], np.int16)


def window(center: Any, width: Any, function: Any = "LINEAR") -> Any:
    return {"WindowCenter": center, "WindowWidth": width, "VOILUTFunction": function}


PURE = np.array([[[255, 0, 0], [0, 255, 0], [10, 20, 30]]], np.uint8)
# ITU-R BT.601: Y, Cb, Cr of red, green and grey 100.
YBR = np.array([[[76, 85, 255], [150, 44, 21], [100, 128, 128]]], np.uint8)
RGB_OF_YBR = [[[254, 0, 0], [0, 255, 1], [100, 100, 100]]]
THREE = palette([(0, 65535, 0), (0, 0, 65535), (65535, 0, 0)])
# PS3.3 C.7.9.2: one discrete entry, then two more on the line to the last.
SEGMENTED = palette([(0, 1, 0, 1, 2, 65535), (0, 1, 0, 1, 2, 0), (0, 1, 65535, 1, 2, 65535)], "Segmented")
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()

# stored values, attributes, display values
RULES = {
    "eight bits as they are": (u8(0, 7, 255), {}, [0, 7, 255]),
    "seven bits": (u8(0, 64, 127), {"BitsStored": 7, "HighBit": 6}, [0, 129, 255]),
    "full range of ten bits": (u16(3, 103, 203), {"BitsStored": 10}, [0, 128, 255]),
    "signed": (i16(-100, 0, 100), {"BitsStored": 12}, [0, 128, 255]),
    # 4 bits below or above do not count (PS3.5 8.1.1).
    "high bit 15 of 12": (u16(0x0007, 0x8007, 0xFFF0), {"BitsStored": 12, "HighBit": 15}, [0, 128, 255]),
    "bits above high bit": (u16(0xF000, 0x5800, 0xFFF0), {"BitsStored": 12}, [0, 128, 255]),
    # Black at c - 0.5 - (w - 1) / 2 = 9.5, white at 11.5.
    "window": (u16(9, 10, 11, 12), window(11, 3), [0, 64, 191, 255]),
    "first of several windows": (u16(0, 100), window([50.5, 1], [101, 1]), [0, 255]),
    "window beyond the data": (u16(0, 100), window([9000, 50.5], [2, 101]), [0, 255]),
    # Black at c - w / 2, white at c + w / 2.
    "window exact": (u16(9, 10, 11, 12), window(11, 4, "LINEAR_EXACT"), [0, 64, 128, 191]),
    # 1 / (1 + exp(-4 (x - c) / w)): 0.0180 at c - w, 0.5, 0.9820.
    "window sigmoid": (u16(0, 100, 200), window(100, 100, "SIGMOID"), [5, 128, 250]),
    "window of signed": (i16(-100, 0, 100), window(0.5, 201), [0, 128, 255]),
    "rescale before the window": (
        u16(0, 100, 200),
        {"RescaleSlope": 2, "RescaleIntercept": -200, **window(0.5, 401)},
        [0, 128, 255],
    ),
    "modality table before the window": (
        u16(5, 6, 7),
        {"ModalityLUTSequence": table(5, [200, 0, 100]), **window(100.5, 201)},
        [255, 0, 128],
    ),
    "VOI table": (
        u16(0, 10, 11, 12, 99),
        {"VOILUTSequence": table(10, [5, 128, 250])},
        [5, 5, 128, 250, 250],
    ),
    "VOI table of signed": (i16(-2, -1, 0), {"VOILUTSequence": table(-2, [10, 250, 30])}, [10, 250, 30]),
    "VOI table before windows": (
        u16(10, 11, 12),
        {"VOILUTSequence": table(10, [5, 128, 250]), **window(1, 2)},
        [5, 128, 250],
    ),
    "monochrome 1": (u16(0, 100, 200), {"PhotometricInterpretation": "MONOCHROME1"}, [255, 128, 0]),
    "monochrome 1 after the window": (
        u16(0, 100, 200),
        {"PhotometricInterpretation": "MONOCHROME1", **window(50.5, 101)},
        [255, 0, 0],
    ),
    "presentation LUT shape": (u16(0, 200), {"PresentationLUTShape": "INVERSE"}, [255, 0]),
    "identity shape": (u16(0, 200), {"PresentationLUTShape": "IDENTITY"}, [0, 255]),
    # Not in the range, and rendered like any value.
    "padding": (i16(-2000, 0, 100, 200), {"PixelPaddingValue": -2000}, [0, 0, 128, 255]),
    "palette": (u8(0, 1, 2, 3), {"PhotometricInterpretation": "PALETTE COLOR", **THREE}, None),
    "segmented palette": (u8(1, 2, 3), {"PhotometricInterpretation": "PALETTE COLOR", **SEGMENTED}, None),
    "RGB": (PURE, {}, PURE.tolist()),
    "RGB plane by plane": (PURE.transpose(2, 0, 1), {"PlanarConfiguration": 1}, PURE.tolist()),
    "YBR full": (YBR, {"PhotometricInterpretation": "YBR_FULL"}, RGB_OF_YBR),
    "sRGB profile": (PURE, {"ICCProfile": SRGB}, PURE.tolist()),
}
COLOURS = {
    "palette": [[[0, 0, 255], [0, 0, 255], [255, 0, 0], [0, 255, 0]]],
    "segmented palette": [[[0, 0, 255], [128, 0, 255], [255, 0, 255]]],
}


def rendered(tmp_path: Path, make_dicom: Any, pixels: Any, attributes: Any) -> Any:
    planar = "PlanarConfiguration" in attributes
    dataset = make_dicom(pixels.transpose(1, 2, 0) if planar else pixels, **attributes)
    if planar:
        dataset.PixelData = np.ascontiguousarray(pixels).tobytes()
    dataset.PixelData += b"\0" * (len(dataset.PixelData) % 2)
    dataset.save_as(tmp_path / "x.dcm", enforce_file_format=True)
    (image,) = images_of([tmp_path])
    return image


@pytest.mark.parametrize("rule", RULES)
def test_rule(tmp_path: Path, make_dicom: Any, rule: Any) -> None:
    pixels, attributes, expected = RULES[rule]
    image = rendered(tmp_path, make_dicom, pixels, attributes)
    assert image.pixels.tolist() == ([expected] if np.ndim(expected) == 1 else expected or COLOURS[rule])
    assert image.warnings == (("window-not-first",) if rule == "window beyond the data" else ())


@pytest.mark.parametrize("absurd", [(9000, 2), (0.5, 0), (50, -3), (50, 1e9)])
def test_a_window_that_shows_nothing_is_left_and_that_is_told(
    tmp_path: Path, make_dicom: Any, absurd: Any
) -> None:
    values = np.arange(1000, dtype=np.uint16)[np.newaxis]
    image = rendered(tmp_path, make_dicom, values, window(*absurd))
    low, high = np.percentile(values, [0.5, 99.5])
    np.testing.assert_allclose(image.pixels, np.clip((values - low) / (high - low), 0, 1) * 255, atol=0.5001)
    assert image.rendering == "percentile"
    assert image.warnings in (("window-outside-data",), ("window-invalid",))


def test_overlays_are_left_out(tmp_path: Path, make_dicom: Any) -> None:
    pixels = u8(0, 7, 255, 9, 3, 1, 2, 4)
    plain = rendered(tmp_path, make_dicom, pixels, {})
    dataset = make_dicom(pixels)
    for element, vr, value in (
        (0x0010, "US", 1),
        (0x0011, "US", 8),
        (0x0040, "CS", "G"),
        (0x0050, "SS", [1, 1]),
        (0x0100, "US", 1),
        (0x0102, "US", 0),
        (0x3000, "OW", b"\xff\0"),
    ):
        dataset.add_new(Tag(0x6000, element), vr, value)
    stream = io.BytesIO()
    dataset.save_as(stream, enforce_file_format=True)
    (tmp_path / "x.dcm").write_bytes(stream.getvalue())
    (image,) = images_of([tmp_path])
    np.testing.assert_array_equal(image.pixels, plain.pixels)
    np.testing.assert_array_equal(image.pixels, pixels)
