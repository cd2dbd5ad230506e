"""Tiles by offset against the same frames decoded from the whole file."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.encaps import encapsulate
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
)

from medsiglip.ingest.errors import DecodeError
from medsiglip.ingest.pixels.decode import frames, open_dataset, pixel_hash
from medsiglip.ingest.slides.tiles import open_tiles
from tests.ingest.slides.slide_cases import save, slide, sparse, tiles_of, tissue

PLACES = [(0, 0), (0, 32), (0, 64), (32, 0), (32, 32), (32, 64)]


def encoded(syntax: Any, **options: Any) -> Any:
    dataset = slide(tissue(50, 80), tile=32)
    dataset.compress(syntax, generate_instance_uid=False, **options)
    return dataset


def written(tmp_path: Path, syntax: Any, dataset: Any = None) -> Any:
    """A slide in an uncompressed transfer syntax."""
    dataset = dataset or slide(tissue(50, 80), tile=32)
    dataset.file_meta.TransferSyntaxUID = syntax
    return save(dataset, tmp_path / "slide.dcm")


def assert_same_as_whole(path: Any) -> None:
    whole, tiles = open_dataset(str(path)), open_tiles(str(path))
    assert tiles.pixel_hash() == pixel_hash(whole)
    count = int(whole.NumberOfFrames)
    for frame, stored in enumerate(frames(whole, range(count))):
        np.testing.assert_array_equal(tiles.tile(frame), stored)
    tiles.close()


@pytest.mark.parametrize("syntax", [RLELossless, JPEGLSLossless, JPEG2000Lossless])
@pytest.mark.parametrize("extended", [False, True])
def test_encapsulated_tiles_are_what_the_whole_file_gives(tmp_path: Path, syntax: Any, extended: Any) -> None:
    path = save(encoded(syntax, encapsulate_ext=extended), tmp_path / "slide.dcm")
    assert_same_as_whole(path)
    with closing(open_tiles(str(path))) as tiles:
        for frame, truth in enumerate(tiles_of(tissue(50, 80), 32)):
            np.testing.assert_array_equal(tiles.tile(frame), truth)


@pytest.mark.parametrize(
    "syntax", [ImplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian]
)
def test_native_tiles_are_what_the_whole_file_gives(tmp_path: Path, syntax: Any) -> None:
    assert_same_as_whole(written(tmp_path, syntax))


@pytest.mark.parametrize("has_bot", [False, True])
def test_frames_of_several_fragments_are_put_together(tmp_path: Path, has_bot: Any) -> None:
    dataset = encoded(JPEGLSLossless)
    codestreams = [open_tiles_raw(dataset, tmp_path, frame) for frame in range(6)]
    dataset.PixelData = encapsulate(codestreams, fragments_per_frame=3, has_bot=has_bot)
    assert_same_as_whole(save(dataset, tmp_path / "fragments.dcm"))


def open_tiles_raw(dataset: Any, tmp_path: Path, frame: Any) -> Any:
    tiles = open_tiles(str(save(dataset, tmp_path / "raw.dcm")))
    with open(tiles.path, "rb") as file:
        return tiles.offsets.read(file, frame)


@pytest.mark.parametrize(
    "syntax", [ImplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian]
)
def test_positions_are_read_in_every_coding(tmp_path: Path, syntax: Any) -> None:
    dataset = sparse(slide(tissue(50, 80), tile=32), [(row, column, 0.5) for row, column in PLACES])
    found = open_tiles(str(written(tmp_path, syntax, dataset))).positions
    assert found is not None
    assert list(zip(found.row, found.column, strict=True)) == PLACES
    assert found.z_offset is not None
    assert (found.z_offset == 0.5).all()
    assert found.optical_path == ("1",) * 6


def test_functional_groups_of_undefined_length_are_read(tmp_path: Path) -> None:
    dataset = sparse(slide(tissue(50, 80), tile=32), PLACES)
    dataset["PerFrameFunctionalGroupsSequence"].is_undefined_length = True
    for item in dataset.PerFrameFunctionalGroupsSequence:
        item.is_undefined_length_sequence_item = True
    path = save(dataset, tmp_path / "slide.dcm")
    found = open_tiles(str(path)).positions
    assert found is not None
    assert list(zip(found.row, found.column, strict=True)) == PLACES
    assert_same_as_whole(path)


@pytest.mark.parametrize("syntax", [None, JPEGLSLossless])
@pytest.mark.parametrize("left", [0.3, 0.9, 0.999])
def test_a_file_cut_in_its_pixels_is_truncated(tmp_path: Path, syntax: Any, left: Any) -> None:
    dataset = encoded(syntax) if syntax else slide(tissue(50, 80), tile=32)
    path = save(dataset, tmp_path / "slide.dcm")
    raw = path.read_bytes()
    start = raw.index(b"\xe0\x7f\x10\x00")
    path.write_bytes(raw[: start + int((len(raw) - start) * left)])
    with pytest.raises(DecodeError) as raised:
        open_tiles(str(path))
    assert raised.value.code == "truncated"


def test_more_frames_than_pixels_contradict_the_header(tmp_path: Path) -> None:
    dataset = slide(tissue(50, 80), tile=32, NumberOfFrames=7)
    with pytest.raises(DecodeError) as raised:
        open_tiles(str(save(dataset, tmp_path / "slide.dcm")))
    assert raised.value.code == "inconsistent-pixels"


def test_a_tile_as_large_as_a_slide_is_refused(tmp_path: Path) -> None:
    dataset = encoded(JPEGLSLossless)
    dataset.Rows = dataset.Columns = 40000
    with pytest.raises(DecodeError) as raised:
        open_tiles(str(save(dataset, tmp_path / "slide.dcm")))
    assert raised.value.code == "picture-too-large"


def test_real_slides_give_the_same_tiles_and_hash(test_data: Path) -> None:
    paths = sorted((test_data / "dicom").rglob("sm_image*.dcm")) + sorted(
        (test_data / "dicom/path-foundation").glob("*.dcm")
    )
    assert len(paths) >= 8
    for path in paths:
        whole, tiles = open_dataset(str(path)), open_tiles(str(path))
        assert tiles.pixel_hash() == pixel_hash(whole)
        for frame, stored in enumerate(frames(whole, range(int(whole.NumberOfFrames)))):
            np.testing.assert_array_equal(tiles.tile(frame), stored)
        tiles.close()
