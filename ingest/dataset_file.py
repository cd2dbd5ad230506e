"""A DICOM file read by pydicom as a whole, with a bound on what a deflated one may turn into."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, BinaryIO

from ingest._inflate import RAW, InflatedFile
from ingest.elements import DEFLATED
from ingest.errors import decode_error

if TYPE_CHECKING:
    from pydicom import Dataset

MAX_INFLATED = 1 << 29
_EXPLICIT = "1.2.840.10008.1.2.1"


def read_dataset(file: BinaryIO, *, stop_before_pixels: bool = False) -> Dataset:
    """Read a data set with or without a preamble and meta information, whatever its transfer syntax.

    With the pixels only what `_fast_dataset.GROUPS` name is sure to be there, without them every element.

    Raises whatever pydicom raises, OSError, and `DecodeError` `picture-too-large` for a deflated data set
    (PS3.5 A.5) of more than `MAX_INFLATED` bytes.
    """
    from pydicom import dcmread
    from pydicom.uid import UID

    from ingest._fast_dataset import fast_dataset
    from ingest._fast_header import deflated_start

    if not stop_before_pixels:
        dataset = fast_dataset(file)
        if dataset is not None:
            return dataset
        file.seek(0)
    start = deflated_start(file)
    file.seek(0)
    if start is None:
        return dcmread(file, force=True, stop_before_pixels=stop_before_pixels)
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
    dataset = dcmread(whole, force=True, stop_before_pixels=stop_before_pixels)
    dataset.file_meta.TransferSyntaxUID = UID(DEFLATED)
    return dataset
