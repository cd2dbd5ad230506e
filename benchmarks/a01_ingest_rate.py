"""A1: file to model input, ours against pydicom's documented functions and a PIL resize, one process each.

Ours is the ingest's own path with all that it adds: header scan, pixel hash, checks. Single-threaded on both
sides.
"""

from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image
from pydicom import dcmread
from pydicom.pixels.processing import apply_rescale, apply_windowing

from benchmarks.measure import Outcome, alternate
from benchmarks.radiographs import NAME, write_radiographs
from ingest.deidentify import SecretKey
from ingest.drawing import DrawnImage, draw
from ingest.drawn_unit import draw_unit
from ingest.header import Header
from ingest.plan import Unit, plan
from ingest.scan import scan_file
from ingest.walk import FoundFile

TITLE = "file to model input, images/s ÷ pydicom apply_rescale, apply_windowing and PIL resize"
GOAL = 5.0
GUARD = "rendered values at most 1 grey level apart, before resizing"
FILES, SIZE, MODEL_SIZE = 24, 1024, 448


def measure(folder: Path, rounds: int) -> Outcome:
    paths = write_radiographs(folder / NAME, FILES, SIZE)
    key = SecretKey.open(folder)
    difference = max(_difference(path, key) for path in paths)
    if difference > 1:
        return Outcome(TITLE, GOAL, GUARD, FILES, failure=f"{difference} grey levels apart")

    def ours() -> None:
        for path in paths:
            drawn = draw_unit(_unit(path, key), MODEL_SIZE, "medsiglip-eval")
            assert drawn.inputs.shape == (1, MODEL_SIZE, MODEL_SIZE, 3)

    def peer() -> None:
        for path in paths:
            picture = Image.fromarray(_documented(path)).resize(
                (MODEL_SIZE, MODEL_SIZE), Image.Resampling.BILINEAR
            )
            assert np.asarray(picture.convert("RGB")).shape == (MODEL_SIZE, MODEL_SIZE, 3)

    return Outcome(TITLE, GOAL, GUARD, FILES, *alternate(ours, peer, rounds))


def _unit(path: Path, key: SecretKey) -> Unit:
    stat = path.stat()
    header = scan_file(FoundFile(str(path), stat.st_size, stat.st_mtime_ns), key)
    assert isinstance(header, Header)
    return plan([header])[0]


def _documented(path: Path) -> npt.NDArray[np.uint8]:
    """Grey levels as pydicom's documentation draws them; the files have 12 bits stored, so white is 4095."""
    dataset = dcmread(path)
    shown = apply_windowing(apply_rescale(dataset.pixel_array, dataset), dataset)
    levels: npt.NDArray[np.uint8] = np.rint(shown / (2**dataset.BitsStored - 1) * 255).astype(np.uint8)
    return levels


def _difference(path: Path, key: SecretKey) -> int:
    drawn = [item.display.values for item in draw(_unit(path, key)) if isinstance(item, DrawnImage)]
    return int(np.abs(drawn[0].astype(np.int16) - _documented(path).astype(np.int16)).max())
