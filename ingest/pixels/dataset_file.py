"""A DICOM file read by pydicom as a whole, with a bound on what a deflated one may turn into, and mended
where pydicom gives up though no value is lost.
"""

from __future__ import annotations

import io
import os
import shutil
import struct
from typing import TYPE_CHECKING, BinaryIO

from medsiglip.ingest.errors import decode_error
from medsiglip.ingest.files.inflate import RAW, InflatedFile
from medsiglip.ingest.header.elements import DEFLATED
from medsiglip.ingest.pixels.frugal import read_frugally

if TYPE_CHECKING:
    from pydicom import Dataset

MAX_INFLATED = 1 << 29
_EXPLICIT = "1.2.840.10008.1.2.1"
_SEQUENCE_END = b"\xfe\xff\xdd\xe0\0\0\0\0"


def read_dataset(file: BinaryIO, *, stop_before_pixels: bool = False) -> Dataset:
    """Read a data set with or without a preamble and meta information, whatever its transfer syntax.

    With the pixels only what `_fast_dataset.GROUPS` name is sure to be there, without them every element.

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
    # The same file as it would be without the compression, under a UID of the same length.
    plain = _EXPLICIT.ljust(len(DEFLATED), "\0")
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
    """A data set whose encapsulated pixel data lack nothing but the delimiter at their end (PS3.5 A.4), for
    which pydicom gives nothing; None if it has no such pixel data.
    """
    file.seek(0)
    ended = io.BytesIO()
    shutil.copyfileobj(file, ended)
    ended.write(_SEQUENCE_END)
    ended.seek(0)
    try:
        dataset = read_frugally(ended, len(ended.getbuffer()))
    except Exception:  # whatever else the end of the file has cut
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
