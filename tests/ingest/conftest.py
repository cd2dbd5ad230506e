"""DICOM files made for the tests, and an encoder whose vectors are exact arithmetic."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import (
    CTImageStorage,
    DigitalXRayImageStorageForPresentation,
    ExplicitVRLittleEndian,
    MRImageStorage,
)

SOP_CLASSES = {"CT": CTImageStorage, "MR": MRImageStorage, "DX": DigitalXRayImageStorageForPresentation}


def dicom(pixels: np.ndarray | None = None, **attributes: Any) -> Dataset:
    """A data set as a scanner would write it; `attributes` are DICOM keywords, None takes one out."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    modality = attributes.get("Modality", "DX")
    given = {
        "SOPClassUID": SOP_CLASSES.get(modality, SOP_CLASSES["DX"]),
        "SOPInstanceUID": "2.25.1",
        "StudyInstanceUID": "2.25.2",
        "SeriesInstanceUID": "2.25.3",
        "Modality": modality,
        "PatientID": "P1",
        "PatientName": "Doe^Jane",
        "StudyDate": "20240102",
        "InstanceNumber": 1,
    }
    if pixels is not None:
        signed = pixels.dtype.kind == "i"
        bits = attributes.get("BitsStored", pixels.dtype.itemsize * 8)
        given |= {
            "SamplesPerPixel": 3 if pixels.shape[-1] == 3 and pixels.ndim >= 3 else 1,
            "PhotometricInterpretation": "RGB"
            if pixels.shape[-1] == 3 and pixels.ndim >= 3
            else "MONOCHROME2",
            "Rows": pixels.shape[-3 if pixels.shape[-1] == 3 and pixels.ndim >= 3 else -2],
            "Columns": pixels.shape[-2 if pixels.shape[-1] == 3 and pixels.ndim >= 3 else -1],
            "BitsAllocated": pixels.dtype.itemsize * 8,
            "BitsStored": bits,
            "HighBit": bits - 1,
            "PixelRepresentation": int(signed),
        }
        if given["SamplesPerPixel"] == 3:
            given["PlanarConfiguration"] = 0
    for keyword, value in {**given, **attributes}.items():
        if value is not None:
            setattr(dataset, keyword, value)
    if pixels is not None:
        dataset.PixelData = pixels.astype(pixels.dtype.newbyteorder("<")).tobytes()
        dataset["PixelData"].VR = "OB" if pixels.dtype.itemsize == 1 else "OW"
    dataset.file_meta.MediaStorageSOPClassUID = dataset.get("SOPClassUID", "1.2.3")
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.get("SOPInstanceUID", "1.2.3")
    return dataset


@pytest.fixture(scope="session")
def make_dicom() -> Callable[..., Dataset]:
    return dicom


@pytest.fixture(scope="session")
def write_dicom() -> Callable[..., Path]:
    def write(path: Path, pixels: np.ndarray | None = None, **attributes: Any) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        dicom(pixels, **attributes).save_as(path, enforce_file_format=True)
        return path

    return write


@pytest.fixture(scope="session")
def write_series(write_dicom: Callable[..., Path]) -> Callable[..., list[Path]]:
    """A volume whose instance numbers run against its geometry; slice z holds `100 * z + x + y`."""

    def write(folder: Path, count: int, modality: str = "CT", uid: int = 7, **attributes: Any) -> list[Path]:
        y, x = np.mgrid[:16, :16]
        paths = []
        for z in range(count):
            extra = {"RescaleSlope": 1, "RescaleIntercept": -1000} if modality == "CT" else {}
            given = {
                "SOPInstanceUID": f"2.25.{uid}{z:03d}",
                "SeriesInstanceUID": f"2.25.{uid}",
                "StudyInstanceUID": f"2.25.9{uid}",
                "InstanceNumber": count - z,
                "ImagePositionPatient": [0, 0, 5 * z],
                "ImageOrientationPatient": [1, 0, 0, 0, 1, 0],
                "Modality": modality,
                **extra,
                **attributes,
            }
            # The names of the files follow neither the geometry nor the instance numbers.
            name = f"{(z * 7) % count:03d}-{z}.dcm"
            paths.append(write_dicom(folder / name, (100 * z + x + y).astype(np.int16), **given))
        return paths

    return write


@dataclass(frozen=True)
class Model:
    """What an ingest asks of a checkpoint."""

    name: str = "test"
    hash: str = "ab" * 32
    dimension: int = 48
    image_size: int = 32


class Encoder:
    """The mean of each cell of a 4 x 4 grid, per channel, as a unit vector."""

    def encode_images(self, images: np.ndarray) -> np.ndarray:
        n, size = len(images), images.shape[1]
        cells = images.reshape(n, 4, size // 4, 4, size // 4, 3).astype(np.float64).mean(axis=(2, 4))
        vectors = cells.reshape(n, 48) + 1.0
        unit: np.ndarray = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        return unit.astype(np.float32)


@pytest.fixture(scope="session")
def model() -> Model:
    return Model()


@pytest.fixture(scope="session")
def encoder() -> Encoder:
    return Encoder()


@pytest.fixture(scope="session")
def test_data() -> Path:
    folder = os.environ.get("MEDSIGLIP_TEST_DATA")
    if not folder:
        pytest.skip("MEDSIGLIP_TEST_DATA names no folder with real data")
    return Path(folder)
