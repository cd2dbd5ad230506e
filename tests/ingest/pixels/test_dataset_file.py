"""Files that are cut into more elements than any of their size are not made objects of."""

from __future__ import annotations

import io
import struct
import tracemalloc
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import Dataset

from medsiglip.ingest.dicom.transfer_syntaxes import DEFLATED
from medsiglip.ingest.errors import HeaderRefusedError
from medsiglip.ingest.pixels import dataset_file
from medsiglip.ingest.pixels.dataset_file import read_dataset
from tests.ingest.read_files import headers_of

PIXELS = np.arange(16, dtype=np.uint16).reshape(2, 2, 4)
ITEM, SEQUENCE_END = struct.pack("<HHI", 0xFFFE, 0xE000, 0), struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)


GROUPS = (
    *("PlanePositionSequence", "PlaneOrientationSequence", "FrameContentSequence", "PixelMeasuresSequence"),
    *("FrameVOILUTSequence", "PixelValueTransformationSequence", "MREchoSequence", "MRDiffusionSequence"),
    *("TemporalPositionSequence", "CardiacSynchronizationSequence"),
)


@pytest.fixture
def few_reads(monkeypatch: pytest.MonkeyPatch) -> Any:
    """So that what is too many stays quick to read."""
    monkeypatch.setattr(dataset_file, "FREE_READS", 10_000)
    return 10_000


def flat(count: Any) -> Any:
    """So many empty elements."""
    return b"".join(
        struct.pack("<HH2sH", 0x31 + 2 * (i // 60_000), i % 60_000, b"LO", 0) for i in range(count)
    )


def items(count: Any) -> Any:
    """A sequence of so many empty items."""
    return struct.pack("<HH2sHI", 0x31, 1, b"SQ", 0, 0xFFFFFFFF) + ITEM * count + SEQUENCE_END


def written(make_dicom: Any, middle: Any, *, deflate: Any = False) -> Any:
    stream = io.BytesIO()
    make_dicom(PIXELS, Modality="CT", NumberOfFrames=2).save_as(stream, enforce_file_format=True)
    data = stream.getvalue()
    at = data.index(b"\xe0\x7f\x10\0OW")
    data = data[:at] + middle + data[at:]
    if not deflate:
        return data
    start = 144 + int.from_bytes(data[140:144], "little")
    uid = DEFLATED.encode()
    meta = data[:start].replace(b"\x14\0" + uid[:-3] + b"\0", b"\x16\0" + uid)
    meta = meta[:140] + (start - 144 + 2).to_bytes(4, "little") + meta[144:]
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return meta + packer.compress(data[start:]) + packer.flush()


@pytest.mark.parametrize("middle", [flat, items])
@pytest.mark.parametrize("deflate", [False, True])
def test_too_many_parts_are_refused(make_dicom: Any, few_reads: Any, middle: Any, deflate: Any) -> None:
    data = written(make_dicom, middle(4 * few_reads), deflate=deflate)
    with pytest.raises(HeaderRefusedError):
        read_dataset(io.BytesIO(data), stop_before_pixels=True)


@pytest.mark.long
def test_a_small_file_of_many_parts_does_not_take_the_memory_of_the_run(
    tmp_path: Path, make_dicom: Any, few_reads: Any
) -> None:
    """Without a bound this file of 2 kB takes 100 MB; it has two frames, whose places are looked for."""
    path = tmp_path / "x.dcm"
    path.write_bytes(written(make_dicom, items(1 << 17), deflate=True))
    tracemalloc.start()
    (header,) = headers_of(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert header.number_of_frames == 2
    assert peak < 40 << 20


def test_many_small_frames_are_read_like_any_file(make_dicom: Any, few_reads: Any) -> None:
    """As finely cut as files are: frames of 32 x 32 pixels, each with ten groups of undefined length."""
    count = 400
    frames = [Dataset() for _ in range(count)]
    for number, frame in enumerate(frames):
        for keyword in GROUPS:
            item = Dataset()
            item.InstanceNumber, item.StackID, item.WindowWidth = number, "1", 400
            item.is_undefined_length_sequence_item = True
            setattr(frame, keyword, [item])
            frame[keyword].is_undefined_length = True
        frame.is_undefined_length_sequence_item = True
    pixels = np.zeros((count, 32, 32), np.uint16)
    dataset = make_dicom(pixels, Modality="MR", NumberOfFrames=count, PerFrameFunctionalGroupsSequence=frames)
    dataset["PerFrameFunctionalGroupsSequence"].is_undefined_length = True
    stream = io.BytesIO()
    dataset.save_as(stream, enforce_file_format=True)
    for stop in (True, False):
        stream.seek(0)
        read = read_dataset(stream, stop_before_pixels=stop)
        assert len(read.PerFrameFunctionalGroupsSequence) == count
    assert read.PixelData == dataset.PixelData
