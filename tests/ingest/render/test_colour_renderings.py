from __future__ import annotations

import struct
from typing import Any

import numpy as np
import pytest
from pydicom import Dataset
from pydicom.pixels.processing import apply_color_lut, apply_icc_profile

from medsiglip.ingest.render.attributes import PixelAttributes, attributes_of
from medsiglip.ingest.render.lookup_table import expand_segments
from medsiglip.ingest.render.renderings import choose_rendering, render

INDICES = np.array([[4, 5], [6, 90]], np.uint8)


def with_palette(
    make_dicom: Any,
    channels: Any,
    descriptor: Any,
    stored: Any = INDICES,
    segmented: Any = "",
    **attributes: Any,
) -> Any:
    dataset = make_dicom(stored, PhotometricInterpretation="PALETTE COLOR", **attributes)
    for name, data in zip(("Red", "Green", "Blue"), channels, strict=True):
        dataset.add_new(f"{name}PaletteColorLookupTableDescriptor", "US", descriptor)
        setattr(dataset, f"{segmented}{name}PaletteColorLookupTableData", data)
    return dataset


def words(*values: Any) -> Any:
    return np.array(values, "<u2").tobytes()


def rendered(dataset: Any, stored: Any = INDICES) -> Any:
    return render(stored, attributes_of(dataset)).values.tolist()


BLUE, RED, GREEN = [0, 0, 255], [255, 0, 0], [0, 128, 0]


# PS3.3 C.7.6.3.1.5: inputs below the first mapped value take the first colour, above the table the last.
def test_palette_of_sixteen_bits_keeps_the_upper_eight(make_dicom: Any) -> None:
    channels = [words(0, 65535, 0), words(0, 0, 32896), words(65535, 0, 0)]
    display = render(INDICES, attributes_of(with_palette(make_dicom, channels, [3, 4, 16])))
    assert display.values.tolist() == [[BLUE, RED], [GREEN, GREEN]]
    assert (display.rendering, display.warnings) == ("palette", ())


def test_palette_of_eight_bits_in_words_of_sixteen(make_dicom: Any) -> None:
    channels = [words(0, 255, 0), words(0, 0, 128), words(255, 0, 0)]
    assert rendered(with_palette(make_dicom, channels, [3, 4, 16])) == [[BLUE, RED], [GREEN, GREEN]]


def test_palette_of_eight_bits_holds_two_entries_in_a_word(make_dicom: Any) -> None:
    channels = [bytes([0, 255, 0, 0]), bytes([0, 0, 128, 0]), bytes([255, 0, 0, 0])]
    assert rendered(with_palette(make_dicom, channels, [3, 4, 8])) == [[BLUE, RED], [GREEN, GREEN]]


def test_first_mapped_value_of_a_palette_may_be_negative(make_dicom: Any) -> None:
    stored = np.array([[-2, -1, 0]], np.int16)
    channels = [words(0, 65535, 0), words(0, 0, 32896), words(65535, 0, 0)]
    for first in (-2, 65534):
        dataset = with_palette(make_dicom, channels, [3, first & 0xFFFF, 16], stored)
        assert rendered(dataset, stored) == [[BLUE, RED, GREEN]]


def test_big_palette_counts_as_none(make_dicom: Any) -> None:
    stored = np.array([[0, 1, 65535]], np.uint16)
    ramp = np.arange(65536, dtype="<u2").tobytes()
    dataset = with_palette(make_dicom, [ramp] * 3, [0, 0, 16], stored)
    assert rendered(dataset, stored) == [[[0] * 3, [0] * 3, [255] * 3]]


def test_segments_are_discrete_linear_or_repeated() -> None:
    # PS3.3 C.7.9.2: discrete 3 entries; linear, 4 more up to 50; then 2 segments from byte 0 again.
    data = np.array([0, 3, 1, 2, 10, 1, 4, 50, 2, 2, 0, 0], np.uint16)
    whole = [1, 2, 10, 20, 30, 40, 50]
    assert expand_segments(data, 14, 2).tolist() == whole * 2
    assert expand_segments(data, 5, 2).tolist() == whole[:5]


