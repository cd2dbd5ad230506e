"""Rendered values against two other implementations, pydicom's functions and DCMTK's programs, on real files.

Grey files of every modality are drawn by their windows here (rendering `voi`), whichever rendering they get.
"""

from __future__ import annotations

import csv
import io
import shutil
import subprocess
from collections import Counter

import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.pixels import processing

from ingest.attributes import attributes_of
from ingest.decode import frames, open_dataset
from ingest.render import choose_rendering, render
from ingest.scan import quiet

# Files that hold no picture and are not embedded.
NO_PICTURE = {"SEG", "RTDOSE"}
# It reads the words of a palette in the byte order of the machine, not in that of the file.
PYDICOM_IS_WRONG = {"OBXXXX1A_expb.dcm"}
# Where DCMTK 3.6.7 is not followed, and why.
DCMTK_IS_WRONG = {
    # JPEG with a JFIF header holds YCbCr (ISO/IEC 10918-5), though the data set says RGB; DCMTK believes it.
    "GH195.dcm",
    # Item without its end, tag that is none, and the odd length of its last fragment: it refuses the files.
    "DIRW0007",
    "GH364.dcm",
    "SC_rgb_jpeg.dcm",
    # 7 bits in JPEG-LS and 32 bits of each colour, which it does not take.
    "JLSL_08_07_0_1F.dcm",
    "SC_rgb_32bit.dcm",
    "SC_rgb_32bit_2frame.dcm",
    "SC_rgb_expb_32bit.dcm",
    "SC_rgb_expb_32bit_2frame.dcm",
    # It ignores the supplemental palette (PS3.3 C.7.6.19), as does pydicom.
    "eCT_Supplemental.dcm",
}
PROGRAMS = {**dict.fromkeys(("50", "51", "57", "70"), "dcmj2pnm"), **dict.fromkeys(("80", "81"), "dcml2pnm")}
JPEG = "1.2.840.10008.1.2.4."
PER_FOLDER = 2  # of files of one folder that differ in nothing but their pixels
MOST_PIXELS = 4_000_000


@pytest.fixture(scope="module")
def drawn(test_data):
    """Path, data set, display of the first frame by its window, and its attributes, of every kind of file."""
    seen, found = Counter(), []
    with (test_data / "manifest.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["kind"] == "dicom" and row["decode"] == "ok"]
    for row in rows:
        path = test_data / row["path"]
        seen[
            kind := (path.parent, row["modality"], row["transfer_syntax"], row["photometric"], row["width"])
        ] += 1
        pixels = int(row["width"] or 0) * int(row["height"] or 0)
        if seen[kind] > PER_FOLDER or row["modality"] in NO_PICTURE or pixels > MOST_PIXELS:
            continue
        with quiet():
            dataset = open_dataset(str(path))
            if "PixelData" not in dataset:  # parametric maps of floats
                continue
            attributes = attributes_of(dataset)
            chosen = choose_rendering(attributes)
            chosen = chosen if "palette" in chosen or chosen == "colour" else "voi"
            display = render(next(frames(dataset, [0])), attributes, rendering=chosen)
        found.append((path, dataset, display, attributes))
    return found


def documented(path, attributes):
    """Display values 0..255 as pydicom's documentation makes them, its output range scaled."""
    dataset = pydicom.dcmread(path, force=True)
    stored = pydicom.pixels.pixel_array(dataset, index=0)
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


def _documented_colour(dataset, stored):
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


def _output_range(dataset):
    if dataset.get("ModalityLUTSequence"):
        return 0, 2 ** dataset.ModalityLUTSequence[0].LUTDescriptor[2] - 1
    bits, slope, intercept = dataset.BitsStored, dataset.get("RescaleSlope"), dataset.get("RescaleIntercept")
    ends = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if dataset.PixelRepresentation else (0, 2**bits - 1)
    if slope is None or intercept is None:
        return ends
    return tuple(end * float(slope) + float(intercept) for end in ends)


@pytest.mark.filterwarnings("ignore")
def test_rendered_values_equal_those_of_pydicom(drawn):
    compared, apart = 0, {}
    for path, dataset, display, attributes in drawn:
        # Windows that show nothing fall back on purpose; a file without a transfer syntax needs ours.
        stated = dataset.file_meta.get("MediaStorageSOPClassUID")
        if display.warnings or not stated or attributes.supplemental or path.name in PYDICOM_IS_WRONG:
            continue
        try:
            with quiet():
                expected = documented(path, attributes)
        except RuntimeError:  # 12-bit JPEG, which no decoder of pydicom's takes
            assert path.name == "JPGExtended.dcm"
            continue
        compared += 1
        difference = float(np.abs(expected - display.values).max())
        if difference > 1.0:
            apart[path.name] = difference
    assert apart == {}
    assert compared > 100


def by_dcmtk(path, syntax, display, attributes):
    """The first frame as 8-bit PNM: by window or table where one is stored, else from least to greatest."""
    program = PROGRAMS.get(syntax.removeprefix(JPEG), "dcm2pnm")
    voi = []
    if display.rendering == "voi":
        voi = ["+Wl", "1"] if "lut" in display.params else ["+Wi", "1"]
    elif display.rendering == "full-range" and attributes.bits_stored > 8:
        voi = ["+Wm"]
    arguments = [program, "--quiet", "--no-overlays", *voi, "--frame", "1", "--write-raw-pnm", str(path)]
    done = subprocess.run(arguments, capture_output=True, timeout=60, check=False)
    return np.asarray(Image.open(io.BytesIO(done.stdout))).astype(int) if done.stdout else None


@pytest.mark.skipif(not shutil.which("dcm2pnm"), reason="DCMTK's programs (dcm2pnm) are not installed")
def test_rendered_values_equal_those_of_dcmtk(drawn):
    compared, apart = 0, {}
    for path, dataset, display, attributes in drawn:
        syntax = str(dataset.file_meta.TransferSyntaxUID)
        # It neither decodes JPEG 2000 nor applies ICC profiles, and counts padding as values.
        unlike = attributes.icc_profile or (display.rendering == "full-range" and attributes.padding)
        if path.name in DCMTK_IS_WRONG or display.warnings or unlike:
            continue
        if syntax.startswith(JPEG) and syntax.removeprefix(JPEG) not in PROGRAMS:
            continue
        expected = by_dcmtk(path, syntax, display, attributes)
        # YBR, of lossy JPEG or not, is converted by arithmetic that the standard leaves open.
        allowed = 3 if display.values.ndim == 3 else 1
        if expected is None or expected.shape != display.values.shape:
            apart[path.name] = None
        elif (difference := int(np.abs(expected - display.values).max())) > allowed:
            apart[path.name] = difference
        compared += 1
    assert apart == {}
    assert compared > 80
