"""Rendered values against two other implementations, pydicom's functions and DCMTK's programs, on real files.

Grey files of every modality are rendered by their windows here (rendering `voi`), whichever rendering they
get.
"""

from __future__ import annotations

import csv
import io
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom import Dataset
from pydicom.encaps import generate_frames
from pydicom.pixels import processing
from pydicom.pixels.utils import pixel_array

from medsiglip.ingest.errors import DecodeError
from medsiglip.ingest.pixels.decode import frames, open_dataset
from medsiglip.ingest.privacy.quiet import quiet
from medsiglip.ingest.render.attributes import PixelAttributes, attributes_of
from medsiglip.ingest.render.display import Display
from medsiglip.ingest.render.grey_renderings import CT_WINDOWS
from medsiglip.ingest.render.renderings import choose_rendering, render

# Files that hold no picture and are not embedded.
NO_PICTURE = {"SEG", "RTDOSE"}
# Where pydicom is not followed, and why.
PYDICOM_CANNOT = {
    # No preamble or no meta information, so no transfer syntax; 12 bits packed; a sequence that it gives up.
    "CR-MONO1-10-chest",
    "OT-PAL-8-face.dcm",
    "GH340.dcm",
    "GH177_D_CLUNIE_CT1_IVRLE_BigEndian_undefined_length.dcm",
    # JPEG extended of 12 bits, which no decoder of its takes.
    "JPEG-lossy.dcm",
    "JPGExtended.dcm",
    *(f"{name}_JPLY" for name in ("MG1", "MR1", "RG3", "XA1")),
    # The last tiles of a row, stored without what would lie outside the slide.
    "multiframe.dcm",
}
PYDICOM_IS_WRONG = {
    # It reads the words of a palette in the byte order of the machine, not in that of the file.
    "OBXXXX1A_expb.dcm",
    # It ignores the supplemental palette (PS3.3 C.7.6.19).
    "eCT_Supplemental.dcm",
}
# Where DCMTK 3.6.7 is not followed, and why.
DCMTK_CANNOT = {
    # Item without its end, tag that is none, odd length of the last fragment, neither polarity nor samples.
    "DIRW0007",
    "GH364.dcm",
    "SC_rgb_jpeg.dcm",
    "GH340.dcm",
    # 7 bits in JPEG-LS.
    "JLSL_08_07_0_1F.dcm",
    # It has no colours for the supplemental palette (PS3.3 C.7.6.19), as pydicom.
    "eCT_Supplemental.dcm",
}
DCMTK_IS_WRONG = {
    # JPEG with a JFIF header holds YCbCr (ISO/IEC 10918-5), though the data set says RGB; DCMTK believes it.
    "GH195.dcm",
    # Lossy values of 1024 in 10 bits: it keeps the lower bits, and white becomes black.
    "RG3_JPLY",
    # It fills cropped tiles with black instead of what lies at their edge.
    "multiframe.dcm",
}
PROGRAMS = {**dict.fromkeys(("50", "51", "57", "70"), "dcmj2pnm"), **dict.fromkeys(("80", "81"), "dcml2pnm")}
JPEG = "1.2.840.10008.1.2.4."
PER_FOLDER = 2  # of files of one folder that differ in nothing but their pixels


@dataclass(frozen=True)
class Rendered:
    """A frame of a real file rendered by its window."""

    path: Path
    dataset: Dataset
    frame: int
    stored: np.ndarray
    display: Display
    attributes: PixelAttributes


@pytest.fixture(scope="module")
def rendered(test_data: Path) -> Any:
    """The first and the last frame of every kind of file whose pixels are not broken."""
    seen: Counter[tuple[Any, ...]] = Counter()
    found = []
    with (test_data / "manifest.csv").open(newline="") as file:
        rows = [
            row for row in csv.DictReader(file) if row["kind"] == "dicom" and row["decode"] != "no_pixels"
        ]
    for row in rows:
        path = test_data / row["path"]
        told = ("modality", "transfer_syntax", "photometric", "width", "frames")
        seen[kind := (path.parent, *(row[name] for name in told))] += 1
        if seen[kind] > PER_FOLDER or row["modality"] in NO_PICTURE:
            continue
        with quiet():
            try:
                found += list(rendered_frames(path))
            except DecodeError:
                assert row["decode"] != "ok", path
    return found


def rendered_frames(path: Any) -> Iterator[Any]:
    dataset = open_dataset(str(path))
    if "PixelData" not in dataset:  # parametric maps of floats
        return
    indices = sorted({0, int(dataset.get("NumberOfFrames") or 1) - 1})
    for frame, stored in zip(indices, frames(dataset, indices), strict=True):
        attributes = attributes_of(dataset, frame)
        chosen = choose_rendering(attributes)
        chosen = chosen if "palette" in chosen or chosen == "colour" else "voi"
        yield Rendered(path, dataset, frame, stored, render(stored, attributes, rendering=chosen), attributes)


