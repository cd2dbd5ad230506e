"""Whole slide images made for the tests: any organisation of tiles, any transfer syntax."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, VLWholeSlideMicroscopyImageStorage

GLASS, STAIN = (242, 240, 243), (150, 60, 140)


def glass(rows: int, columns: int) -> np.ndarray:
    """An empty slide, uint8 [rows, columns, 3]."""
    return np.full((rows, columns, 3), GLASS, np.uint8)


def tissue(rows: int, columns: int, seed: int = 0) -> np.ndarray:
    """A slide that is stained everywhere, every pixel a little different."""
    noise = np.random.default_rng(seed).integers(-20, 20, (rows, columns, 3))
    return (np.array(STAIN) + noise).astype(np.uint8)


def tiles_of(matrix: np.ndarray, tile: int) -> list[np.ndarray]:
    """Row by row, those at the edges padded with black."""
    down, across = ceil(matrix.shape[0] / tile), ceil(matrix.shape[1] / tile)
    padded = np.zeros((down * tile, across * tile, *matrix.shape[2:]), matrix.dtype)
    padded[: matrix.shape[0], : matrix.shape[1]] = matrix
    return [
        padded[r * tile : (r + 1) * tile, c * tile : (c + 1) * tile]
        for r in range(down)
        for c in range(across)
    ]


def slide(
    matrix: np.ndarray,
    *,
    tile: int = 128,
    micrometres: float | None = 1.0,
    flavour: str = "VOLUME",
    frames: Sequence[np.ndarray] | None = None,
    number: int = 1,
    **attributes: Any,
) -> Dataset:
    """A level whose total pixel matrix is `matrix`, uint8 or uint16, [R, C, 3] or [R, C], TILED_FULL;
    `frames` stand in for its own tiles, and `attributes` are DICOM keywords, None takes one out.
    """
    frames = tiles_of(matrix, tile) if frames is None else frames
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = VLWholeSlideMicroscopyImageStorage
    bits = 8 * matrix.dtype.itemsize
    given = {
        "ImageType": ["ORIGINAL", "PRIMARY", flavour, "NONE"],
        "SOPClassUID": VLWholeSlideMicroscopyImageStorage,
        "SOPInstanceUID": f"2.25.5{number}",
        "StudyInstanceUID": "2.25.52",
        "SeriesInstanceUID": "2.25.53",
        "Modality": "SM",
        "PatientID": "S1",
        "PatientName": "Doe^Jane",
        "StudyDate": "20240102",
        "InstanceNumber": number,
        "DimensionOrganizationType": "TILED_FULL",
        "SamplesPerPixel": 3 if matrix.ndim == 3 else 1,
        "PhotometricInterpretation": "RGB" if matrix.ndim == 3 else "MONOCHROME2",
        "PlanarConfiguration": 0 if matrix.ndim == 3 else None,
        "NumberOfFrames": len(frames),
        "Rows": frames[0].shape[0],
        "Columns": frames[0].shape[1],
        "BitsAllocated": bits,
        "BitsStored": bits,
        "HighBit": bits - 1,
        "PixelRepresentation": 0,
        "TotalPixelMatrixRows": matrix.shape[0],
        "TotalPixelMatrixColumns": matrix.shape[1],
        "SharedFunctionalGroupsSequence": [_measures(micrometres)] if micrometres else None,
    }
    for keyword, value in {**given, **attributes}.items():
        if value is not None:
            setattr(dataset, keyword, value)
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    raw = b"".join(np.ascontiguousarray(frame).tobytes() for frame in frames)
    dataset.PixelData = raw + b"\0" * (len(raw) % 2)
    dataset["PixelData"].VR = "OB" if bits == 8 else "OW"
    return dataset


def sparse(dataset: Dataset, places: Sequence[tuple[float, ...]]) -> Dataset:
    """Make a slide TILED_SPARSE: frame i lies at row and column `places[i]`, counted from 0, and in the plane
    with the Z offset that may follow.
    """
    items = []
    for row, column, *z in places:
        position, item, path = Dataset(), Dataset(), Dataset()
        position.ColumnPositionInTotalImagePixelMatrix = column + 1
        position.RowPositionInTotalImagePixelMatrix = row + 1
        position.ZOffsetInSlideCoordinateSystem = str(z[0] if z else 0)
        path.OpticalPathIdentifier = "1"
        item.PlanePositionSlideSequence = [position]
        item.OpticalPathIdentificationSequence = [path]
        items.append(item)
    dataset.PerFrameFunctionalGroupsSequence = items
    dataset.DimensionOrganizationType = "TILED_SPARSE"
    return dataset


def save(dataset: Dataset, path: Path, **options: Any) -> Path:
    """Write a file and give its path back."""
    path.parent.mkdir(parents=True, exist_ok=True)
    dataset.save_as(path, enforce_file_format=True, **options)
    return path


def _measures(micrometres: float) -> Dataset:
    shared, measures = Dataset(), Dataset()
    measures.PixelSpacing = [micrometres / 1000, micrometres / 1000]
    shared.PixelMeasuresSequence = [measures]
    return shared
