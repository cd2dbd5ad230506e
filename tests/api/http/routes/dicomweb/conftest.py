"""One service over files of several kinds: plain, compressed, of several frames, withheld, and with words
planted wherever they can hold text.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import numpy as np
import pydicom
import pytest
from pydicom import Dataset
from pydicom.uid import JPEGBaseline8Bit, RLELossless, generate_uid

from tests.api.conftest import run
from tests.api.live_service import LiveService, live_service
from tests.api.privacy.planted_files import Planted, plant

SERIES = "1.2.826.0.1.3680043.8.498.99.2"
STUDY = "1.2.826.0.1.3680043.8.498.99.1"


@dataclass(frozen=True)
class Served:
    """The service, the folder that it ingested, its made and planted files, and real ones by SOP Instance
    UID, none without test data.
    """

    service: LiveService
    folder: Path
    planted: Planted
    real: dict[str, Path]

    @property
    def url(self) -> str:
        return f"{self.service.url}/dicom-web"

    def http(self, scope: str = "read") -> httpx.Client:
        client = self.service.http(scope)
        client.base_url = self.url
        return client

    def of(self, dataset: Dataset) -> str:
        """The path of an instance."""
        return (
            f"/studies/{dataset.StudyInstanceUID}/series/{dataset.SeriesInstanceUID}"
            f"/instances/{dataset.SOPInstanceUID}"
        )


def made(number: int, frames: int = 1, **attributes: object) -> Dataset:
    """A CT slice, or several frames of one, of random values."""
    shape = (frames, 24, 32) if frames > 1 else (24, 32)
    pixels = np.random.default_rng(number).integers(0, 3000, shape, dtype=np.uint16)
    dataset = Dataset()
    dataset.file_meta = pydicom.dataset.FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    dataset.SOPClassUID, dataset.SOPInstanceUID = pydicom.uid.CTImageStorage, f"{SERIES}.{number}"
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = STUDY, SERIES
    dataset.PatientName, dataset.PatientID, dataset.PatientSex = "Secretname^Hidden", "SECRET-77", "F"
    dataset.PatientAge, dataset.StudyDate, dataset.StudyTime = "061Y", "20240305", "101500"
    dataset.AccessionNumber, dataset.StudyDescription = "ACC-SECRET-1", "CT Thorax"
    dataset.Modality, dataset.SeriesDescription, dataset.InstanceNumber = "CT", "Lung", number
    dataset.SeriesNumber, dataset.FrameOfReferenceUID = 4, f"{STUDY}.7"
    dataset.ImagePositionPatient, dataset.ImageOrientationPatient = [0, 0, 2.5 * number], [1, 0, 0, 0, 1, 0]
    dataset.PixelSpacing, dataset.SliceThickness = [0.7, 0.7], 2.5
    dataset.RescaleSlope, dataset.RescaleIntercept = 1, -1024
    dataset.WindowCenter, dataset.WindowWidth = [40, -600], [400, 1500]
    dataset.Rows, dataset.Columns = 24, 32
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 12, 11
    dataset.PixelRepresentation = 0
    if frames > 1:
        dataset.NumberOfFrames = frames
    dataset.PixelData = pixels.tobytes()
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    return dataset


def save(dataset: Dataset, path: Path) -> Path:
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.save_as(path, enforce_file_format=True)
    return path


def jpeg_with_comments() -> Dataset:
    """A colour photograph in a JPEG whose comment and EXIF name somebody, also behind its end."""
    import io

    from PIL import Image
    from pydicom.encaps import encapsulate

    picture = Image.fromarray(np.random.default_rng(5).integers(0, 255, (24, 32, 3), dtype=np.uint8))
    exif = Image.Exif()
    exif[0x013B] = "Secretname in exif"
    written = io.BytesIO()
    picture.save(written, "jpeg", exif=exif, comment=b"Secretname in comment")
    dataset = made(40, Modality="XC", BurnedInAnnotation="NO", RecognizableVisualFeatures="NO")
    dataset.SOPClassUID = pydicom.uid.VLPhotographicImageStorage
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = f"{STUDY}.40", f"{SERIES}.400"
    dataset.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 3, "YBR_FULL_422"
    dataset.PlanarConfiguration = 0
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 8, 8, 7
    dataset.PixelData = encapsulate([written.getvalue() + b"Secretname behind the end"])
    return dataset


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Served]:
    base = tmp_path_factory.mktemp("dicomweb")
    folder = base / "files"
    folder.mkdir()
    for number in range(1, 4):
        save(made(number), folder / f"{number}.dcm")
    multi = made(20, frames=5, SeriesInstanceUID=f"{SERIES}.200", SeriesDescription="Thorax axial")
    multi.compress(RLELossless, generate_instance_uid=False)
    save(multi, folder / "20.dcm")
    ultrasound = made(30, Modality="US", SOPClassUID=pydicom.uid.UltrasoundImageStorage)
    ultrasound.SeriesInstanceUID = f"{SERIES}.300"
    save(ultrasound, folder / "30.dcm")
    save(jpeg_with_comments(), folder / "40.dcm")
    (base / "planted").mkdir()
    planted = plant(base / "planted")
    real = _real(base / "real")
    ingested = run("--home", base / "home", "--json", "ingest", folder, planted.folder, base / "real")
    assert ingested.code == 0, ingested.err
    with live_service(base / "home", base / "service", {}) as service:
        yield Served(service, folder, planted, real)


def _real(folder: Path) -> dict[str, Path]:
    """Some real files: of each compressed transfer syntax one CT, and MR in JPEG 2000."""
    import os

    folder.mkdir()
    found = {}
    named = os.environ.get("MEDSIGLIP_TEST_DATA")
    for path in sorted((Path(named) / "dicom" / "wg04").rglob("*")) if named else []:
        if path.name.startswith(("CT1_", "MR1_J")):
            copied = Path(shutil.copy(path, folder / f"{path.name}.dcm"))
            found[str(pydicom.dcmread(path, stop_before_pixels=True).SOPInstanceUID)] = copied
    return found


@pytest.fixture
def uid() -> str:
    return str(generate_uid())
