from __future__ import annotations

import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.encaps import encapsulate, encapsulate_extended, generate_frames

from medsiglip.ingest.errors import DecodeError
from medsiglip.ingest.pixels.fragments import encapsulated_frames

JPEG = b"\xff\xd8\xff\xe0"


def item(value: Any) -> Any:
    return b"\xfe\xff\x00\xe0" + struct.pack("<I", len(value)) + value


def all_frames(value: Any, count: Any, offsets: Any = ()) -> Any:
    found = encapsulated_frames(value, count, offsets)
    return [found.codestream(i) for i in range(count)]


@given(
    st.lists(st.binary(min_size=2, max_size=40).map(lambda b: b + b[: len(b) % 2]), min_size=1, max_size=6),
    st.integers(1, 3),
)
def test_frames_are_found_with_and_without_an_offset_table(contents: Any, fragments: Any) -> None:
    contents = [content * 8 for content in contents]
    with_table = encapsulate(contents, fragments_per_frame=fragments, has_bot=True)
    assert all_frames(with_table, len(contents)) == contents
    assert all_frames(with_table, len(contents)) == list(generate_frames(with_table))
    if fragments == 1 or len(contents) == 1:
        without = encapsulate(contents, fragments_per_frame=fragments, has_bot=False)
        assert all_frames(without, len(contents)) == contents


def test_the_extended_offset_table_is_taken() -> None:
    contents = [b"ab", b"cdef", b"gh"]
    value, offsets, _ = encapsulate_extended(contents)
    assert all_frames(value, 3, struct.unpack("<3Q", offsets)) == contents


def test_without_a_table_a_frame_begins_where_a_codestream_does() -> None:
    first, second = [JPEG + b"12", b"34"], [JPEG + b"5678"]
    value = b"".join(map(item, [b"", *first, *second]))
    assert all_frames(value, 2) == [b"".join(first), b"".join(second)]


def test_a_wrong_table_is_not_believed() -> None:
    contents = [JPEG + b"12", JPEG + b"5678"]
    value = item(struct.pack("<2I", 0, 10)) + b"".join(map(item, contents))
    assert all_frames(value, 2) == contents


@pytest.mark.parametrize(
    ("value", "count", "code"),
    [
        (item(b"") + item(b"1234")[:-2], 1, "truncated"),
        (item(b"") + item(b"12"), 2, "inconsistent-pixels"),
        (item(b"") + item(b"12") + item(b"34") + item(b"56"), 2, "inconsistent-pixels"),
        (b"not an item at all", 1, "inconsistent-pixels"),
        (b"", 1, "inconsistent-pixels"),
        (item(b""), 1, "inconsistent-pixels"),
    ],
)
def test_what_is_missing_is_said(value: Any, count: Any, code: Any) -> None:
    with pytest.raises(DecodeError) as caught:
        all_frames(value, count)
    assert caught.value.code == code


def test_a_frame_beyond_the_last_is_refused() -> None:
    with pytest.raises(DecodeError):
        encapsulated_frames(item(b"") + item(b"12"), 1).codestream(1)
