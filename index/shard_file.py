"""Shards as bytes: Parquet whose vectors lie in the file as numpy holds them.

The file is ordinary Parquet: plain values without compression, one page for a column of a row group, and for
the levels of a list of fixed size the run lengths that every row repeats (format: parquet.apache.org/docs,
levels: Encodings.md, thrift compact protocol: thrift-compact-protocol.md). pyarrow writes a level for each
single value, which takes four times as long as the values, and decodes them again when it reads.

The metadata of the schema says where the values of each row group begin (`values`), each at a multiple of 64,
so that they can be mapped.
"""

from __future__ import annotations

import base64
import json
import mmap
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pyarrow as pa

CREATED_BY = "medsiglip"
VALUES = b"values"
MOST_PAGE_BYTES = 1 << 30
"""The greatest page: its size is a 32-bit number in the format."""
_MAGIC = b"PAR1"
_ALIGNMENT = 64
_PLAIN, _RLE = 0, 3
_INT64, _FLOAT, _FIXED = 2, 4, 7
_REQUIRED, _REPEATED = 0, 2
_LIST, _FLOAT16 = 3, 15
# Types of the compact protocol.
_I32, _I64, _BINARY, _ARRAY, _STRUCT = 5, 6, 8, 9, 12

Field = tuple[int, bytes]


class _Chunk(NamedTuple):
    """A column of a row group in the file."""

    is_ids: bool
    offset: int
    size: int
    values: int


