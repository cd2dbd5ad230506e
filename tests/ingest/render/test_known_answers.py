"""Stored values and the display values that they must become."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import Dataset
from pydicom.pixels.processing import apply_modality_lut, apply_voi_lut

from medsiglip.ingest.render.attributes import PixelAttributes, Window, attributes_of
from medsiglip.ingest.render.grey_levels import ramp_levels
from medsiglip.ingest.render.lookup_table import LookupTable
from medsiglip.ingest.render.renderings import render


def shown(values: Any, **attributes: Any) -> Any:
    stored = np.atleast_2d(np.asarray(values))
    return render(stored, PixelAttributes(**attributes)).values.ravel().tolist()


KNOWN_ANSWERS = [
    # PS3.3 C.11.2.1.2.1: below c - 0.5 - (w - 1)/2 black, above c - 0.5 + (w - 1)/2 white; c = 2048, w = 4096
    # maps 0..4095 onto the whole range.
    pytest.param(
        [0, 4095, 2048], {"windows": (Window(2048, 4096),), "bits_stored": 12}, [0, 255, 128], id="linear"
    ),
    # C.11.2.1.2.1: a width of 1 is a threshold at c - 0.5.
    pytest.param([9, 10, 99], {"windows": (Window(10, 1),)}, [0, 255, 255], id="width-one"),
    # C.11.2.1.3.2: c - w/2 is black, c + w/2 white, c in the middle.
    pytest.param(
        [0, 50, 100],
        {"windows": (Window(50, 100),), "voi_lut_function": "LINEAR_EXACT"},
        [0, 128, 255],
        id="linear-exact",
    ),
    # C.11.2.1.3.1: 1 / (1 + exp(-4 (x - c) / w)): 0.5 at c, 0.8808 at c + w/2.
    pytest.param(
        [50, 100, 0],
        {"windows": (Window(50, 100),), "voi_lut_function": "SIGMOID"},
        [128, 225, 30],
        id="sigmoid",
    ),
    pytest.param(
        [0, 99], {"windows": (Window(50, 100), Window(5, 1))}, [0, 255], id="first-of-several-windows"
    ),
    pytest.param([10, 20, 30], {"bits_stored": 12}, [0, 128, 255], id="full-range"),
    pytest.param(
        [0, 100], {"bits_stored": 12, "photometric_interpretation": "MONOCHROME1"}, [255, 0], id="monochrome1"
    ),
    pytest.param(
        [0, 100], {"bits_stored": 12, "presentation_lut_shape": "INVERSE"}, [255, 0], id="inverse-shape"
    ),
    pytest.param(
        [0, 100],
        {"bits_stored": 12, "photometric_interpretation": "MONOCHROME1", "presentation_lut_shape": "INVERSE"},
        [255, 0],
        id="inverted-once",
    ),
    # C.7.5.1.1.2: padding takes no part in statistics.
    pytest.param([-2000, 0, 100, 200], {"padding": (-2000, -2000)}, [0, 0, 128, 255], id="padding"),
    pytest.param([-2000, -1990, 0, 200], {"padding": (-2000, -1900)}, [0, 0, 0, 255], id="padding-range"),
    pytest.param(
        [0, 1, 2],
        {"voi_lut": LookupTable(0, np.array([0.0, 4095.0, 2048.0]), 12)},
        [0, 255, 128],
        id="voi-lut",
    ),
    # C.11.2.1.1: below the first mapped value the first entry counts, above the table the last.
    pytest.param(
        [-5, 10, 12, 900],
        {"voi_lut": LookupTable(10, np.array([0.0, 100.0, 255.0]), 8)},
        [0, 0, 255, 255],
        id="voi-lut-ends",
    ),
    pytest.param(
        [0, 1, 2],
        {"modality_lut": LookupTable(0, np.array([100.0, 0.0, 50.0]), 8), "windows": (Window(50.5, 101),)},
        [255, 0, 128],
        id="modality-lut",
    ),
    pytest.param(
        [0, 1000, 2000],
        {"rescale_slope": 2.0, "rescale_intercept": -1000.0, "windows": (Window(1000.5, 4001),)},
        [0, 128, 255],
        id="rescale",
    ),
]


@pytest.mark.parametrize(("values", "attributes", "expected"), KNOWN_ANSWERS)
def test_known_answers(values: Any, attributes: Any, expected: Any) -> None:
    assert shown(np.array(values, np.int16), **attributes) == expected


# Rounding is half up, so 127.5 is 128 either way round.
RULES = [
    # PS3.3 C.11.1.1.2: a negative slope turns the scale around.
    pytest.param(
        [0, 50, 100], {"rescale_slope": -1.0, "windows": (Window(-49.5, 101),)}, [255, 128, 0], id="negative"
    ),
    # C.11.2.1.2.1: several windows are alternatives.
    pytest.param(
        [0, 100],
        {"windows": (Window(9000, 10), Window(float("nan"), 1), Window(50.5, 101))},
        [0, 255],
        id="alternative",
    ),
    # C.11.2.1.3.1 with C.11.2.1.2.1: polarity after the window; 1 - 0.8808 = 0.1192 at c + w/2.
    pytest.param(
        [50, 100],
        {
            "windows": (Window(50, 100),),
            "voi_lut_function": "SIGMOID",
            "photometric_interpretation": "MONOCHROME1",
        },
        [128, 30],
        id="sigmoid-inverted",
    ),
    # A window of fractions: black at 0.25, white at 0.75 after a rescale of 1/100.
    pytest.param(
        [20, 25, 50, 75, 90],
        {"rescale_slope": 0.01, "windows": (Window(0.5, 0.5),)},
        [0, 0, 128, 255, 255],
        id="narrow-exact",
    ),
    # Two stored values in the window: 10 is black and 12 white.
    pytest.param(
        [9, 10, 11, 12, 13], {"windows": (Window(11.5, 3),)}, [0, 0, 128, 255, 255], id="narrow-linear"
    ),
    pytest.param([-32768, 0, 32767], {"windows": (Window(0, 65536),)}, [0, 128, 255], id="whole-range"),
    pytest.param([7, 7], {"bits_stored": 12}, [0, 0], id="blank"),
    # C.11.1.1.1: no VOI transformation follows, so the table's own range is shown.
    pytest.param(
        [0, 1, 2],
        {"modality_lut": LookupTable(0, np.array([30.0, 10.0, 20.0]), 8)},
        [255, 0, 128],
        id="modality-alone",
    ),
]


@pytest.mark.parametrize(("values", "attributes", "expected"), RULES)
def test_more_known_answers(values: Any, attributes: Any, expected: Any) -> None:
    assert shown(np.array(values, np.int16), **attributes) == expected


def test_stated_range_of_few_bits() -> None:
    assert shown(np.array([0, 1], np.uint8), bits_stored=1) == [0, 255]
    assert shown(np.array([0, 64, 127], np.uint8), bits_stored=7) == [0, 129, 255]
    inverted = shown(
        np.array([0, 55, 255], np.uint8), bits_stored=8, photometric_interpretation="MONOCHROME1"
    )
    assert inverted == [255, 200, 0]


@settings(max_examples=80, deadline=None)
@given(
    st.sampled_from([np.int16, np.uint16, np.int8, np.uint8]),
    st.floats(-1e5, 1e5),
    st.floats(1e-3, 1e6),
    st.booleans(),
    st.integers(0, 999),
)
def test_the_ramp_is_that_of_exact_arithmetic(
    dtype: Any, black: Any, width: Any, inverted: Any, seed: Any
) -> None:
    info = np.iinfo(dtype)
    stored = np.random.default_rng(seed).integers(info.min, info.max, (130, 7), dtype=dtype, endpoint=True)
    white = black + width
    first, second = (white, black) if inverted else (black, white)
    exact = np.clip((stored - first) / (second - first), 0, 1) * 255
    np.testing.assert_allclose(ramp_levels(stored, first, second), exact, atol=0.5002)


def test_eight_bits_without_a_window_are_shown_as_they_are() -> None:
    assert shown(np.array([3, 100, 200], np.uint8), bits_stored=8) == [3, 100, 200]


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from([np.int16, np.uint16, np.int8, np.uint8]),
    st.floats(0.01, 3).map(lambda value: round(value, 6)),
    st.floats(-2000, 2000).map(lambda value: round(value, 6)),
    st.sampled_from(["LINEAR", "LINEAR_EXACT", "SIGMOID"]),
)
def test_agrees_with_pydicom(seed: Any, dtype: Any, slope: Any, intercept: Any, function: Any) -> None:
    rng = np.random.default_rng(seed)
    info = np.iinfo(dtype)
    stored = rng.integers(info.min, info.max, (70, 9), dtype=dtype, endpoint=True)
    values = stored * slope + intercept
    dataset = Dataset()
    dataset.RescaleSlope, dataset.RescaleIntercept = repr(slope), repr(intercept)
    dataset.WindowCenter = round(float(values.min() + np.ptp(values) * rng.uniform(0.3, 0.7)), 2)
    dataset.WindowWidth = round(float(rng.uniform(2, np.ptp(values) + 2)), 2)
    dataset.VOILUTFunction = function
    dataset.BitsStored, dataset.PixelRepresentation = 8 * info.dtype.itemsize, int(info.min < 0)
    dataset.PhotometricInterpretation = "MONOCHROME2"
    rescaled = apply_modality_lut(stored, dataset)
    windowed = apply_voi_lut(rescaled, dataset)
    # pydicom's output range is that of all values the stored bits could take after the rescale.
    ends = np.array([info.min, info.max]) * float(dataset.RescaleSlope) + float(dataset.RescaleIntercept)
    expected = (windowed - ends.min()) / np.ptp(ends) * 255
    got = render(stored, attributes_of(dataset)).values
    np.testing.assert_allclose(got, expected, atol=1.0)


def test_the_table_and_the_direct_path_agree() -> None:
    rng = np.random.default_rng(5)
    large = rng.integers(-1024, 3000, (200, 200)).astype(np.int16)
    attributes = PixelAttributes(windows=(Window(300, 1500),))
    np.testing.assert_array_equal(
        render(large, attributes).values, render(large.astype(np.float64), attributes).values
    )
