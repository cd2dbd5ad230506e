"""The renderings: which one suits an image, and what each makes of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from pydicom import Dataset

from medsiglip.ingest.render.attributes import PixelAttributes, Window, attributes_of
from medsiglip.ingest.render.histogram import ValueHistogram
from medsiglip.ingest.render.lookup_table import LookupTable
from medsiglip.ingest.render.renderings import RENDERINGS, limits_percentiles, render, version_of
from medsiglip.ingest.render.windowing import window_levels


def test_all_stored_windows_are_recorded_and_the_first_is_used() -> None:
    stored = np.arange(100, dtype=np.uint16).reshape(10, 10)
    display = render(stored, PixelAttributes(windows=(Window(50, 100), Window(20, 10)), bits_stored=12))
    assert (display.params["center"], display.params["width"]) == (50, 100)
    assert display.params["windows"] == [[50, 100], [20, 10]]
    later = render(stored, PixelAttributes(windows=(Window(9000, 10), Window(20, 10)), bits_stored=12))
    assert (later.params["center"], later.warnings) == (20, ("window-not-first",))


def test_dead_pixels_do_not_take_the_grey_scale() -> None:
    stored = np.tile(np.arange(200, 1200, dtype=np.uint16), (50, 1))
    expected = render(stored, PixelAttributes(modality="DX")).values
    stored[3, 3] = 65535
    display = render(stored, PixelAttributes(modality="DX"))
    high = display.params["high"]
    assert isinstance(high, float)
    assert high < 1200
    stored[3, 3] = stored[4, 3]
    np.testing.assert_allclose(display.values[5:], expected[5:], atol=1)


def test_numbers_that_are_not_finite_are_left_out_of_the_range() -> None:
    stored = np.array([[0.0, 50.0, 100.0, np.nan, np.inf, -np.inf]], np.float32)
    display = render(stored, PixelAttributes(bits_stored=32))
    np.testing.assert_array_equal(display.values, [[0, 128, 255, 0, 255, 0]])
    assert display.warnings == ("values-not-finite",)
    nothing = render(np.full((2, 2), np.nan), PixelAttributes(bits_stored=64, modality="MR"))
    np.testing.assert_array_equal(nothing.values, 0)


def test_float_values_whose_difference_overflows() -> None:
    stored = np.array([[-1.7e308, 0.0, 1.7e308]])
    assert np.isin(render(stored, PixelAttributes(bits_stored=64)).values, [0, 128, 255]).all()


def test_pet_slices_share_the_scale_of_their_series() -> None:
    # Two slices that were stored with factors of their own hold the same activity; nothing is coloured.
    hot = np.array([[0, 250, 1000]], np.uint16)
    slices = [(hot, 10.0), (hot * 10, 1.0)]
    histogram = ValueHistogram()
    for stored, slope in slices:
        histogram.add(stored, PixelAttributes(modality="PT", rescale_slope=slope))
    limits = histogram.limits((0.0, 100.0))
    one, other = (
        render(stored, PixelAttributes(modality="PT", rescale_slope=slope), limits=limits)
        for stored, slope in slices
    )
    assert one.rendering == "series-percentile"
    assert one.values.tolist() == other.values.tolist() == [[0, 64, 255]]


@pytest.mark.parametrize("polarity", ["MONOCHROME1", "MONOCHROME2"])
def test_white_is_hot_whatever_the_polarity_of_pet(polarity: Any) -> None:
    attributes = PixelAttributes(modality="PT", photometric_interpretation=polarity)
    uptake = np.array([[0, 500, 1000]], np.uint16)
    assert render(uptake, attributes, limits=(0.0, 1000.0)).values.tolist() == [[0, 128, 255]]


def test_ct_windows_are_the_published_ones() -> None:
    hu = np.array([[-1225, -135, 0, 40, 80, 215, 1025]], np.int16)
    display = render(
        hu, PixelAttributes(modality="CT", hounsfield=True, photometric_interpretation="MONOCHROME2")
    )
    assert display.rendering == "ct-rgb-3window"
    # Width 2250 level -100; width 350 level 40 (-135..215, not 135..215); width 80 level 40.
    np.testing.assert_array_equal(display.values[0, :, 0], [0, 124, 139, 143, 148, 163, 255])
    np.testing.assert_array_equal(display.values[0, :, 1], [0, 0, 98, 128, 157, 255, 255])
    np.testing.assert_array_equal(display.values[0, :, 2], [0, 0, 0, 128, 255, 255, 255])


def test_ct_without_rescale_or_in_a_secondary_capture_has_no_hounsfield_units() -> None:
    stored = np.array([[0, 4000]], np.uint16)
    assert render(stored, PixelAttributes(modality="CT")).rendering == "full-range"
    captured = PixelAttributes(modality="CT", hounsfield=True, secondary_capture=True)
    assert render(stored, captured).rendering == "full-range"


def test_mr_takes_percentiles_of_the_series() -> None:
    rng = np.random.default_rng(1)
    slices = [rng.integers(0, 3000, (40, 40)).astype(np.uint16) for _ in range(3)]
    attributes = PixelAttributes(modality="MR", rescale_slope=2.0, rescale_intercept=5.0)
    histogram = ValueHistogram()
    for one in slices:
        histogram.add(one, attributes)
    low, high = histogram.limits()
    np.testing.assert_allclose([low, high], np.percentile(np.stack(slices) * 2.0 + 5.0, [0.5, 99.5]))
    display = render(slices[0], attributes, limits=(low, high))
    expected = np.clip((slices[0] * 2.0 + 5.0 - low) / (high - low), 0, 1) * 255
    assert display.rendering == "mr-percentile"
    np.testing.assert_allclose(display.values, expected, atol=0.5001)


def test_padding_is_left_out_of_percentiles() -> None:
    stored = np.full((10, 10), -32768, np.int16)
    stored[:5] = np.arange(50).reshape(5, 10)
    histogram = ValueHistogram()
    histogram.add(stored, PixelAttributes(modality="MR", padding=(-32768, -32768)))
    assert histogram.limits((0.0, 100.0)) == (0.0, 49.0)


@pytest.mark.parametrize(
    ("window", "code"),
    [
        (Window(30000, 400), "window-outside-data"),
        (Window(-5000, 100), "window-outside-data"),
        (Window(50, 0), "window-invalid"),
        (Window(50, -7), "window-invalid"),
        (Window(50, 1e6), "window-outside-data"),
    ],
)
def test_absurd_windows_fall_back_to_percentiles_with_a_warning(window: Any, code: Any) -> None:
    stored = np.arange(1000, dtype=np.uint16).reshape(20, 50)
    display = render(stored, PixelAttributes(windows=(window,), bits_stored=12))
    assert display.warnings == (code,)
    assert display.rendering == "percentile"
    assert display.values.min() == 0
    assert display.values.max() == 255


@pytest.mark.parametrize(
    ("dtype", "bits", "window", "kept"),
    [
        (np.uint8, 8, Window(128, 256), True),
        (np.uint8, 8, Window(127, 255), True),
        (np.uint16, 12, Window(2048, 4096), True),
        (np.int16, 12, Window(0, 4096), True),
        # Far wider than the values, or not of the values: nothing would be seen of any frame.
        (np.uint8, 8, Window(128, 2000), False),
        (np.uint8, 8, Window(128, 4), False),
        (np.uint16, 16, Window(32768, 65536), False),
    ],
)
def test_an_almost_blank_frame_stays_so_in_a_window_over_all_stored_values(
    dtype: Any, bits: Any, window: Any, kept: Any
) -> None:
    stored = np.random.default_rng(1).integers(0, 3, (40, 50)).astype(dtype)
    display = render(stored, PixelAttributes(bits_stored=bits, windows=(window,)))
    assert (display.rendering, display.warnings) == (
        ("voi", ()) if kept else ("percentile", ("window-outside-data",))
    )
    assert int(np.ptp(display.values)) == (255 if not kept else np.ptp(stored) if bits == 8 else 0)


def test_a_window_over_all_values_after_a_negative_slope() -> None:
    stored = np.array([[0, 1, 2]], np.uint8)
    attributes = PixelAttributes(bits_stored=8, rescale_slope=-2.0, windows=(Window(-255, 512),))
    assert render(stored, attributes).rendering == "voi"


def test_unknown_voi_function_is_taken_as_linear_with_a_warning() -> None:
    stored = np.arange(100, dtype=np.uint16).reshape(10, 10)
    attributes = PixelAttributes(windows=(Window(50, 100),), bits_stored=12)
    display = render(stored, replace(attributes, voi_lut_function="CUBIC"))
    assert display.warnings == ("voi-function-unknown",)
    np.testing.assert_array_equal(display.values, render(stored, attributes).values)


def test_voi_lut_that_uses_less_than_its_stated_depth() -> None:
    table = LookupTable(0, np.array([0.0, 2000.0, 4095.0]), 16)
    display = render(np.array([[0, 1, 2]], np.uint16), PixelAttributes(voi_lut=table))
    assert display.warnings == ("lut-depth-wrong",)
    np.testing.assert_array_equal(display.values, [[0, 125, 255]])


def test_first_mapped_value_read_as_unsigned_is_negative(make_dicom: Any) -> None:
    stored = np.array([[-100, 0, 100]], np.int16)
    item = Dataset()
    item.add_new("LUTDescriptor", "US", [201, 65436, 8])  # -100 as an unsigned 16-bit number
    item.add_new("LUTData", "US", list(range(201)))
    values = render(stored, attributes_of(make_dicom(stored, VOILUTSequence=[item]))).values
    np.testing.assert_array_equal(values, [[0, 100, 200]])


def test_float_pixels() -> None:
    stored = np.array([[0.0, 0.5, 1.0, np.nan]], np.float32)
    np.testing.assert_array_equal(render(stored, PixelAttributes()).values, [[0, 128, 255, 0]])


def test_frame_of_another_shape_is_refused() -> None:
    with pytest.raises(ValueError, match="frame"):
        render(np.zeros((2, 2, 2, 2)), PixelAttributes())


def test_functional_groups_win_over_the_top_level(make_dicom: Any) -> None:
    dataset = make_dicom(np.zeros((2, 4, 4), np.uint16), NumberOfFrames=2, WindowCenter=1, WindowWidth=2)
    for center in (100, 200):
        voi, item = Dataset(), Dataset()
        voi.WindowCenter, voi.WindowWidth = center, 50
        item.FrameVOILUTSequence = [voi]
        dataset.PerFrameFunctionalGroupsSequence = [
            *dataset.get("PerFrameFunctionalGroupsSequence", []),
            item,
        ]
    shared, transformation = Dataset(), Dataset()
    transformation.RescaleSlope, transformation.RescaleIntercept, transformation.RescaleType = 3, 7, "US"
    shared.PixelValueTransformationSequence = [transformation]
    dataset.SharedFunctionalGroupsSequence = [shared]
    assert attributes_of(dataset, 1).windows == (Window(200, 50),)
    assert (attributes_of(dataset, 0).rescale_slope, attributes_of(dataset, 0).rescale_intercept) == (3, 7)


def test_lookup_tables_are_read_from_a_dataset(make_dicom: Any) -> None:
    item = Dataset()
    item.add_new("LUTDescriptor", "US", [3, 10, 12])
    item.add_new("LUTData", "OW", np.array([0, 1000, 4095], "<u2").tobytes())
    dataset = make_dicom(np.zeros((2, 2), np.uint16))
    dataset.VOILUTSequence = [item]
    table = attributes_of(dataset).voi_lut
    assert table is not None
    assert (table.first, table.bits, table.values.tolist()) == (10, 12, [0, 1000, 4095])


def test_only_series_renderings_depend_on_other_frames() -> None:
    assert limits_percentiles(PixelAttributes(modality="MR")) == (0.5, 99.5)
    assert limits_percentiles(PixelAttributes(windows=(Window(1, 2),))) is None
    assert limits_percentiles(PixelAttributes(bits_stored=12)) == (0.0, 100.0)


def test_window_narrower_than_one_is_exact() -> None:
    np.testing.assert_allclose(window_levels(np.array([0.0, 0.25, 0.5]), Window(0.25, 0.5)), [0.0, 0.5, 1.0])


def test_a_version_belongs_to_one_name() -> None:
    names = [rendering.name for rendering in RENDERINGS]
    assert len(set(names)) == len(names)
    assert [version_of(rendering.name) for rendering in RENDERINGS] == [one.version for one in RENDERINGS]
    with pytest.raises(KeyError):
        version_of("no-such-rendering")