def documented(one: Any) -> Any:
    """Display values 0..255 as pydicom's documentation makes them, its output range scaled."""
    dataset, attributes = pydicom.dcmread(one.path, force=True), one.attributes
    stored = pixel_array(dataset, index=one.frame)
    if stored.ndim == 3 or dataset.PhotometricInterpretation == "PALETTE COLOR":
        return _documented_colour(dataset, stored)
    values = processing.apply_modality_lut(stored, dataset)
    if dataset.get("VOILUTSequence"):
        shown = processing.apply_voi(values, dataset) / (
            2.0 ** dataset.VOILUTSequence[0].LUTDescriptor[2] - 1
        )
    elif "WindowCenter" in dataset:
        low, high = _output_range(dataset)
        shown = (processing.apply_windowing(values, dataset) - low) / (high - low)
    else:
        kept = values
        if attributes.padding:
            kept = values[(stored < attributes.padding[0]) | (stored > attributes.padding[1])]
        low, high = (0, 2**dataset.BitsStored - 1) if dataset.BitsStored <= 8 else (kept.min(), kept.max())
        shown = np.clip((values - low) / ((high - low) or 1), 0, 1)
    inverse = (
        dataset.PhotometricInterpretation == "MONOCHROME1" or dataset.get("PresentationLUTShape") == "INVERSE"
    )
    return (1 - shown if inverse else shown) * 255


def _documented_colour(dataset: Any, stored: Any) -> Any:
    if dataset.PhotometricInterpretation == "PALETTE COLOR":
        colours = processing.apply_color_lut(stored, dataset)[..., :3]
        colours = colours / (2.0 ** (8 * colours.dtype.itemsize) - 1) * 255
    else:
        colours = stored / (2.0**dataset.BitsStored - 1) * 255
    profiles = [
        holder for holder in (dataset, *dataset.get("OpticalPathSequence", [])) if "ICCProfile" in holder
    ]
    if profiles:
        colours = processing.apply_icc_profile(np.rint(colours).astype(np.uint8), profiles[0]).astype(float)
    return colours


def _output_range(dataset: Any) -> Any:
    if dataset.get("ModalityLUTSequence"):
        return 0, 2 ** dataset.ModalityLUTSequence[0].LUTDescriptor[2] - 1
    bits, slope, intercept = dataset.BitsStored, dataset.get("RescaleSlope"), dataset.get("RescaleIntercept")
    ends = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if dataset.PixelRepresentation else (0, 2**bits - 1)
    if slope is None or intercept is None:
        return ends
    return tuple(end * float(slope) + float(intercept) for end in ends)


@pytest.mark.filterwarnings("ignore")
def test_rendered_values_equal_those_of_pydicom(rendered: Any) -> None:
    compared, cannot, apart = 0, set(), {}
    for one in rendered:
        if one.display.rendering == "percentile":  # windows that show nothing: pydicom shows nothing
            continue
        try:
            with quiet():
                expected = documented(one)
        except (AttributeError, OSError, RuntimeError, ValueError):
            cannot.add(one.path.name)
            continue
        compared += 1
        if expected.shape != one.display.values.shape:
            apart[one.path.name] = expected.shape
        elif (difference := float(np.abs(expected - one.display.values).max())) > 1.0:
            apart[one.path.name] = difference
    assert apart.keys() == PYDICOM_IS_WRONG, apart
    assert cannot == PYDICOM_CANNOT
    assert compared > 170


def pnm(*arguments: Any) -> Any:
    """What a program of DCMTK's writes, as an array of int; None if it refuses."""
    done = subprocess.run([*map(str, arguments)], capture_output=True, timeout=60, check=False)
    return np.asarray(Image.open(io.BytesIO(done.stdout))).astype(int) if done.stdout else None


def by_dcmtk(one: Any, program: Any) -> Any:
    """A frame as 8-bit PNM: by window or table where one is stored, else from least to greatest."""
    voi = []
    if one.display.rendering == "voi":
        voi = ["+Wl", "1"] if "lut" in one.display.params else ["+Wi", "1"]
    elif one.display.rendering == "full-range" and one.attributes.bits_stored > 8:
        voi = ["+Wm"]
    return pnm(
        program, "--quiet", "--no-overlays", *voi, "--frame", one.frame + 1, "--write-raw-pnm", one.path
    )


def dcmtk_program(one: Any) -> Any:
    """The program that decodes the file; None for JPEG 2000, which none does."""
    syntax = str(one.dataset.file_meta.TransferSyntaxUID)
    return PROGRAMS.get(syntax.removeprefix(JPEG)) if syntax.startswith(JPEG) else "dcm2pnm"


