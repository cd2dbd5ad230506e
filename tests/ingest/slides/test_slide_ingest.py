"""Slides in an index: one level of each, every file accounted for, patches that keep their places."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pydicom.uid import JPEG2000Lossless, JPEGBaseline8Bit

from medsiglip.index.case_index import CaseIndex
from medsiglip.ingest.run.pipeline import IngestOptions, ingest
from medsiglip.ingest.units.plan import PlanOptions
from tests.ingest.slides.slide_cases import STAIN, glass, save, slide, tissue
from tests.repository import ROOT


@pytest.fixture
def index(tmp_path: Path) -> Iterator[Any]:
    with CaseIndex.open(tmp_path / "home") as opened:
        yield opened


@pytest.fixture
def run(tmp_path: Path, index: Any, model: Any, encoder: Any) -> Any:
    def run(magnification: Any = 10.0) -> Any:
        options = IngestOptions(workers=1, plan=PlanOptions(magnification=magnification))
        return ingest([tmp_path / "in"], index, model, lambda: encoder, options)

    return run


def write_pyramid(folder: Any, spacings: Any = (1.0, 4.0)) -> None:
    for number, micrometres in enumerate(spacings, 1):
        size = round(1200 / micrometres)
        level = slide(tissue(size, size, number), micrometres=micrometres, number=number)
        save(level, folder / f"{number}.dcm")


def images(index: Any) -> Any:
    return index.images_of("2.25.52")


def test_a_pyramid_is_embedded_once_and_all_its_files_count(tmp_path: Path, index: Any, run: Any) -> None:
    write_pyramid(tmp_path / "in")
    save(slide(tissue(64, 64), tile=64, flavour="LABEL", number=9), tmp_path / "in/label.dcm")
    first, second = run(), run()
    assert (first.files, first.files_embedded, first.images, first.instances) == (3, 3, 10, 3)
    assert (second.files_unchanged, second.embedded) == (3, 0)
    held: dict[str, list[Any]] = {image.sop_instance_uid: [] for image in images(index)}
    for image in images(index):
        held[image.sop_instance_uid].append(image)
    label, level = held.pop("2.25.59"), held.pop("2.25.51")
    assert held == {}
    assert [(image.frame, image.rendering, image.quality["burned_in"]) for image in label] == [
        (0, "colour", "yes")
    ]
    assert sorted(image.frame for image in level) == list(range(9))
    assert {image.rendering for image in level} == {"slide-10x"}
    assert {image.quality["burned_in"] for image in level} == {"no"}


def test_levels_that_come_later_leave_no_second_copy(tmp_path: Path, index: Any, run: Any) -> None:
    write_pyramid(tmp_path / "in", spacings=(4.0,))
    save(slide(tissue(64, 64), tile=64, flavour="LABEL", number=9), tmp_path / "in/label.dcm")
    assert run().images == 2
    save(slide(tissue(1200, 1200), number=2), tmp_path / "in/2.dcm")
    later = run()
    assert (later.files_embedded, later.quarantined) == (1, ())
    assert {image.sop_instance_uid for image in images(index)} == {"2.25.52", "2.25.59"}


def test_a_worker_renders_what_this_process_renders(tmp_path: Path, index: Any, run: Any) -> None:
    dataset = slide(tissue(600, 600))
    save(dataset, tmp_path / "in/native.dcm")
    assert run().quarantined == ()
    here = {image.frame: image.rendering_params for image in images(index)}
    dataset.compress(JPEG2000Lossless, generate_instance_uid=False)
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = "2.25.62", "2.25.63"
    dataset.SOPInstanceUID = "2.25.61"
    save(dataset, tmp_path / "in/compressed.dcm")
    assert run().quarantined == ()
    there = {image.frame: image.rendering_params for image in index.images_of("2.25.62")}
    assert there == here
    assert len(there) == 4


def test_a_copy_of_a_level_shares_its_fate(tmp_path: Path, index: Any, run: Any) -> None:
    path = save(slide(tissue(600, 600)), tmp_path / "in/1.dcm")
    (tmp_path / "in/copy.dcm").write_bytes(path.read_bytes())
    report = run()
    assert (report.files_embedded, report.files_unchanged, report.images) == (1, 1, 4)


LARGE = 2 << 30
TILE = 256


def item(value: bytes) -> bytes:
    value += b"\0" * (len(value) % 2)
    return struct.pack("<HHI", 0xFFFE, 0xE000, len(value)) + value


def write_large(path: Path, encapsulated: bool) -> None:
    """A slide of 2 GiB at 40x: a disc of tissue on glass, in JPEG tiles or uncompressed."""
    noise = np.random.default_rng(0).normal(0, 30, (TILE, TILE, 3))
    stained = np.clip(np.array(STAIN) + noise, 0, 255).astype(np.uint8)
    pictures = [stained, glass(TILE, TILE)]
    if encapsulated:
        buffers = [BytesIO(), BytesIO()]
        for picture, buffer in zip(pictures, buffers, strict=True):
            Image.fromarray(picture).save(buffer, "JPEG", quality=95, subsampling=0)
        values = [item(buffer.getvalue()) for buffer in buffers]
    else:
        values = [picture.tobytes() for picture in pictures]
    side = int((LARGE / (len(values[0]) * (0.64 if encapsulated else 1.0))) ** 0.5) + 1
    dataset = slide(
        glass(4, 4),
        tile=4,
        micrometres=0.25,
        NumberOfFrames=side * side,
        TotalPixelMatrixRows=side * TILE,
        TotalPixelMatrixColumns=side * TILE,
        PhotometricInterpretation="YBR_FULL" if encapsulated else "RGB",
        Rows=TILE,
        Columns=TILE,
    )
    del dataset.PixelData
    if encapsulated:
        dataset.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    save(dataset, path)
    with path.open("ab", buffering=1 << 20) as file:
        length = 0xFFFFFFFF if encapsulated else side * side * len(values[0])
        file.write(struct.pack("<HH2sHI", 0x7FE0, 0x0010, b"OB", 0, length))
        if encapsulated:
            file.write(item(b""))
        for row in range(side):
            for column in range(side):
                far = (row - side / 2) ** 2 + (column - side / 2) ** 2 > (0.45 * side) ** 2
                file.write(values[int(far)])
        if encapsulated:
            file.write(struct.pack("<HHI", 0xFFFE, 0xE0DD, 0))


DRAW = """
    import resource, sys
    from medsiglip.ingest.privacy.deidentify import SecretKey
    from medsiglip.ingest.workers.rendered_unit import render_unit
    from medsiglip.ingest.units.plan import plan
    from medsiglip.ingest.scan.scan import scan_file
    from medsiglip.ingest.files.walk import walk
    (unit,) = plan([scan_file(found, SecretKey(bytes(32))) for found in walk([sys.argv[1]])])
    rendered = render_unit(unit, 448, "medsiglip-eval")
    assert all(outcome.code is None for outcome in rendered.files), rendered.files
    print(len(rendered.images), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.mark.campaign
@pytest.mark.parametrize("encapsulated", [True, False])
def test_a_slide_of_2_gib_is_rendered_in_less_memory_than_its_size(tmp_path: Path, encapsulated: Any) -> None:
    path = tmp_path / "large.dcm"
    try:
        write_large(path, encapsulated)
        assert path.stat().st_size >= LARGE
        source = str(ROOT)
        environment = {**os.environ, "PYTHONPATH": source, "OMP_NUM_THREADS": "1"}
        done = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(DRAW), str(path)],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
    finally:
        path.unlink(missing_ok=True)
    count, kibibytes = (int(number) for number in done.stdout.split())
    print(f"{count} patches, {kibibytes >> 10} MiB at most")
    assert 100 < count <= 512
    # Most of it are the model inputs of the patches, held while they are rendered and again to be handed
    # over.
    assert kibibytes < 1 << 20
