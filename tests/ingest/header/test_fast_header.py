"""The fast header reader: odd elements are walked past, and a header takes little memory whatever it
claims.
"""

from __future__ import annotations

import contextlib
import io
import struct
import tracemalloc
import zlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import dcmread
from pydicom.uid import DeflatedExplicitVRLittleEndian

from medsiglip.ingest.dicom.transfer_syntaxes import DEFLATED
from medsiglip.ingest.errors import DecodeError, HeaderRefusedError
from medsiglip.ingest.header import fast_header
from medsiglip.ingest.header.elements import pydicom_elements, read_elements
from medsiglip.ingest.header.fast_header import MAX_DEPTH, fast_elements
from medsiglip.ingest.header.header_values import CUT, PIXELS, wanted_elements
from medsiglip.ingest.pixels import dataset_file
from medsiglip.ingest.pixels.decode import open_dataset
from medsiglip.ingest.privacy.quiet import quiet
from tests.ingest.header.header_cases import (
    ITEM,
    ITEM_END,
    PIXEL_ELEMENT,
    ROWS,
    SEQUENCE_END,
    UID,
    UNDEFINED_LENGTH,
    as_explicit,
    as_file,
    element,
    nested,
    rich,
)


@pytest.mark.parametrize(
    "between",
    [
        nested(MAX_DEPTH - 1, inner=ROWS),
        element(0x00081140, b"UN", ITEM + struct.pack("<HHI", 8, 0x18, 6) + b"9.9.9\0", UNDEFINED_LENGTH)
        + ITEM_END
        + SEQUENCE_END,
        element(0x00081140, b"SQ", ITEM + struct.pack("<HHI", 8, 0x18, 6) + b"9.9.9\0", UNDEFINED_LENGTH)
        + ITEM_END
        + SEQUENCE_END,
        element(0x00081140, b"SQ", SEQUENCE_END, UNDEFINED_LENGTH),
        element(0x00091010, b"OB", bytes(100_001)),
        element(0x00080000, b"UL", b"\xff\xff\xff\x7f")[:0] + element(0x00090000, b"UL", b"\xff\xff\0\0"),
    ],
    ids=[
        "deep",
        "UN with implicit items",
        "implicit within explicit",
        "no items",
        "long",
        "group length lies",
    ],
)
def test_odd_elements_on_the_way_are_walked_past(tmp_path: Path, between: Any) -> None:
    path = as_explicit(tmp_path, UID + between + ROWS + PIXEL_ELEMENT)
    with path.open("rb") as file:
        found = fast_elements(file)
        assert found == pydicom_elements(file)
    assert found.ending == PIXELS
    assert (found.values["SOPInstanceUID"], found.values["Rows"]) == ("1.2.3", 7)


def test_pixel_data_before_other_elements_end_the_header(tmp_path: Path) -> None:
    path = as_explicit(tmp_path, UID + PIXEL_ELEMENT + ROWS + PIXEL_ELEMENT)
    found = read_elements(str(path))
    assert (found.ending, found.values["SOPInstanceUID"], "Rows" in found.values) == (PIXELS, "1.2.3", False)


@pytest.mark.parametrize("depth", [MAX_DEPTH + 1, 10_000])
@pytest.mark.parametrize("tag", [0x00081140, 0x00091010])
def test_sequences_nested_too_deep_are_refused(tmp_path: Path, depth: Any, tag: Any) -> None:
    path = as_explicit(tmp_path, UID + nested(depth, tag) + ROWS + PIXEL_ELEMENT)
    with pytest.raises(HeaderRefusedError) as caught:
        read_elements(str(path))
    assert caught.value.code == "nested-too-deep"


def test_pydicom_is_not_led_into_recursion(tmp_path: Path) -> None:
    """An unknown VR sends the header to pydicom."""
    path = as_explicit(tmp_path, element(0x00080005, b"CS", b"") + b"\x08\0\x06\0ZZ\0\0" + nested(10_000))
    with path.open("rb") as file:
        assert fast_elements(file) is None
    with pytest.raises(HeaderRefusedError) as caught:
        read_elements(str(path))
    assert caught.value.code == "nested-too-deep"