def shard_parts(
    image_ids: NDArray[np.int64], values: NDArray[np.floating], metadata: Mapping[str, str]
) -> Iterator[memoryview]:
    """The bytes of a shard in pieces: ids [n], float16 or float32 values [n, d], both in one piece of memory,
    and entries of the schema's metadata.
    """
    yield memoryview(_MAGIC)
    place, groups, starts = len(_MAGIC), [], []
    # Besides its values a row has levels of up to 7 bytes, and its id is in a page of its own.
    rows_each = max(1, MOST_PAGE_BYTES // max(8, values.shape[1] * values.itemsize))
    for low in range(0, len(values), rows_each):
        group = slice(low, low + rows_each)
        chunks = []
        for column in (image_ids[group], values[group]):
            head = _page_head(column)
            gap = bytes(-(place + len(head)) % _ALIGNMENT)
            yield memoryview(gap + head)
            yield _bytes_of(column)
            offset = place + len(gap)
            place = offset + len(head) + column.nbytes
            chunks.append(_Chunk(column.ndim == 1, offset, len(head) + column.nbytes, column.size))
        starts.append(place - values[group].nbytes)
        groups.append((len(values[group]), chunks))
    described = {**metadata, VALUES.decode(): json.dumps(starts)}
    footer = _footer(values, len(image_ids), groups, described)
    yield memoryview(footer + len(footer).to_bytes(4, "little") + _MAGIC)


class MappedShard(NamedTuple):
    """Ids [n] and values [n, d], read only, and the file that they are mapped from."""

    ids: NDArray[np.int64]
    values: NDArray[np.floating]
    file: mmap.mmap


def map_shard(path: Path, metadata: Any) -> MappedShard | None:
    """The content of a shard in the file itself; None for one without rows, or that `shard_parts` did not
    write. A shard of several row groups is put together in memory.

    `metadata` is pyarrow's `FileMetaData`. Raises OSError for a file that cannot be mapped.
    """
    starts = json.loads((metadata.metadata or {}).get(VALUES, "[]"))
    if metadata.created_by != CREATED_BY or len(starts) != metadata.num_row_groups or not starts:
        return None
    element = metadata.schema.column(1)
    dtype = np.dtype(np.float32 if element.physical_type == "FLOAT" else np.float16)
    ids, values = [np.empty(0, np.int64)], []
    with path.open("rb") as stream:
        mapped = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
    for number, start in enumerate(starts):
        group = metadata.row_group(number)
        count, chunk = group.num_rows, group.column(1)
        size = chunk.num_values * dtype.itemsize
        first = group.column(0).data_page_offset + group.column(0).total_compressed_size - 8 * count
        is_ours = chunk.compression == "UNCOMPRESSED" and set(chunk.encodings) == {"PLAIN", "RLE"}
        if not is_ours or start + size != chunk.data_page_offset + chunk.total_compressed_size:
            return None
        ids.append(np.frombuffer(mapped, "<i8", count, first))
        flat = np.frombuffer(mapped, dtype.newbyteorder("<"), chunk.num_values, start)
        values.append(flat.reshape(count, -1))
    if len(values) == 1:
        return MappedShard(ids[1], values[0], mapped)
    return MappedShard(np.concatenate(ids), np.concatenate(values), mapped)


def let_go(file: mmap.mmap) -> None:
    """Take the pages of a mapped file out of the memory of this process; they are read again when needed."""
    if hasattr(mmap, "MADV_DONTNEED"):
        file.madvise(mmap.MADV_DONTNEED)


def _bytes_of(array: NDArray[Any]) -> memoryview:
    return memoryview(array.reshape(-1).view(np.uint8).data) if array.size else memoryview(b"")


def _page_head(column: NDArray[Any]) -> bytes:
    """What stands before the values of a page: its header, and for lists the levels."""
    levels = b"" if column.ndim == 1 else _levels(*column.shape)
    size = len(levels) + column.nbytes
    data = _struct({1: _i32(column.size), 2: _i32(_PLAIN), 3: _i32(_RLE), 4: _i32(_RLE)})
    return _struct({1: _i32(0), 2: _i32(size), 3: _i32(size), 5: data})[1] + levels


def _levels(rows: int, dimension: int) -> bytes:
    """Repetition levels 0, 1, 1, ... of each row, then definition levels, all 1, each after its length."""
    row = _varint(1 << 1) + b"\0"
    if dimension > 1:
        row += _varint((dimension - 1) << 1) + b"\1"
    repetition, definition = row * rows, _varint(rows * dimension << 1) + b"\1"
    return b"".join(len(one).to_bytes(4, "little") + one for one in (repetition, definition))


def _footer(
    values: NDArray[np.floating],
    rows: int,
    groups: Sequence[tuple[int, Sequence[_Chunk]]],
    metadata: Mapping[str, str],
) -> bytes:
    arrow = _arrow_schema(values, metadata)
    entries = {**metadata, "ARROW:schema": base64.b64encode(arrow.serialize()).decode()}
    pairs = [_struct({1: _text(key), 2: _text(value)}) for key, value in entries.items()]
    return _struct(
        {
            1: _i32(2),
            2: _list(_schema(values.dtype)),
            3: _i64(rows),
            4: _list([_row_group(count, chunks, values.dtype) for count, chunks in groups]),
            5: _list(pairs),
            6: _text(CREATED_BY),
        }
    )[1]


def _arrow_schema(values: NDArray[np.floating], metadata: Mapping[str, str]) -> pa.Schema:
    """The schema as Arrow has it: Parquet itself knows no list of fixed size."""
    import pyarrow as pa

    element = pa.field("element", pa.from_numpy_dtype(values.dtype), nullable=False)
    fields = [
        pa.field("image_id", pa.int64(), nullable=False),
        pa.field("embedding", pa.list_(element, values.shape[1]), nullable=False),
    ]
    return pa.schema(fields, metadata=dict(metadata))


def _schema(dtype: np.dtype[Any]) -> list[Field]:
    element = {1: _i32(_FLOAT), 3: _i32(_REQUIRED), 4: _text("element")}
    if dtype == np.float16:
        kind = _struct({_FLOAT16: _struct({})})
        element = {1: _i32(_FIXED), 2: _i32(2), 3: _i32(_REQUIRED), 4: _text("element"), 10: kind}
    of_list = _struct({_LIST: _struct({})})
    return [
        _struct({4: _text("schema"), 5: _i32(2)}),
        _struct({1: _i32(_INT64), 3: _i32(_REQUIRED), 4: _text("image_id")}),
        _struct({3: _i32(_REQUIRED), 4: _text("embedding"), 5: _i32(1), 6: _i32(_LIST), 10: of_list}),
        _struct({3: _i32(_REPEATED), 4: _text("list"), 5: _i32(1)}),
        _struct(element),
    ]


def _row_group(rows: int, chunks: Sequence[_Chunk], dtype: np.dtype[Any]) -> Field:
    columns = []
    for chunk in chunks:
        kind = _INT64 if chunk.is_ids else _FLOAT if dtype == np.float32 else _FIXED
        names = ["image_id"] if chunk.is_ids else ["embedding", "list", "element"]
        encodings = [_i32(_PLAIN)] if chunk.is_ids else [_i32(_PLAIN), _i32(_RLE)]
        described = _struct(
            {
                1: _i32(kind),
                2: _list(encodings),
                3: _list([_text(name) for name in names]),
                4: _i32(0),
                5: _i64(chunk.values),
                6: _i64(chunk.size),
                7: _i64(chunk.size),
                9: _i64(chunk.offset),
            }
        )
        columns.append(_struct({2: _i64(0), 3: described}))
    return _struct({1: _list(columns), 2: _i64(sum(chunk.size for chunk in chunks)), 3: _i64(rows)})


# The compact protocol: a value is its type and its bytes.


def _varint(number: int) -> bytes:
    found = bytearray()
    while number > 0x7F:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*found, number])


def _i32(number: int) -> Field:
    return _I32, _varint(number << 1)  # zigzag; no number here is negative


def _i64(number: int) -> Field:
    return _I64, _varint(number << 1)


def _text(text: str) -> Field:
    encoded = text.encode()
    return _BINARY, _varint(len(encoded)) + encoded


def _list(members: Sequence[Field]) -> Field:
    kind = members[0][0] if members else _STRUCT
    head = bytes([len(members) << 4 | kind]) if len(members) < 15 else bytes([0xF0 | kind])
    length = b"" if len(members) < 15 else _varint(len(members))
    return _ARRAY, head + length + b"".join(content for _, content in members)


def _struct(fields: Mapping[int, Field]) -> Field:
    found, last = [], 0
    for number, (kind, content) in sorted(fields.items()):
        found.append(bytes([(number - last) << 4 | kind]) + content)  # numbers are less than 15 apart
        last = number
    return _STRUCT, b"".join(found) + b"\0"
