"""Phantom studies as DICOM files (PS3.10) with the headers that a scanner would write."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from pydicom import uid
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset

from medsiglip.phantoms.dicom_modules import SOP_CLASSES, add_modality_modules
from medsiglip.phantoms.identity import birth_date, derive_uid
from medsiglip.phantoms.study import PhantomSeries, PhantomStudy

__all__ = ["write_study"]

_SOFTWARE = "medsiglip phantoms 1"


def write_study(study: PhantomStudy, folder: Path) -> list[Path]:
    """Write a study under `folder`/<patient>/<study date>/<series>/IM0001.dcm and return the files in order.

    The same study gives the same bytes: Explicit VR Little Endian, but about one series in eight is RLE
    Lossless and one in eight JPEG 2000 Lossless.
    """
    paths: list[Path] = []
    for number, series in enumerate(study.series, start=1):
        series_folder = folder / study.patient_id / study.study_date / f"SE{number:04d}"
        series_folder.mkdir(parents=True, exist_ok=True)
        for index in range(len(series.pixels)):
            path = series_folder / f"IM{index + 1:04d}.dcm"
            _instance(study, series, number, index).save_as(path, enforce_file_format=True)
            paths.append(path)
    return paths


def _instance(study: PhantomStudy, series: PhantomSeries, number: int, index: int) -> FileDataset:
    series_uid = derive_uid(study.study_instance_uid, number)
    sop_class = SOP_CLASSES[series.modality]
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = sop_class
    meta.MediaStorageSOPInstanceUID = uid.UID(derive_uid(series_uid, index))
    meta.TransferSyntaxUID = uid.ExplicitVRLittleEndian
    meta.ImplementationClassUID = uid.UID(derive_uid(_SOFTWARE))
    meta.ImplementationVersionName = "MEDSIGLIP_PH1"
    dataset = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    dataset.SOPClassUID = sop_class
    dataset.SOPInstanceUID = meta.MediaStorageSOPInstanceUID
    _add_patient_and_study(dataset, study)
    _add_series(dataset, study, series, number, series_uid)
    _add_image(dataset, study, series, index)
    add_modality_modules(dataset, series, index)
    for keyword, value in series.extra.items():
        setattr(dataset, keyword, value)
    _compress(dataset, series, series_uid)
    return dataset


def _add_patient_and_study(dataset: Dataset, study: PhantomStudy) -> None:
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.PatientName = study.patient_name
    dataset.PatientID = study.patient_id
    dataset.IssuerOfPatientID = "PHANTOM HOSPITAL"
    dataset.PatientBirthDate = birth_date(study.patient_id, study.patient_age, study.study_date)
    dataset.PatientSex = study.patient_sex
    dataset.PatientAge = f"{study.patient_age:03d}Y"
    dataset.StudyInstanceUID = study.study_instance_uid
    dataset.StudyDate = study.study_date
    dataset.StudyTime = _time(study, 0)
    dataset.StudyID = study.study_instance_uid[-8:]
    dataset.AccessionNumber = f"A{study.study_instance_uid[-10:]}"
    dataset.ReferringPhysicianName = ""
    dataset.StudyDescription = study.study_description


def _add_series(
    dataset: Dataset, study: PhantomStudy, series: PhantomSeries, number: int, series_uid: str
) -> None:
    dataset.Modality = series.modality
    dataset.SeriesInstanceUID = series_uid
    dataset.SeriesNumber = number
    dataset.SeriesDate = study.study_date
    dataset.SeriesTime = _time(study, number)
    dataset.SeriesDescription = series.series_description
    dataset.BodyPartExamined = series.body_part_examined
    dataset.Manufacturer = "Phantom Imaging"
    dataset.ManufacturerModelName = f"Drawing {series.anatomy}"
    dataset.InstitutionName = "Phantom Hospital"
    dataset.StationName = f"{series.modality}01"
    dataset.DeviceSerialNumber = "0001"
    dataset.SoftwareVersions = _SOFTWARE
    if series.view_position:
        dataset.ViewPosition = series.view_position


def _add_image(dataset: Dataset, study: PhantomStudy, series: PhantomSeries, index: int) -> None:
    """Add the general image and image pixel modules (PS3.3, C.7.6.1 and C.7.6.3)."""
    frame = series.pixels[index]
    colour = frame.ndim == 3
    bits = 8 if frame.dtype.itemsize == 1 else 16
    dataset.InstanceNumber = index + 1
    dataset.ContentDate = dataset.AcquisitionDate = study.study_date
    dataset.ContentTime = dataset.AcquisitionTime = _time(study, 100 + index)
    dataset.AcquisitionNumber = 1
    dataset.BurnedInAnnotation = "NO"
    dataset.LossyImageCompression = "00"
    dataset.SamplesPerPixel = 3 if colour else 1
    dataset.PhotometricInterpretation = series.photometric_interpretation
    if colour:
        dataset.PlanarConfiguration = 0
    dataset.Rows, dataset.Columns = frame.shape[:2]
    dataset.BitsAllocated = bits
    dataset.BitsStored = 8 if bits == 8 else series.bits_stored
    dataset.HighBit = dataset.BitsStored - 1
    dataset.PixelRepresentation = int(np.issubdtype(frame.dtype, np.signedinteger))
    if series.window:
        dataset.WindowCenter, dataset.WindowWidth = series.window
    data = np.ascontiguousarray(frame.astype(frame.dtype.newbyteorder("<"))).tobytes()
    dataset.add_new("PixelData", "OB" if bits == 8 else "OW", data + b"\0" * (len(data) % 2))


def _time(study: PhantomStudy, seconds: int) -> str:
    start = 8 * 3600 + int(study.study_instance_uid[-6:]) % 36_000 + seconds
    return f"{start // 3600:02d}{start // 60 % 60:02d}{start % 60:02d}"


def _compress(dataset: FileDataset, series: PhantomSeries, series_uid: str) -> None:
    share = int(series_uid[-4:]) % 8
    if share == 0:
        dataset.compress(uid.RLELossless, encoding_plugin="pylibjpeg", generate_instance_uid=False)
    elif share == 1 and series.pixels.ndim == 3:
        dataset.compress(uid.JPEG2000Lossless, generate_instance_uid=False)
