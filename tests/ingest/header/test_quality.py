from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.uid import (
    JPEG2000,
    MPEG2MPML,
    ExplicitVRLittleEndian,
    JPEGBaseline8Bit,
    JPEGLosslessSV1,
    JPEGLSNearLossless,
)

from medsiglip.ingest.header.burned_in import burned_in, may_preview
from medsiglip.ingest.header.quality import QUALITY, image_quality, lossy_quality, measure, pixel_aspect
from medsiglip.ingest.header.view import coded_view, view

CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
SLIDE = {"Modality": "SM", "SOPClassUID": "1.2.840.10008.5.1.4.1.1.77.1.6", "BurnedInAnnotation": "NO"}


def test_a_blank_picture() -> None:
    measured = measure(np.full((64, 48), 255, np.uint8))
    assert (measured["blank"], measured["near_blank"]) == (1, 1)
    assert (measured["white"], measured["black"]) == (1.0, 0.0)
    assert (measured["contrast"], measured["sharpness"]) == (0.0, 0.0)
    assert measured["aspect"] == 0.75


def test_a_picture_with_one_odd_pixel_is_nearly_blank() -> None:
    values = np.zeros((1000, 1000), np.uint8)
    values[501, 503] = 200
    measured = measure(values)
    assert (measured["blank"], measured["near_blank"]) == (0, 1)


def test_noise_within_eight_levels_is_nearly_blank_and_beyond_is_not() -> None:
    noise = np.random.default_rng(1).integers(0, 8, (100, 100), dtype=np.uint8)
    assert measure(100 + noise)["near_blank"] == 1
    assert measure(100 + 2 * noise)["near_blank"] == 0


@pytest.mark.parametrize("shape", [(90, 120), (90, 120, 3)])
def test_figures_are_those_of_numpy(shape: Any) -> None:
    values = np.random.default_rng(2).integers(0, 256, shape, dtype=np.uint8)
    values[:30] = 0
    values[80:] = 255
    grey = values.astype(float) if values.ndim == 2 else np.floor(values @ np.array([77, 150, 29]) / 256)
    measured = measure(values)
    assert measured["black"] == pytest.approx(np.mean(grey == 0), abs=1e-4)
    assert measured["white"] == pytest.approx(np.mean(grey == 255), abs=1e-4)
    assert measured["contrast"] == pytest.approx(np.std(grey) / 127.5, abs=1e-4)
    second = sum(np.diff(grey, 2, axis=axis)[cut] for axis, cut in ((0, np.s_[:, 1:-1]), (1, np.s_[1:-1])))
    assert measured["sharpness"] == pytest.approx(np.std(second) / 127.5, abs=1e-4)


def test_blurring_lowers_sharpness() -> None:
    sharp = np.kron(np.indices((64, 64)).sum(axis=0) % 2 * 255, np.ones((8, 8))).astype(np.uint8)
    ramp = np.cumsum(sharp.astype(float), axis=1)
    blurred = ((ramp[:, 8:] - ramp[:, :-8]) / 8).astype(np.uint8)
    assert float(measure(blurred)["sharpness"]) < float(measure(sharp)["sharpness"]) / 1.4


@pytest.mark.parametrize("shape", [(1, 1), (2, 500), (1, 3, 3), (5000, 2)])
def test_slivers_can_be_measured(shape: Any) -> None:
    assert set(measure(np.zeros(shape, np.uint8))) <= QUALITY.keys()


def test_aspect_is_that_of_the_picture_which_is_drawn_as_in_the_patient() -> None:
    header = {"pixel_aspect": pixel_aspect({"PixelSpacing": "3\\1.5"})}
    quality = image_quality(header, measure(np.zeros((20, 40), np.uint8)), ["window-invalid"])
    assert (quality["pixel_aspect"], quality["aspect"], quality["window_warning"]) == (2.0, 2.0, 1)
    assert image_quality({}, {}, ["blank"])["window_warning"] == 0


