"""Generator `radiographs-v1`: DX files with the header a scanner would write and smooth, noisy 16-bit pixels.

The same count, size and seed give the same bytes. A change of the pictures is a new version of the name.
"""

from pathlib import Path

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import UID, DigitalXRayImageStorageForPresentation, ExplicitVRLittleEndian

NAME = "radiographs-v1"


def write_radiographs(folder: Path, count: int, size: int, seed: int = 0) -> list[Path]:
    """Write `count` files of size x size pixels, four to a study, with 12 of 16 bits stored and a window."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    paths = []
    for number in range(count):
        dataset = _header(number, seed)
        pixels = _pixels(rng, size)
        dataset.Rows, dataset.Columns = pixels.shape
        dataset.PixelData = pixels.tobytes()
        path = folder / f"study-{number // 4:05d}" / f"image-{number:05d}.dcm"
        path.parent.mkdir(exist_ok=True)
        dataset.save_as(path, enforce_file_format=True)
        paths.append(path)
    return paths


def radiograph_pictures(count: int, size: int, seed: int = 0) -> npt.NDArray[np.uint8]:
    """The same pictures in 8 bits, uint8 [count, size, size]."""
    rng = np.random.default_rng(seed)
    return np.stack([(_pixels(rng, size) >> 4).astype(np.uint8) for _ in range(count)])


def _pixels(rng: np.random.Generator, size: int) -> npt.NDArray[np.uint16]:
    """Broad ellipses on a slope, with noise: 0..4095, values spread over the whole range."""
    y, x = np.mgrid[-1 : 1 : size * 1j, -1 : 1 : size * 1j].astype(np.float32)
    field = 0.45 + 0.1 * x
    for _ in range(6):
        cx, cy = rng.uniform(-0.6, 0.6, 2)
        rx, ry = rng.uniform(0.15, 0.6, 2)
        field += rng.uniform(-0.3, 0.3) * np.exp(-(((x - cx) / rx) ** 2) - ((y - cy) / ry) ** 2)
    field += 0.02 * rng.standard_normal((size, size), dtype=np.float32)
    pixels: npt.NDArray[np.uint16] = np.clip(np.rint(field * 4095), 0, 4095).astype(np.uint16)
    return pixels


def _header(number: int, seed: int) -> Dataset:
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    study = f"1.2.826.0.1.3680043.8.498.{seed + 1}.{number // 4}"
    dataset.file_meta.MediaStorageSOPClassUID = DigitalXRayImageStorageForPresentation
    dataset.file_meta.MediaStorageSOPInstanceUID = UID(f"{study}.1.{number % 4}")
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = study, f"{study}.1"
    dataset.PatientID, dataset.PatientName = f"BENCH{number // 8:05d}", f"Bench^Mark{number // 8}"
    values = {
        "SpecificCharacterSet": "ISO_IR 192",
        "ImageType": ["ORIGINAL", "PRIMARY"],
        "StudyDate": "20240131",
        "SeriesDate": "20240131",
        "AcquisitionDate": "20240131",
        "ContentDate": "20240131",
        "StudyTime": "101112.123",
        "SeriesTime": "101113",
        "AcquisitionTime": "101114",
        "ContentTime": "101115",
        "AccessionNumber": f"A{number:08d}",
        "Modality": "DX",
        "PresentationIntentType": "FOR PRESENTATION",
        "Manufacturer": "Bench Imaging",
        "InstitutionName": "Bench Hospital",
        "StationName": "DX01",
        "StudyDescription": "Chest PA and lateral",
        "SeriesDescription": "Chest PA",
        "ManufacturerModelName": "Flat One",
        "PatientBirthDate": "19610203",
        "PatientSex": "F",
        "PatientAge": "062Y",
        "BodyPartExamined": "CHEST",
        "KVP": "120",
        "DeviceSerialNumber": "4711",
        "SoftwareVersions": ["1.2.3", "4.5"],
        "DistanceSourceToDetector": "1800",
        "ExposureTime": "8",
        "XRayTubeCurrent": "320",
        "Exposure": "2",
        "ImagerPixelSpacing": ["0.143", "0.143"],
        "FocalSpots": "1.2",
        "ViewPosition": "PA",
        "DetectorType": "DIRECT",
        "StudyID": "1",
        "SeriesNumber": "1",
        "InstanceNumber": str(number % 4),
        "PatientOrientation": ["L", "F"],
        "ImageLaterality": "U",
        "ImagesInAcquisition": "1",
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "BitsAllocated": 16,
        "BitsStored": 12,
        "HighBit": 11,
        "PixelRepresentation": 0,
        "BurnedInAnnotation": "NO",
        "PixelIntensityRelationship": "LOG",
        "PixelIntensityRelationshipSign": -1,
        "WindowCenter": "2047.5",
        "WindowWidth": "3000",
        "RescaleIntercept": "0",
        "RescaleSlope": "1",
        "RescaleType": "US",
        "LossyImageCompression": "00",
        "PresentationLUTShape": "IDENTITY",
    }
    for keyword, value in values.items():
        setattr(dataset, keyword, value)
    for keyword, meaning in (("ViewCodeSequence", "postero-anterior"), ("AnatomicRegionSequence", "Chest")):
        code = Dataset()
        code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = "R-10214", "SRT", meaning
        setattr(dataset, keyword, Sequence([code]))
    block = dataset.private_block(0x0029, "BENCH IMAGING", create=True)
    for element in range(12):
        block.add_new(element, "LO", f"private value {element}")
    return dataset
