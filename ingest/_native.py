"""Frames of uncompressed little endian pixel data, viewed where they lie instead of copied."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from pydicom import Dataset

SYNTAXES = frozenset({"1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.1.99"})


def native_frame(dataset: Dataset, index: int) -> NDArray[Any] | None:
    """One frame, read-only, or None if anything about it asks for pydicom's general decoder.

    That is: planes apart, YBR, bits other than 8 or 16, and values in the bits above High Bit, which PS3.5
    8.1.1 allows to hold anything.
    """
    if str(dataset.file_meta.TransferSyntaxUID) not in SYNTAXES or "PixelData" not in dataset:
        return None
    samples, allocated = int(dataset.get("SamplesPerPixel") or 1), int(dataset.BitsAllocated)
    stored = int(dataset.get("BitsStored") or allocated)
    photometric = str(dataset.get("PhotometricInterpretation") or "")
    grey = samples == 1 and photometric in {"MONOCHROME1", "MONOCHROME2", "PALETTE COLOR"}
    colour = (
        samples == 3 and photometric == "RGB" and allocated == 8 and dataset.get("PlanarConfiguration") == 0
    )
    if not (grey or colour) or allocated not in (8, 16) or dataset.get("HighBit") != stored - 1:
        return None
    signed = int(dataset.get("PixelRepresentation") or 0) == 1
    rows, columns = int(dataset.Rows), int(dataset.Columns)
    values, count = dataset.PixelData, rows * columns * samples
    if (index + 1) * count * allocated // 8 > len(values):
        return None
    dtype = np.dtype(f"<{'i' if signed else 'u'}{allocated // 8}")
    frame = np.frombuffer(values, dtype, count, index * count * dtype.itemsize)
    if stored < allocated and not _within(frame, stored, signed=signed):
        return None
    return frame.reshape(rows, columns) if grey else frame.reshape(rows, columns, 3)


def _within(frame: NDArray[Any], bits: int, *, signed: bool) -> bool:
    if not signed:
        return int(frame.max()) < 1 << bits
    return int(frame.min()) >= -(1 << (bits - 1)) and int(frame.max()) < 1 << (bits - 1)
