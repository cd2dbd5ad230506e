"""What lies around the runs of RLE goes, and every pixel decodes as before."""

from __future__ import annotations

import struct

import imagecodecs
import numpy as np
import pytest

from medsiglip.ingest.errors import DecodeError
from medsiglip.ingest.retrieval.silent_runs import silent_runs

# Of a slice of CT, every byte once, with runs.
PIXELS = np.sort(np.random.default_rng(0).integers(0, 4096, (24, 32), dtype=np.uint16), axis=1)
WORD = b"\x05Planted\x7fname"


def frame(head: bytes = b"", behind: bytes = b"") -> bytes:
    """An RLE frame by PS3.5 annex G with bytes in its header and behind its segments."""
    planes = [PIXELS >> 8, PIXELS & 255]
    segments = [bytes(imagecodecs.packbits_encode(one.astype(np.uint8).tobytes())) + behind for one in planes]
    header = struct.pack("<3L", 2, 64, 64 + len(segments[0])) + head
    return header.ljust(64, b"\0") + b"".join(segments)


def decoded(codestream: bytes) -> np.ndarray:
    return np.frombuffer(imagecodecs.dicomrle_decode(codestream, "<u2", out=PIXELS.nbytes), "<u2").reshape(
        PIXELS.shape
    )


@pytest.mark.parametrize("place", ["head", "behind"])
def test_words_go_and_pixels_stay(place: str) -> None:
    given = frame(**{place: WORD})
    assert WORD in given
    found = silent_runs(given, PIXELS.nbytes)
    assert b"lanted" not in found
    assert b"name" not in found
    assert len(found) == len(given)
    assert np.array_equal(decoded(found), PIXELS)
    assert silent_runs(found, PIXELS.nbytes) == found


def test_a_frame_of_runs_alone_stays_as_it_is() -> None:
    for behind in (b"", b"\0"):
        assert silent_runs(frame(behind=behind), PIXELS.nbytes) == frame(behind=behind)


@pytest.mark.parametrize(
    "damaged", [b"", WORD, frame()[:60], b"\xff" * 64, struct.pack("<16L", 2, *[9] * 15)]
)
def test_damaged_frames_are_refused(damaged: bytes) -> None:
    with pytest.raises(DecodeError) as refused:
        silent_runs(damaged, PIXELS.nbytes)
    assert refused.value.code == "undecodable-pixels"
