"""Small CT slices, as they are sent."""

from __future__ import annotations

from io import BytesIO
from typing import Any

from pydicom import Dataset, dcmwrite
from pydicom.uid import generate_uid

CT = "1.2.840.10008.5.1.4.1.1.2"
SYNTAX, IMPLICIT = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2"


def ct(**values: Any) -> Dataset:
    """A small CT slice, with these elements instead of its own."""
    dataset = Dataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID = CT, generate_uid()
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = generate_uid(), generate_uid()
    dataset.PatientID, dataset.Modality = "one", "CT"
    dataset.Rows = dataset.Columns = 4
    dataset.BitsAllocated, dataset.SamplesPerPixel, dataset.PixelRepresentation = 16, 1, 0
    dataset.PixelData = bytes(range(32))
    for keyword, value in values.items():
        if value is None:
            delattr(dataset, keyword)
        else:
            setattr(dataset, keyword, value)
    return dataset


def encoded(dataset: Dataset, syntax: str = SYNTAX) -> bytes:
    file = BytesIO()
    dcmwrite(file, dataset, implicit_vr=syntax == IMPLICIT, little_endian=True)
    return file.getvalue()
