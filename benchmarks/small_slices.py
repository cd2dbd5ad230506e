"""Generator `small-slices-v1`: many small CT files, made by changing numbers in the bytes of one."""

from io import BytesIO
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, CTImageStorage, ExplicitVRLittleEndian

NAME = "small-slices-v1"
SIZE = 48


def write_small_slices(folder: Path, count: int, per_series: int, size: int = SIZE) -> None:
    """Write `count` slices of 48 x 48 pixels, about 5 kB each, or of another size, in folders of a series
    (and a study) each.
    """
    rng = np.random.default_rng(0)
    header, pixels = _template(size)
    for number in range(count):
        series, place = divmod(number, per_series)
        made = header.replace(_uid(1, 0), _uid(1, series)).replace(_uid(2, 0), _uid(2, series))
        made = made.replace(_uid(3, 0), _uid(3, number)).replace(b"P0000000", b"P%07d" % series)
        made = made.replace(b"-00000.0", b"-%05d.0" % place)
        noisy = pixels + rng.integers(-90, 90, pixels.size, np.int16)
        path = folder / f"{series:05d}" / f"{place:05d}.dcm"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(made + noisy.astype("<i2").tobytes())


def _uid(kind: int, number: int) -> bytes:
    return b"2.25.%d%020d" % (kind, number)


def _template(size: int) -> tuple[bytes, np.ndarray]:
    """Everything before the pixels of a file, and the pixels: a bright disc in air."""
    y, x = np.mgrid[-1 : 1 : size * 1j, -1 : 1 : size * 1j]
    pixels = np.where(x**2 + y**2 < 0.6, 40 + 200 * np.cos(3 * x), -1000).astype(np.int16).ravel()
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = CTImageStorage
    study, series, instance = (UID(_uid(kind, 0).decode()) for kind in (1, 2, 3))
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = instance
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = study, series
    values = {
        "Modality": "CT",
        "PatientID": "P0000000",
        "StudyDate": "20240131",
        "ImagePositionPatient": ["0", "0", "-00000.0"],
        "ImageOrientationPatient": [1, 0, 0, 0, 1, 0],
        "RescaleSlope": "1",
        "RescaleIntercept": "0",
        "PhotometricInterpretation": "MONOCHROME2",
        "SamplesPerPixel": 1,
        "Rows": size,
        "Columns": size,
        "BitsAllocated": 16,
        "BitsStored": 16,
        "HighBit": 15,
        "PixelRepresentation": 1,
        "PixelData": pixels.astype("<i2").tobytes(),
    }
    for keyword, value in values.items():
        setattr(dataset, keyword, value)
    dataset["PixelData"].VR = "OW"
    stream = BytesIO()
    dataset.save_as(stream, enforce_file_format=True)
    return stream.getvalue()[: -2 * pixels.size], pixels
