"""File to model input, ours against pydicom's documented functions and a PIL resize, one process each.

Ours is the ingest's own path with all that it adds: header scan, pixel hash, checks, quality figures; its
process is set up as a worker of the ingest is. Single-threaded on both sides.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image
from pydicom import dcmread
from pydicom.pixels.processing import apply_rescale, apply_windowing

from benchmarks.measure import Outcome, alternate
from benchmarks.radiographs import NAME, write_radiographs
from medsiglip.ingest.files.walk import FoundFile
from medsiglip.ingest.header.header import Header
from medsiglip.ingest.privacy.deidentify import SecretKey
from medsiglip.ingest.privacy.quiet import silence_readers
from medsiglip.ingest.scan.scan import scan_file
from medsiglip.ingest.units.plan import Unit, plan
from medsiglip.ingest.units.rendered_image import RenderedImage
from medsiglip.ingest.workers.rendered_unit import render_unit
from medsiglip.ingest.workers.unit_rendering import render_images
from medsiglip.ingest.workers.worker import keep_freed_memory

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

    with _process(_ours, folder, paths) as ours, _process(_peer, folder, paths) as peer:
        return Outcome(TITLE, GOAL, GUARD, FILES, *alternate(ours, peer, rounds))


@contextmanager
def _process(
    side: Callable[[Path, list[Path], Connection], None], folder: Path, paths: list[Path]
) -> Iterator[Callable[[], object]]:
    """Yield a function that makes a process of one side go through all files once."""
    spawn = get_context("spawn")
    here, there = spawn.Pipe()
    process = spawn.Process(target=side, args=(folder, paths, there), daemon=True)
    process.start()

    def once() -> object:
        here.send(True)
        return here.recv()

    try:
        yield once
    finally:
        here.send(False)
        process.join()


def _ours(folder: Path, paths: list[Path], parent: Connection) -> None:
    keep_freed_memory()
    silence_readers()
    key = SecretKey.open(folder)
    while parent.recv():
        for path in paths:
            rendered = render_unit(_unit(path, key), MODEL_SIZE, "medsiglip-eval")
            assert rendered.inputs.shape == (1, MODEL_SIZE, MODEL_SIZE, 3)
        parent.send(len(paths))


def _peer(folder: Path, paths: list[Path], parent: Connection) -> None:
    while parent.recv():
        for path in paths:
            picture = Image.fromarray(_documented(path)).resize(
                (MODEL_SIZE, MODEL_SIZE), Image.Resampling.BILINEAR
            )
            assert np.asarray(picture.convert("RGB")).shape == (MODEL_SIZE, MODEL_SIZE, 3)
        parent.send(len(paths))


def _unit(path: Path, key: SecretKey) -> Unit:
    stat = path.stat()
    header = scan_file(FoundFile(str(path), stat.st_size, stat.st_mtime_ns), key)
    assert isinstance(header, Header)
    return plan([header])[0]


def _documented(path: Path) -> npt.NDArray[np.uint8]:
    """Grey levels as in pydicom's documentation; the files have 12 bits stored, so white is 4095."""
    dataset = dcmread(path)
    shown = apply_windowing(apply_rescale(dataset.pixel_array, dataset), dataset)
    levels: npt.NDArray[np.uint8] = np.rint(shown / (2**dataset.BitsStored - 1) * 255).astype(np.uint8)
    return levels


def _difference(path: Path, key: SecretKey) -> int:
    rendered = [
        item.display.values for item in render_images(_unit(path, key)) if isinstance(item, RenderedImage)
    ]
    return int(np.abs(rendered[0].astype(np.int16) - _documented(path).astype(np.int16)).max())
