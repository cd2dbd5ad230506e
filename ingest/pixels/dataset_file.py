"""Reading a whole DICOM file with pydicom: with bounds on deflated files and on the number of elements, and
with repairs where pydicom fails though no value is lost.
"""

from __future__ import annotations

import io
import os
import shutil
import struct
from typing import TYPE_CHECKING, BinaryIO, cast

from medsiglip.ingest.dicom.transfer_syntaxes import DEFLATED, EXPLICIT
from medsiglip.ingest.errors import HeaderRefusedError, decode_error
from medsiglip.ingest.files.inflate import RAW, InflatedFile

if TYPE_CHECKING:
    from pydicom import Dataset

MAX_INFLATED = 1 << 29
# pydicom reads two or three times for an element, and takes up to 15 microseconds and 1 kB for each. Of real
# files, those with many small frames have the most elements: one of 32 x 32 pixels takes 3 kB and 120 reads.
FREE_READS = 200_000
BYTES_PER_READ = 16
_ITEMS = (b"\xfe\xff\0\xe0", b"\xff\xfe\xe0\0")
_SEQUENCE_END = b"\xfe\xff\xdd\xe0\0\0\0\0"


def read_dataset(file: BinaryIO, *, stop_before_pixels: bool = False) -> Dataset:
    """Read a data set with or without a preamble and meta information, whatever its transfer syntax.

    With pixels only the groups `fast_dataset.GROUPS` are sure to be present, without pixels every element.

    Raises whatever `read_frugally` raises, OSError, and `DecodeError`: `picture-too-large` for a deflated
    data set (PS3.5 A.5) of more than `MAX_INFLATED` bytes, `truncated` for pixel data that end in the middle.
    """
    from pydicom.uid import UID

    from medsiglip.ingest.header.fast_header import deflated_start
    from medsiglip.ingest.pixels.fast_dataset import fast_dataset

    if not stop_before_pixels:
        dataset = fast_dataset(file)
        if dataset is not None:
            return dataset
        file.seek(0)
    start = deflated_start(file)
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    if start is None:
        return _read(file, size, stop_before_pixels=stop_before_pixels)
    # The same file without compression, under a UID of the same length.
    plain = EXPLICIT.ljust(len(DEFLATED), "\0")
    meta = file.read(start).replace(DEFLATED.encode(), plain.encode())
    whole = io.BytesIO()
    whole.write(meta)
    content = InflatedFile(file, start, RAW)
    try:
        while part := content.read(1 << 20):
            whole.write(part)
            if whole.tell() > MAX_INFLATED:
                raise decode_error("picture-too-large")
    finally:
        content.release()
    whole.seek(0)
    dataset = _read(whole, size, stop_before_pixels=stop_before_pixels)
    dataset.file_meta.TransferSyntaxUID = UID(DEFLATED)
    return dataset


def _read(file: BinaryIO, size: int, *, stop_before_pixels: bool) -> Dataset:
    try:
        dataset = read_frugally(file, size, stop_before_pixels=stop_before_pixels)
    except Exception:
        known = _without_unknown_sequences(file)
        if known is None:
            raise
        return read_frugally(known, size, stop_before_pixels=stop_before_pixels)
    if len(dataset) or stop_before_pixels:
        return dataset
    return _read_unended(file) or dataset


def _without_unknown_sequences(file: BinaryIO) -> BinaryIO | None:
    """A big endian file without its sequences of VR UN, or None if it has none."""
    from medsiglip.ingest.header.fast_header import unknown_sequences

    spans = unknown_sequences(file)
    if not spans:
        return None
    file.seek(0)
    content = bytearray(file.read())
    for start, end in reversed(spans):
        del content[start:end]
    return io.BytesIO(content)


def _read_unended(file: BinaryIO) -> Dataset | None:
    """A data set whose encapsulated pixel data lack only the delimiter at the end (PS3.5 A.4), for which
    pydicom returns nothing; None if it has no such pixel data.
    """
    file.seek(0)
    ended = io.BytesIO()
    shutil.copyfileobj(file, ended)
    ended.write(_SEQUENCE_END)
    ended.seek(0)
    try:
        dataset = read_frugally(ended, len(ended.getbuffer()))
    except Exception:  # something else is cut off too
        return None
    if "PixelData" not in dataset:
        return None
    value, at, items = dataset.PixelData, 0, 0
    while at + 8 <= len(value):
        at += 8 + struct.unpack_from("<I", value, at + 4)[0]
        items += 1
    if at != len(value) or items <= int(dataset.get("NumberOfFrames") or 1):  # the first is the offset table
        raise decode_error("truncated")
    return dataset


def read_frugally(file: BinaryIO, size: int, *, stop_before_pixels: bool = False) -> Dataset:
    """`pydicom.dcmread` with `force`, of a file that stays open; `size` is its size on disk in bytes.

    Raises `HeaderRefusedError` for a file with too many elements, and whatever pydicom raises.
    """
    from pydicom import dcmread

    frugal = _Frugal(cast(io.RawIOBase, file), 1 << 16)
    frugal.left = FREE_READS + size // BYTES_PER_READ
    frugal.counts_items = stop_before_pixels  # the frames of encapsulated pixel data are items too
    try:
        return dcmread(frugal, force=True, stop_before_pixels=stop_before_pixels)
    except Exception:
        if frugal.left < 0:  # pydicom replaces the error
            raise HeaderRefusedError("unreadable-header") from None
        raise
    finally:
        frugal.detach()


class _Frugal(io.BufferedReader):
    name = ""  # pydicom reads it
    left = 0
    counts_items = False

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(size)
        self.left -= 1
        if self.counts_items and data.startswith(_ITEMS):  # a sequence that pydicom parses later
            self.left -= len(data) // BYTES_PER_READ
        if self.left < 0:
            raise HeaderRefusedError("unreadable-header")
        return data
