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


def pieces(codestream: bytes) -> dict[str, bytes]:
    """The codestream of a JPEG with words at places that decoders pass over."""
    scan = codestream.index(b"\xff\xda")
    behind = scan + 2 + int.from_bytes(codestream[scan + 2 : scan + 4], "big")
    # In a progressive one, tables follow the first scan.
    table = codestream.index(b"\xff\xc4", behind)
    comment = b"\xff\xfe" + (len(WORD) + 2).to_bytes(2, "big") + WORD
    return {
        "no marker": codestream[:scan] + WORD + codestream[scan:],
        "fill bytes": b"\xff" + codestream,
        "between scans": codestream[:table] + comment + codestream[table:],
        "another end": codestream + WORD + b"\xff\xd9" + WORD,
    }


@pytest.mark.parametrize("place", ["no marker", "fill bytes", "between scans", "another end"])
def test_words_go_from_every_place(place: str) -> None:
    found = silent(pieces(jpeg())[place])
    assert WORD not in found
    bare = found[1:] if place == "fill bytes" else found
    assert np.array_equal(imagecodecs.jpeg8_decode(bare), imagecodecs.jpeg8_decode(jpeg()))


def test_a_second_end_of_jpeg_2000_hides_nothing() -> None:
    assert WORD not in silent(j2k() + WORD + b"\xff\xd9")


def test_boxes_around_jpeg_2000_lose_their_texts() -> None:
    plain = bytes(imagecodecs.jpeg2k_encode(PIXELS, codecformat="jp2", level=0))
    text = (len(WORD) + 8).to_bytes(4, "big") + b"xml " + WORD
    at = plain.index(b"jp2c") - 4
    given = plain[:at] + text + plain[at:]
    for one in (given, given + text, given + WORD):
        found = silent(one)
        assert WORD not in found
        assert len(found) == len(one)
        assert np.array_equal(imagecodecs.jpeg2k_decode(found[: len(given)]), PIXELS)


def test_other_kinds_are_left_alone() -> None:
    assert silent(b"RLE" + WORD) == b"RLE" + WORD