@pytest.mark.parametrize(
    ("elements", "ratio"),
    [
        ({}, 1.0),
        ({"PixelAspectRatio": "4\\3"}, 1.3333),
        ({"PixelSpacing": "0.5\\0.5", "PixelAspectRatio": "4\\3"}, 1.0),
        ({"ImagerPixelSpacing": "1\\2"}, 0.5),
        ({"NominalScannedPixelSpacing": "0.4\\0.1", "PixelAspectRatio": "1\\1"}, 4.0),
        ({"PixelSpacing": "1", "NominalScannedPixelSpacing": "1\\2"}, 0.5),
        ({"PixelSpacing": "0\\1"}, 1.0),
        ({"PixelSpacing": "Doe^Jane"}, 1.0),
        ({"PixelSpacing": "nan\\1"}, 1.0),
    ],
)
def test_pixel_aspect(elements: Any, ratio: Any) -> None:
    assert pixel_aspect(elements) == ratio


@pytest.mark.parametrize(
    ("syntax", "elements", "lossy", "ratio"),
    [
        (ExplicitVRLittleEndian, {}, 0, 1.0),
        (ExplicitVRLittleEndian, {"LossyImageCompression": "01"}, 1, None),
        (
            ExplicitVRLittleEndian,
            {"LossyImageCompression": "01", "LossyImageCompressionRatio": "10"},
            1,
            10.0,
        ),
        (JPEGBaseline8Bit, {"LossyImageCompressionRatio": "8\\1.5"}, 1, 12.0),
        (JPEGBaseline8Bit, {}, 1, 12.0),
        (JPEGBaseline8Bit, {"LossyImageCompression": "00"}, 1, 12.0),
        (JPEG2000, {"LossyImageCompression": "00"}, 0, 1.0),
        (JPEG2000, {}, 1, 12.0),
        (JPEGLSNearLossless, {"LossyImageCompressionRatio": "many"}, 1, 12.0),
        (JPEGLosslessSV1, {}, 0, 1.0),
        (MPEG2MPML, {}, 1, 12.0),
    ],
)
def test_lossy_compression(syntax: Any, elements: Any, lossy: Any, ratio: Any) -> None:
    rendered = {"Rows": 100, "Columns": 200, "BitsStored": 12, "NumberOfFrames": "3", **elements}
    quality = lossy_quality(rendered, syntax, size=10_000)
    assert (quality["lossy"], quality.get("lossy_ratio")) == (lossy, ratio)


@pytest.mark.parametrize(
    ("elements", "found"),
    [
        ({"Modality": "DX"}, "no"),
        ({"Modality": "DX", "BurnedInAnnotation": "YES"}, "yes"),
        ({"Modality": "DX", "RecognizableVisualFeatures": "YES"}, "likely"),
        ({"Modality": "MR", "BurnedInAnnotation": "NO", "RecognizableVisualFeatures": "YES"}, "likely"),
        ({"Modality": "US"}, "likely"),
        ({"Modality": "US", "BurnedInAnnotation": "NO"}, "no"),
        ({"Modality": "XC"}, "likely"),
        ({"Modality": "ES"}, "likely"),
        ({"Modality": "OT"}, "likely"),
        ({"Modality": "SC"}, "likely"),
        ({"Modality": "BMD"}, "likely"),
        ({"Modality": "BMD", "BurnedInAnnotation": "NO"}, "no"),
        ({}, "likely"),
        ({**SLIDE, "ImageType": "ORIGINAL\\PRIMARY\\LABEL\\NONE"}, "yes"),
        ({**SLIDE, "ImageType": "ORIGINAL\\PRIMARY\\OVERVIEW\\NONE"}, "likely"),
        ({**SLIDE, "ImageType": "ORIGINAL\\PRIMARY\\OVERVIEW\\NONE", "SpecimenLabelInImage": "YES"}, "yes"),
        ({**SLIDE, "ImageType": "ORIGINAL\\PRIMARY\\VOLUME\\NONE", "SpecimenLabelInImage": "YES"}, "no"),
        ({"Modality": "CT", "SOPClassUID": CAPTURE}, "likely"),
        ({"Modality": "CT", "SOPClassUID": CAPTURE + ".4"}, "likely"),
        # Visible light classes begin with the same digits: this one is ophthalmic photography.
        ({"Modality": "OP", "SOPClassUID": CAPTURE + "7.1.5.1"}, "no"),
        ({"Modality": "CT", "ConversionType": "WSD"}, "likely"),
        ({"Modality": "CT", "ImageType": "DERIVED\\SECONDARY\\SCREEN SAVE"}, "likely"),
        ({"Modality": "CT", "ImageType": "DERIVED\\SECONDARY\\REFORMATTED"}, "no"),
    ],
)
def test_burned_in(elements: Any, found: Any) -> None:
    assert burned_in(elements) == found
    assert may_preview({"burned_in": found}) == (found == "no")


