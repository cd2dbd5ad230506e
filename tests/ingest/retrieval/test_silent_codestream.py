"""Texts in codestreams are blanked, and every pixel decodes as before."""

from __future__ import annotations

import io

import imagecodecs
import numpy as np
import pytest
from PIL import Image

from medsiglip.ingest.retrieval.silent_codestream import silent

PIXELS = np.random.default_rng(0).integers(0, 255, (40, 32), dtype=np.uint8)
WORD = b"Planted name"
JPEG_LS = bytes(imagecodecs.jpegls_encode(PIXELS))
LOSSLESS = bytes(imagecodecs.ljpeg_encode(PIXELS, bitspersample=8))


def jpeg() -> bytes:
    exif = Image.Exif()
    exif[0x013B] = WORD.decode()
    written = io.BytesIO()
    Image.fromarray(PIXELS).save(written, "jpeg", exif=exif, comment=WORD, progressive=True)
    return written.getvalue()


def with_segment(codestream: bytes, marker: int, content: bytes) -> bytes:
    """The codestream with a segment behind its first marker."""
    segment = bytes((0xFF, marker)) + (len(content) + 2).to_bytes(2, "big") + content
    return codestream[:2] + segment + codestream[2:]


def j2k() -> bytes:
    plain = bytes(imagecodecs.jpeg2k_encode(PIXELS, codecformat="j2k", level=0))
    size = int.from_bytes(plain[4:6], "big")
    at = 4 + size
    comment = b"\xff\x64" + (len(WORD) + 4).to_bytes(2, "big") + b"\0\1" + WORD
    return plain[:at] + comment + plain[at:]


@pytest.mark.parametrize(
    ("codestream", "decode"),
    [
        (jpeg(), imagecodecs.jpeg8_decode),
        (with_segment(JPEG_LS, 0xFE, WORD), imagecodecs.jpegls_decode),
        (with_segment(JPEG_LS, 0xE9, WORD), imagecodecs.jpegls_decode),
        (
            with_segment(LOSSLESS, 0xFE, WORD),
            imagecodecs.ljpeg_decode,
        ),
        (j2k(), imagecodecs.jpeg2k_decode),
    ],
    ids=["jpeg", "jpeg-ls", "jpeg-ls application", "lossless jpeg", "jpeg 2000"],
)
def test_words_go_and_pixels_stay(codestream: bytes, decode: object) -> None:
    assert callable(decode)
    for given in (codestream, codestream + WORD):
        assert WORD in given
        found = silent(given)
        assert WORD not in found
        assert len(found) == len(given)
        assert np.array_equal(decode(found[: len(codestream)]), decode(codestream))
    assert silent(silent(codestream)) == silent(codestream)


def test_what_decoders_need_stays() -> None:
    adobe = with_segment(jpeg(), 0xEE, b"Adobe" + bytes(7))
    assert b"Adobe" in silent(adobe)
    assert b"JFIF\0" in silent(jpeg())


@pytest.mark.parametrize(
    "broken",
    [b"", b"\xff", b"\xff\xd8", b"\xff\xd8\xff\xfe", b"\xff\xd8\xff\xfe\xff\xff" + WORD, b"\xff\x4f\xff\x51"],
)
def test_broken_codestreams_end(broken: bytes) -> None:
    assert len(silent(broken)) == len(broken)
    for length in range(0, len(jpeg()), 97):
        silent(jpeg()[:length])
        silent(j2k()[:length])


def test_other_kinds_are_left_alone() -> None:
    assert silent(b"RLE" + WORD) == b"RLE" + WORD
