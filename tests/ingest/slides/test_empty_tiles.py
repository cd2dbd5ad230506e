"""A fragment without a byte is a missing tile: the slide is drawn without it, with a warning."""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pydicom import dcmread
from pydicom.encaps import encapsulate
from pydicom.uid import JPEG2000Lossless, JPEGBaseline8Bit

from medsiglip.ingest.reasons import Rejected
from medsiglip.ingest.workers.render_files import Rendered, render_files
from tests.ingest.slides.slide_cases import glass, save, slide, sparse, tiles_of, tissue

TILE, SIDE = 128, 896


def compressed(tiles: Sequence[np.ndarray], kind: str) -> list[bytes]:
    found = []
    for tile in tiles:
        stream = BytesIO()
        options: Any = {"quality": 95} if kind == "JPEG" else {}
        Image.fromarray(tile).save(stream, kind, **options)
        found.append(stream.getvalue())
    return found


def write(path: Path, frames: list[bytes], kind: str, places: Any = None, *, table: bool = False) -> Path:
    dataset = slide(tissue(SIDE, SIDE), tile=TILE)
    if places:
        sparse(dataset, places)
    # pydicom writes no empty fragment: a marker in its place is cut out afterwards.
    dataset.PixelData = encapsulate([frame or b"EMPTYTILE!" for frame in frames], has_bot=table)
    dataset["PixelData"].is_undefined_length = True
    dataset.PhotometricInterpretation = "YBR_FULL_422" if kind == "JPEG" else "RGB"
    dataset.file_meta.TransferSyntaxUID = JPEGBaseline8Bit if kind == "JPEG" else JPEG2000Lossless
    save(dataset, path)
    item = b"\xfe\xff\x00\xe0"
    marked, empty = item + struct.pack("<I", 10) + b"EMPTYTILE!", item + bytes(4)
    path.write_bytes(path.read_bytes().replace(marked, empty))
    return path


def patches(path: Path) -> dict[int, Rendered]:
    rendered = list(render_files([path]))
    assert not [one for one in rendered if isinstance(one, Rejected)]
    return {one.frame: one for one in rendered if isinstance(one, Rendered)}


@pytest.mark.parametrize("organised", ["full", "sparse"])
@pytest.mark.parametrize("kind", ["JPEG", "JPEG2000"])
def test_the_rest_of_the_slide_is_drawn(tmp_path: Path, kind: str, organised: str) -> None:
    matrix = tissue(SIDE, SIDE)
    frames = compressed(tiles_of(matrix, TILE), kind)
    across = SIDE // TILE
    places = [(TILE * (i // across), TILE * (i % across)) for i in range(len(frames))]
    places = places if organised == "sparse" else None  # type: ignore[assignment]
    whole = patches(write(tmp_path / "whole.dcm", frames, kind, places))
    lost = across + 2  # rows 128 to 256, columns 256 to 384: within the first patch
    damaged = [*frames[:lost], b"", *frames[lost + 1 :]]
    shown = patches(write(tmp_path / "lost.dcm", damaged, kind, places))
    assert shown.keys() == whole.keys() == {0, 1, 2, 3}
    for frame, patch in shown.items():
        assert "slide-tiles-empty" in patch.warnings
        assert "slide-tiles-empty" not in whole[frame].warnings
        expected = whole[frame].pixels.copy()
        if frame == 0:
            expected[128:256, 256:384] = 255
        np.testing.assert_array_equal(patch.pixels, expected)


def test_the_first_tile_and_a_file_of_empty_tiles(tmp_path: Path) -> None:
    frames = compressed(tiles_of(tissue(SIDE, SIDE), TILE), "JPEG")
    shown = patches(write(tmp_path / "first.dcm", [b"", *frames[1:]], "JPEG"))
    assert (shown[0].pixels[:128, :128] == 255).all()
    assert len(shown) == 4
    (refused,) = render_files([write(tmp_path / "none.dcm", [b""] * len(frames), "JPEG")])
    assert isinstance(refused, Rejected)
    assert refused.code == "inconsistent-pixels"


def test_tiles_of_glass_are_no_empty_tiles(tmp_path: Path) -> None:
    matrix = glass(SIDE, SIDE)
    matrix[:448, :448] = tissue(448, 448)
    path = write(tmp_path / "a.dcm", compressed(tiles_of(matrix, TILE), "JPEG"), "JPEG")
    assert [one.warnings for one in patches(path).values()] == [()]


def test_the_case(tmp_path: Path, test_cases: Path) -> None:
    """The same slide with a tile of glass in place of the empty fragment has the same patches elsewhere."""
    cases = json.loads((test_cases / "dicom" / "expected.json").read_text("utf-8"))
    assert "three patches" in cases["slide_whole.dcm"]["expected"]
    path = test_cases / "dicom" / "inputs" / "slide_zero_fragment.dcm"
    value, at, items = dcmread(path).PixelData, 0, []
    while at + 8 <= len(value):
        length = struct.unpack_from("<I", value, at + 4)[0]
        items.append(value[at + 8 : at + 8 + length])
        at += 8 + length
    frames = items[1:]
    (lost,) = (i for i, frame in enumerate(frames) if not frame)
    dataset = dcmread(path)
    stream = BytesIO()
    Image.fromarray(np.full((dataset.Rows, dataset.Columns, 3), 255, np.uint8)).save(stream, "JPEG")
    dataset.PixelData = encapsulate([frame or stream.getvalue() for frame in frames], has_bot=False)
    dataset.save_as(tmp_path / "whole.dcm")
    whole, shown = patches(tmp_path / "whole.dcm"), patches(path)
    assert len(shown) == len(whole) == 3
    assert shown.keys() == whole.keys()
    across = -(-int(dataset.TotalPixelMatrixColumns) // int(dataset.Columns))
    assert lost // across == 4  # in the last row of tiles
    for frame, patch in shown.items():
        assert "slide-tiles-empty" in patch.warnings
        np.testing.assert_allclose(patch.pixels.astype(int), whole[frame].pixels, atol=1)