def test_a_picture_of_which_nothing_is_known_is_not_shown() -> None:
    assert not may_preview({})


@pytest.mark.parametrize(
    ("position", "description", "found"),
    [
        ("PA", "", "frontal"),
        ("AP", "lateral", "frontal"),
        ("LL", "", "lateral"),
        ("LAT", "", "lateral"),
        ("RLO", "", "oblique"),
        ("LLD", "", "frontal"),
        ("CC", "", "other"),
        ("MLO", "", "oblique"),
        ("ML", "", "lateral"),
        ("", "Thorax p.a.", "frontal"),
        ("", "CHEST_PA", "frontal"),
        ("", "W033 Thorax a.p./seitlich lateral", "unknown"),
        ("", "CHEST PA AND LATERAL", "unknown"),
        ("", "CHEST PA & LAT", "unknown"),
        ("", "CHEST PA/LAT", "unknown"),
        ("", "CHEST PA LAT", "unknown"),
        ("", "CHEST AP,PA,LAT,OBL", "unknown"),
        ("", "Chest PA + LAT + OBL", "unknown"),
        ("", "Lumbar spine AP LAT OBL", "unknown"),
        ("", "C SPINE LAT AND OBL", "unknown"),
        ("", "C SPINE LAT, OBLIQUE", "unknown"),
        ("", "Thorax p.a. und seitlich", "unknown"),
        ("", "RX de Torax PA y Lateral", "unknown"),
        ("", "Thorax PA et LATERALE", "unknown"),
        ("", "PA AND AP", "frontal"),
        ("", "A/P supine", "frontal"),
        ("", "Thorax a.-p.", "frontal"),
        ("", "P. A.", "frontal"),
        ("", "LATERAL OBLIQUE", "oblique"),
        ("", "AP OBLIQUE", "oblique"),
        ("", "LEFT LATERAL DECUBITUS", "frontal"),
        ("", "AP AXIAL", "frontal"),
        ("", "AXIAL AND LATERAL", "unknown"),
        ("", "CC MLO", "unknown"),
        ("", "L-CC", "other"),
        ("", "R MLO", "oblique"),
        ("PA\\LAT", "", "unknown"),
        ("", "ANTERIOR AND POSTERIOR", "unknown"),
        ("", "Thorax LATERAL left", "lateral"),
        ("", "PALLIATIVE", "unknown"),
        ("", "", "unknown"),
    ],
)
def test_view(position: Any, description: Any, found: Any) -> None:
    assert view({"ViewPosition": position, "SeriesDescription": description}, "DX") == found
    assert view({"ViewPosition": position, "SeriesDescription": description}, "CT") == "unknown"


def test_the_given_case_of_two_views_is_unknown(test_cases: Path) -> None:
    from medsiglip.ingest.header.elements import read_elements

    elements = read_elements(str(test_cases / "dicom" / "inputs" / "h6.dcm")).values
    assert elements["SeriesDescription"] == "CHEST PA AND LATERAL"
    assert view(elements, str(elements["Modality"])) == "unknown"
    assert view({**elements, "SeriesDescription": "CHEST PA"}, str(elements["Modality"])) == "frontal"


@pytest.mark.parametrize(
    ("meaning", "found"),
    [
        ("postero-anterior", "frontal"),
        ("antero-posterior", "frontal"),
        ("left lateral", "lateral"),
        ("medio-lateral", "lateral"),
        ("medio-lateral oblique", "oblique"),
        ("cranio-caudal", "other"),
    ],
)
def test_the_view_code_tells_where_the_header_does_not(make_dicom: Any, meaning: Any, found: Any) -> None:
    code = make_dicom(None, CodeMeaning=meaning)
    dataset = make_dicom(None, ViewCodeSequence=[code])
    assert coded_view(dataset, {"view": "unknown"}) == {"view": found}
    assert coded_view(dataset, {"view": "lateral"}) == {}
    assert coded_view(make_dicom(None, ViewCodeSequence=[]), {"view": "unknown"}) == {}