@pytest.mark.parametrize(
    "segments",
    [[1, 4, 50], [2, 1, 0, 0], [0, 9, 1], [7, 1, 1], [0, 1, 5, 2, 9, 6, 0]],
    ids=["begins-linear", "begins-indirect", "reaches-beyond", "unknown", "indirect-within-indirect"],
)
def test_segments_that_cannot_be_read(segments: Any) -> None:
    with pytest.raises(ValueError, match="segment"):
        expand_segments(np.array(segments, np.uint16), 256, 2)


@pytest.mark.parametrize("bits", [8, 16])
def test_segmented_palette_agrees_with_pydicom(make_dicom: Any, bits: Any) -> None:
    top = 2**bits - 1
    segments = [0, 2, 0, top // 3, 1, 60, top, 0, 1, top // 5, 1, 100, 9, 1, 93, top // 2]
    data = np.array(segments, f"<u{bits // 8}").tobytes()
    stored = np.arange(256, dtype=np.uint8).reshape(16, 16)
    dataset = with_palette(make_dicom, [data] * 3, [256, 0, bits], stored, segmented="Segmented")
    expected = apply_color_lut(stored, dataset) / top * 255
    np.testing.assert_allclose(render(stored, attributes_of(dataset)).values, expected, atol=1.0)


def test_palette_that_cannot_be_read_leaves_its_indices(make_dicom: Any) -> None:
    dataset = with_palette(make_dicom, [b"", b"", b""], [3, 4, 16])
    display = render(INDICES, attributes_of(dataset))
    assert (display.rendering, display.warnings) == ("full-range", ("palette-invalid",))
    np.testing.assert_array_equal(display.values, INDICES)


def test_supplemental_palette_colours_the_upper_values_alone(make_dicom: Any) -> None:
    # PS3.3 C.7.6.19: below the first mapped value the grey chain goes on.
    stored = np.array([[0, 50, 100, 101, 102, 999]], np.uint16)
    dataset = with_palette(
        make_dicom, [words(65535, 0), words(0, 65535), words(0, 0)], [2, 101, 16], stored, BitsStored=12
    )
    dataset.PhotometricInterpretation, dataset.PixelPresentation = "MONOCHROME2", "MIXED"
    dataset.WindowCenter, dataset.WindowWidth = 50.5, 101
    display = render(stored, attributes_of(dataset))
    assert display.rendering == "supplemental-palette"
    assert display.values[0].tolist() == [
        [0] * 3,
        [128] * 3,
        [255] * 3,
        [255, 0, 0],
        [0, 255, 0],
        [0, 255, 0],
    ]
    dataset.PixelPresentation = "MONOCHROME"
    assert choose_rendering(attributes_of(dataset)) == "voi"


def test_sixteen_bit_colour_is_scaled_by_its_stored_bits() -> None:
    stored = np.array([[[0, 2048, 4095]]], np.uint16)
    display = render(stored, PixelAttributes(photometric_interpretation="RGB", bits_stored=12))
    np.testing.assert_array_equal(display.values, [[[0, 128, 255]]])
    assert display.rendering == "colour"


def rgb_profile(gamma: float, primaries: str = "srgb") -> bytes:
    """An ICC profile (ICC.1:2001) of three matrix columns and a gamma; `swapped` exchanges red and green."""
    columns = [(0.4361, 0.2225, 0.0139), (0.3851, 0.7169, 0.0971), (0.1431, 0.0606, 0.7141)]
    if primaries == "swapped":
        columns[0], columns[1] = columns[1], columns[0]
    curve = b"curv" + struct.pack(">IIH", 0, 1, round(gamma * 256)) + b"\0\0"

    def xyz(values: Any) -> Any:
        return b"XYZ " + bytes(4) + b"".join(struct.pack(">i", round(v * 65536)) for v in values)

    tags = {b"wtpt": xyz((0.9642, 1.0, 0.8249))}
    tags |= {name + b"XYZ": xyz(c) for name, c in zip((b"r", b"g", b"b"), columns, strict=True)}
    tags |= {name + b"TRC": curve for name in (b"r", b"g", b"b")}
    tags[b"desc"] = b"desc" + struct.pack(">II", 0, 5) + b"test\0" + bytes(78)
    table, data, at = b"", b"", 128 + 4 + 12 * len(tags)
    for name, value in tags.items():
        value += bytes(-len(value) % 4)
        table += name + struct.pack(">II", at + len(data), len(value))
        data += value
    body = struct.pack(">I", len(tags)) + table + data
    header = struct.pack(">I4sI4s4s4s", 128 + len(body), bytes(4), 0x02400000, b"mntr", b"RGB ", b"XYZ ")
    header += bytes(12) + b"acsp" + bytes(28) + struct.pack(">iii", 63190, 65536, 54061)
    return header.ljust(128, b"\0") + body


COLOURS = np.random.default_rng(3).integers(0, 256, (20, 30, 3)).astype(np.uint8)


def test_icc_profile_of_linear_light_is_brought_to_srgb() -> None:
    # 128/255 of the light is 1.055 * 0.50196 ** (1 / 2.4) - 0.055 = 0.7367 in sRGB: level 188.
    grey = np.full((4, 4, 3), 128, np.uint8)
    attributes = PixelAttributes(photometric_interpretation="RGB", icc_profile=rgb_profile(1.0))
    display = render(grey, attributes)
    assert (display.params, display.warnings) == ({"icc": True}, ())
    np.testing.assert_allclose(display.values, 188, atol=1)
    assert (grey == 128).all()


@pytest.mark.parametrize("profile", [rgb_profile(1.8), rgb_profile(2.2, "swapped")])
def test_icc_profile_agrees_with_pydicom(make_dicom: Any, profile: Any) -> None:
    dataset = make_dicom(COLOURS, ICCProfile=profile)
    expected = apply_icc_profile(COLOURS.copy(), dataset).astype(int)
    assert np.abs(expected - COLOURS).max() > 10
    np.testing.assert_allclose(render(COLOURS, attributes_of(dataset)).values, expected, atol=1)


def test_icc_profile_of_the_optical_path_of_a_frame(make_dicom: Any) -> None:
    dataset = make_dicom(np.stack([COLOURS, COLOURS]), NumberOfFrames=2)
    dataset.OpticalPathSequence, dataset.PerFrameFunctionalGroupsSequence = [], []
    for name, gamma in (("A", 1.0), ("B", 1.8)):
        path, identification, groups = Dataset(), Dataset(), Dataset()
        path.OpticalPathIdentifier = identification.OpticalPathIdentifier = name
        path.ICCProfile = rgb_profile(gamma)
        groups.OpticalPathIdentificationSequence = [identification]
        dataset.OpticalPathSequence.append(path)
        dataset.PerFrameFunctionalGroupsSequence.append(groups)
    assert attributes_of(dataset, 1).icc_profile == rgb_profile(1.8)
    del dataset.PerFrameFunctionalGroupsSequence
    assert attributes_of(dataset, 1).icc_profile == rgb_profile(1.0)


def test_palette_colours_go_through_the_icc_profile_too(make_dicom: Any) -> None:
    channels = [words(0, 128, 255)] * 3
    dataset = with_palette(make_dicom, channels, [3, 4, 16], ICCProfile=rgb_profile(1.0))
    np.testing.assert_allclose(render(INDICES, attributes_of(dataset)).values[0, 1], 188, atol=1)


@pytest.mark.parametrize(
    "profile", [b"no profile", rgb_profile(1.0)[:200], rgb_profile(1.0).replace(b"RGB ", b"GRAY")]
)
def test_broken_icc_profile_leaves_the_colours_and_says_so(profile: Any) -> None:
    display = render(COLOURS, PixelAttributes(photometric_interpretation="RGB", icc_profile=profile))
    np.testing.assert_array_equal(display.values, COLOURS)
    assert display.warnings == ("icc-profile-invalid",)