needs_dcmtk = pytest.mark.skipif(
    not shutil.which("dcm2pnm"), reason="DCMTK's programs (dcm2pnm) are not installed"
)


@pytest.mark.long
@needs_dcmtk
def test_rendered_values_equal_those_of_dcmtk(rendered: Any) -> None:
    compared, cannot, apart = 0, set(), {}
    for one in rendered:
        display, program = one.display, dcmtk_program(one)
        # It does not apply ICC profiles, counts padding as values, and has no fallback for windows.
        unlike = one.attributes.icc_profile or (display.rendering == "full-range" and one.attributes.padding)
        if unlike or program is None or display.rendering == "percentile":
            continue
        expected = by_dcmtk(one, program)
        # YBR, of lossy JPEG or not, is converted by arithmetic that the standard leaves open.
        allowed = 3 if display.values.ndim == 3 else 1
        if expected is None or expected.shape != display.values.shape:
            cannot.add(one.path.name)
        elif (difference := int(np.abs(expected - display.values).max())) > allowed:
            apart[one.path.name] = difference
        compared += 1
    assert apart.keys() == DCMTK_IS_WRONG, apart
    assert cannot == DCMTK_CANNOT
    assert compared > 130


@needs_dcmtk
def test_each_channel_of_ct_is_a_window_of_dcmtk(rendered: Any) -> None:
    """A LINEAR window of center + 0.5 and width + 1 reaches from center - width / 2 to center + width / 2
    (PS3.3 C.11.2.1.2.1), as the published ones do.
    """
    compared = 0
    for one in rendered:
        program = dcmtk_program(one)
        if choose_rendering(one.attributes) != "ct-rgb-3window" or program is None:
            continue
        values = render(one.stored, one.attributes).values
        for channel, window in enumerate(CT_WINDOWS):
            wanted = ("+Ww", window.center + 0.5, window.width + 1)
            expected = pnm(program, "--quiet", "--no-overlays", *wanted, "--write-raw-pnm", one.path)
            assert expected is not None, one.path
            assert np.abs(expected - values[..., channel]).max() <= 1, one.path
        compared += 1
    assert compared >= 10


@pytest.mark.filterwarnings("ignore")
def test_percentiles_of_mr_and_pet_are_those_of_numpy_over_pydicom(rendered: Any) -> None:
    compared, named = 0, {"mr-percentile", "series-percentile"}
    for one in rendered:
        if choose_rendering(one.attributes) not in named or one.path.name in PYDICOM_CANNOT:
            continue
        dataset = pydicom.dcmread(one.path, force=True)
        values = processing.apply_modality_lut(pixel_array(dataset, index=one.frame), dataset)
        low, high = np.percentile(values.astype(float), [0.5, 99.5])
        if low == high:
            continue
        expected = np.clip((values - low) / (high - low), 0, 1) * 255
        display = render(one.stored, one.attributes)
        np.testing.assert_allclose(display.values, expected, atol=0.5001, err_msg=str(one.path))
        compared += 1
    assert compared >= 20


def display_of(path: Any) -> Any:
    with quiet():
        (one, *_) = rendered_frames(path)
    return one


def test_a_palette_of_a_big_endian_file_is_that_of_its_little_endian_pair(test_data: Path) -> None:
    folder = test_data / "dicom/pydicom-data"
    little, big = (display_of(folder / name) for name in ("OBXXXX1A.dcm", "OBXXXX1A_expb.dcm"))
    np.testing.assert_array_equal(big.display.values, little.display.values)


def test_the_colours_of_a_jpeg_with_a_jfif_header_are_those_of_pillow(test_data: Path) -> None:
    one = display_of(test_data / "dicom/fo-dicom/GH195.dcm")
    (codestream,) = generate_frames(one.dataset.PixelData, number_of_frames=1)
    picture = np.asarray(Image.open(io.BytesIO(codestream)).convert("RGB")).astype(int)
    assert np.abs(picture - one.display.values).max() <= 3


def test_a_supplemental_palette_colours_the_upper_values_alone(test_data: Path) -> None:
    one = display_of(test_data / "dicom/pydicom-data/eCT_Supplemental.dcm")
    _, first, _ = one.dataset.RedPaletteColorLookupTableDescriptor
    channels = [
        np.frombuffer(one.dataset[f"{colour}PaletteColorLookupTableData"].value, "<u2") >> 8
        for colour in ("Red", "Green", "Blue")
    ]
    coloured = one.stored >= first
    assert 0.01 < coloured.mean() < 0.99
    index = np.minimum(one.stored[coloured].astype(int) - first, len(channels[0]) - 1)
    np.testing.assert_array_equal(
        one.display.values[coloured], np.stack([c[index] for c in channels], axis=1)
    )
    grey = one.display.values[~coloured]
    assert (grey == grey[:, :1]).all()
