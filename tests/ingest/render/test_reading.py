"""CT as people read it: grey by the window of its file, as pydicom does, or by one for the body part."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.pixels.processing import apply_voi_lut

from medsiglip.ingest.render.attributes import PixelAttributes, Window
from medsiglip.ingest.render.lookup_table import LookupTable
from medsiglip.ingest.render.reading import is_composite, rendered_to_read, window_for
from medsiglip.ingest.render.renderings import render

HU = np.arange(-1100, 1500, dtype=np.int16).reshape(52, 50)
CT = PixelAttributes(modality="CT", hounsfield=True, bits_stored=16)


def by_pydicom(center: float, width: float) -> NDArray[np.float64]:
    """What pydicom makes of the window, for an output of 8 bits."""
    asked = Dataset()
    asked.PhotometricInterpretation, asked.PixelRepresentation, asked.BitsStored = "MONOCHROME2", 1, 16
    asked.WindowCenter, asked.WindowWidth = center, width
    return (apply_voi_lut(HU, asked) + 2**15) / (2**16 - 1) * 255


@pytest.mark.parametrize("window", [(40.0, 400.0), (-600.0, 1500.0), (35.0, 80.0)])
def test_the_window_of_the_file_is_used_as_pydicom_does(window: tuple[float, float]) -> None:
    display = rendered_to_read(HU, replace(CT, windows=(Window(*window), Window(300, 1500))), "CHEST")
    assert display.values.shape == HU.shape
    assert display.values.dtype == np.uint8
    assert (display.params["center"], display.params["width"]) == window
    np.testing.assert_allclose(display.values, by_pydicom(*window), atol=0.51)


@pytest.mark.parametrize(
    ("body_part", "center", "width"),
    [("HEAD", 40, 80), ("BRAIN", 40, 80), ("CHEST", 40, 350), ("ABDOMENPELVIS", 40, 350), (None, 40, 350)],
)
def test_without_a_window_the_part_of_the_body_decides(
    body_part: str | None, center: float, width: float
) -> None:
    assert window_for(body_part) == Window(center, width)
    useless = rendered_to_read(HU, replace(CT, windows=(Window(9000, 2),)), body_part)
    for display in (rendered_to_read(HU, CT, body_part), useless):
        np.testing.assert_allclose(display.values, by_pydicom(center, width), atol=0.51)


def test_air_is_black_whatever_the_polarity() -> None:
    for inverting in ({"photometric_interpretation": "MONOCHROME1"}, {"presentation_lut_shape": "INVERSE"}):
        display = rendered_to_read(HU, replace(CT, **inverting), "CHEST")  # type: ignore[arg-type]
        assert (display.values[0, 0], display.values[-1, -1]) == (0, 255)


def test_a_lookup_table_comes_before_windows() -> None:
    table = LookupTable(-1, np.array([0, 255, 0]), 8)
    stored = np.array([[-5, -1, 0, 1, 5]], np.int16)
    display = rendered_to_read(stored, replace(CT, voi_lut=table, windows=(Window(0, 10),)), None)
    np.testing.assert_array_equal(display.values, [[0, 0, 255, 0, 0]])


def test_only_what_the_model_sees_in_colours_is_drawn_otherwise() -> None:
    assert is_composite(HU, CT)
    assert render(HU, CT).rendering == "ct-rgb-3window"
    assert not is_composite(HU, replace(CT, hounsfield=False))
    assert not is_composite(HU, PixelAttributes(modality="MR"))
    assert not is_composite(np.zeros((4, 4, 3), np.uint8), CT)
    assert not is_composite(HU, CT, "mr-percentile")