def peak_memory(call: Any) -> int:
    tracemalloc.start()
    try:
        with contextlib.suppress(HeaderRefusedError):
            call()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_a_header_of_any_length_takes_little_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fast_header, "MAX_HEADER", 1 << 20)
    read_elements(str(as_explicit(tmp_path, UID + PIXEL_ELEMENT)))
    private = b"".join(element(0x00091000 + n, b"OB", bytes(3 << 20)) for n in range(10))
    short = nested(1, inner=element(0x00280010, b"US", b"\7\0") * (3 << 17))
    for between in (private, short, element(0x00100020, b"LO", b"") + private):
        path = as_explicit(tmp_path, UID + between + ROWS + PIXEL_ELEMENT)
        assert peak_memory(lambda path=path: read_elements(str(path))) < 4 << 20


def test_a_deflated_header_is_inflated_no_further_than_it_has_to_be(tmp_path: Path) -> None:
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    data = packer.compress(UID + ROWS + element(0x7FE00010, b"OW", b"", 1 << 24)[:12] + bytes(1 << 24))
    path = as_explicit(tmp_path, data + packer.flush(), DEFLATED.encode())
    assert peak_memory(lambda: read_elements(str(path))) < 4 << 20
    assert read_elements(str(path)).values["Rows"] == 7


def test_a_deflated_file_that_inflates_to_far_too_much_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dataset_file, "MAX_INFLATED", 1 << 20)
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    data = packer.compress(UID + ROWS + element(0x7FE00010, b"OW", bytes(1 << 24))) + packer.flush()
    path = as_explicit(tmp_path, data, DEFLATED.encode())
    with pytest.raises(DecodeError) as caught:
        open_dataset(str(path))
    assert caught.value.code == "picture-too-large"


def test_a_deflated_file_is_read_whole_as_pydicom_reads_it(tmp_path: Path, make_dicom: Any) -> None:
    path = as_file(tmp_path, rich(make_dicom), DeflatedExplicitVRLittleEndian)
    ours, peer = open_dataset(str(path)), dcmread(path)
    assert ours == peer
    assert ours.file_meta.TransferSyntaxUID == DEFLATED
    assert ours.original_encoding == peer.original_encoding


values = st.one_of(
    st.tuples(
        st.sampled_from([b"LO", b"SH", b"PN", b"CS", b"UI", b"DS", b"IS", b"UT"]), st.binary(max_size=24)
    ),
    st.tuples(st.sampled_from([b"US", b"FD", b"UL"]), st.binary(max_size=3).map(lambda b: b * 8)),
)

TAGS = sorted(tag for tag in wanted_elements()[0] if tag >> 16 > 2)

SETS = [b"", b"ISO_IR 100", b"ISO_IR 192", b"GB18030", b"\\ISO 2022 IR 87", b"ISO_IR 999"]


@st.composite
def headers(draw: Any) -> bytes:
    """Elements in order, each wanted one with a VR and bytes of any kind, and sequences between them."""
    parts = [(0x00080005, element(0x00080005, b"CS", draw(st.sampled_from(SETS))))]
    for tag in sorted(draw(st.sets(st.sampled_from(TAGS), max_size=8))):
        vr, value = draw(values)
        parts.append((tag, element(tag, vr, value)))
        if draw(st.booleans()):
            depth = draw(st.integers(1, 3))
            parts.append((0x00091010 + len(parts), nested(depth, inner=element(tag, vr, value))))
    return b"".join(part for _, part in sorted(parts))


@given(headers(), st.booleans(), st.integers(0, 60))
@settings(max_examples=100, deadline=None)
def test_both_readers_agree_on_made_headers(data: Any, has_pixels: Any, cut: Any) -> None:
    """What is cut off is not compared: pydicom takes the end of the file for the end of the data set."""
    content = bytes(128) + b"DICM" + element(0x00020010, b"UI", b"1.2.840.10008.1.2.1\0") + data
    file = io.BytesIO(content + PIXEL_ELEMENT if has_pixels else content[: len(content) - cut])
    with quiet():
        fast = fast_elements(file)
        if fast is not None and fast.ending != CUT:
            assert fast == pydicom_elements(file)
