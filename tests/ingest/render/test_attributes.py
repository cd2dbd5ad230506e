from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom import Dataset
from pydicom.datadict import dictionary_VR
from pydicom.dataelem import RawDataElement
from pydicom.tag import Tag

from medsiglip.ingest.render.attributes import AttributeReader, PixelAttributes, Window, attributes_of
from medsiglip.ingest.render.renderings import render

STORED = np.arange(64, dtype=np.uint16).reshape(8, 8)
KEYWORDS = [
    "BitsAllocated",
    "BitsStored",
    "PixelRepresentation",
    "PhotometricInterpretation",
    "Modality",
    "SOPClassUID",
    "RescaleSlope",
    "RescaleIntercept",
    "RescaleType",
    "ModalityLUTSequence",
    "VOILUTSequence",
    "WindowCenter",
    "WindowWidth",
    "VOILUTFunction",
    "PresentationLUTShape",
    "PixelPaddingValue",
    "PixelPaddingRangeLimit",
    "PixelPresentation",
    "PresentationIntentType",
    "RedPaletteColorLookupTableDescriptor",
    "RedPaletteColorLookupTableData",
    "ICCProfile",
    "OpticalPathSequence",
    "PerFrameFunctionalGroupsSequence",
    "SharedFunctionalGroupsSequence",
]


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.dictionaries(
        st.sampled_from(KEYWORDS),
        st.tuples(
            st.sampled_from(["", "DS", "US", "CS", "UN", "SQ", "LO", "OB", "FD"]), st.binary(max_size=24)
        ),
        max_size=6,
    )
)
def test_no_value_of_any_representation_raises(make_dicom: Any, values: Any) -> None:
    dataset = make_dicom(STORED)
    for keyword, (vr, value) in values.items():
        tag = Tag(keyword)
        vr = vr or dictionary_VR(tag)[:2]
        dataset._dict[tag] = RawDataElement(tag, vr, len(value), value, 0, False, True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom's, about the values
        attributes = attributes_of(dataset)
        assert isinstance(attributes, PixelAttributes)
        assert render(STORED, attributes).values.shape[:2] == STORED.shape


def test_several_values_where_one_is_expected(make_dicom: Any) -> None:
    dataset = make_dicom(STORED)
    dataset.RescaleSlope, dataset.RescaleIntercept = [2, 3], [1, 7]
    dataset.add_new("Modality", "CS", ["CT", "MR"])
    attributes = attributes_of(dataset)
    assert (attributes.rescale_slope, attributes.rescale_intercept, attributes.modality) == (2, 1, "CT")


def test_window_values_stay_in_pairs(make_dicom: Any) -> None:
    dataset = make_dicom(STORED)
    dataset.add_new("WindowCenter", "LO", ["rubbish", "40", "90"])
    dataset.add_new("WindowWidth", "LO", ["400", "80"])
    first, second = attributes_of(dataset).windows
    assert np.isnan([first.center, first.width]).all()
    assert second == Window(40, 80)


@pytest.mark.parametrize(("slope", "intercept"), [(0, 5), (1e-40, 0), (1e35, 0), (1, 1e30)])
def test_slope_that_leaves_nothing_is_not_applied_and_is_told(
    make_dicom: Any, slope: Any, intercept: Any
) -> None:
    dataset = make_dicom(STORED)
    dataset.add_new("RescaleSlope", "FD", float(slope))
    dataset.add_new("RescaleIntercept", "FD", float(intercept))
    attributes = attributes_of(dataset)
    assert (attributes.rescale_slope, attributes.rescale_intercept) == (1, 0)
    assert render(STORED, attributes).warnings == ("rescale-invalid",)


@pytest.mark.parametrize(
    ("dtype", "padding", "limit", "expected"),
    [
        (np.uint16, 0, None, (0, 0)),
        (np.uint16, 4095, 4000, (4000, 4095)),
        # Written or read as the other representation: 63536 is -2000 in 16 bits, and the other way round.
        (np.int16, 63536, None, (-2000, -2000)),
        (np.uint16, -2000, None, (63536, 63536)),
    ],
)
def test_padding_has_the_representation_of_the_pixels(
    make_dicom: Any, dtype: Any, padding: Any, limit: Any, expected: Any
) -> None:
    dataset = make_dicom(STORED.astype(dtype))
    dataset.add_new("PixelPaddingValue", "US" if padding >= 0 else "SS", padding)
    if limit is not None:
        dataset.add_new("PixelPaddingRangeLimit", "US", limit)
    assert attributes_of(dataset).padding == expected


def lut_item(descriptor: Any, data: Any, vr: Any = "OW") -> Any:
    item = Dataset()
    item.add_new("LUTDescriptor", "US", descriptor)
    item.add_new("LUTData", vr, data)
    return item


@pytest.mark.parametrize(
    ("descriptor", "data", "vr"),
    [
        ([3, 5, 8], bytes([1, 2, 3, 0]), "OW"),
        ([3, 5, 8], np.array([1, 2, 3], "<u2").tobytes(), "OW"),
        ([3, 5, 8], [1 + (2 << 8), 3], "US"),
        ([3, 5, 8], [1, 2, 3], "US"),
        ([3, 5, 12], [1, 2, 3, 99], "US"),
    ],
    ids=["packed", "padded", "packed-words", "words", "too-long"],
)
def test_table_data_in_every_form(make_dicom: Any, descriptor: Any, data: Any, vr: Any) -> None:
    table = attributes_of(make_dicom(STORED, VOILUTSequence=[lut_item(descriptor, data, vr)])).voi_lut
    assert table is not None
    assert (table.first, table.bits, table.values.tolist()) == (5, descriptor[2], [1, 2, 3])


@pytest.mark.parametrize(
    ("image_type", "rendering"),
    [
        (["ORIGINAL", "PRIMARY", "AXIAL"], "ct-rgb-3window"),
        (["ORIGINAL", "PRIMARY", "LOCALIZER"], "voi"),
        (["ORIGINAL", "PRIMARY", "SCOUT", "PS"], "voi"),
        (["DERIVED", "SECONDARY", "SCREEN SAVE"], "voi"),
        (["DERIVED", "SECONDARY", "MPR"], "ct-rgb-3window"),
        (None, "ct-rgb-3window"),
    ],
)
def test_a_localizer_is_a_projection_without_hounsfield_units(
    make_dicom: Any, image_type: Any, rendering: Any
) -> None:
    dataset = make_dicom(
        STORED,
        Modality="CT",
        ImageType=image_type,
        RescaleSlope=1,
        RescaleIntercept=-1024,
        RescaleType="HU",
        WindowCenter=-1000.5,
        WindowWidth=64,
    )
    display = render(STORED, attributes_of(dataset))
    assert display.rendering == rendering
    if rendering == "voi":
        assert display.params["center"] == -1000.5


def test_raw_detector_values_are_told(make_dicom: Any) -> None:
    dataset = make_dicom(STORED, PresentationIntentType="FOR PROCESSING")
    assert "for-processing" in render(STORED, attributes_of(dataset)).warnings


def test_frames_without_groups_of_their_own_share_their_attributes(make_dicom: Any) -> None:
    dataset = make_dicom(np.zeros((3, 4, 4), np.uint16), NumberOfFrames=3, WindowCenter=1, WindowWidth=2)
    voi, item = Dataset(), Dataset()
    voi.WindowCenter, voi.WindowWidth = 100, 50
    item.FrameVOILUTSequence = [voi]
    dataset.PerFrameFunctionalGroupsSequence = [Dataset(), item, Dataset()]
    reader = AttributeReader(dataset)
    assert reader.frame(0) is reader.frame(2)
    assert reader.frame(1).windows == (Window(100, 50),)
    assert reader.frame(99).windows == (Window(1, 2),)
