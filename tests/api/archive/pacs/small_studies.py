"""Studies of a few tiny pictures, made by pydicom alone, as many as a test wants."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian

_SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
_BASIC_TEXT_SR = "1.2.840.10008.5.1.4.1.1.88.11"
_ROOT = "1.2.826.0.1.3680043.8.498.77"


@dataclass(frozen=True)
class SmallStudy:
    """A study by its number; its instances are numbered from 1 on, each a picture of its own."""

    number: int
    instances: int = 1
    series: int = 1
    date: str = "20260301"
    patient: str = ""

    @property
    def uid(self) -> str:
        return f"{_ROOT}.{self.number}"

    def sops(self) -> list[str]:
        return [self.sop(one) for one in range(1, self.instances + 1)]

    def sop(self, instance: int) -> str:
        return f"{self.uid}.9.{instance}"

    def files(self, numbers: Sequence[int] | None = None) -> list[bytes]:
        """The files of its instances, or of some."""
        return [self.file(one) for one in numbers or range(1, self.instances + 1)]

    def file(self, instance: int, *, report: bool = False) -> bytes:
        """One instance; a `report` is an SR, which holds no picture."""
        series = (instance - 1) % self.series + 1 if not report else 99
        meta = FileMetaDataset()
        meta.MediaStorageSOPClassUID = UID(_BASIC_TEXT_SR if report else _SECONDARY_CAPTURE)
        meta.MediaStorageSOPInstanceUID = UID(self.sop(instance))
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        dataset = FileDataset("", {}, file_meta=meta, preamble=bytes(128))
        dataset.SOPClassUID = meta.MediaStorageSOPClassUID
        dataset.SOPInstanceUID = self.sop(instance)
        dataset.StudyInstanceUID = self.uid
        dataset.SeriesInstanceUID = f"{self.uid}.1.{series}"
        dataset.PatientID = self.patient or f"P{self.number}"
        dataset.PatientName = f"Small^Number{self.number}"
        dataset.StudyDate = self.date
        dataset.Modality = "SR" if report else "OT"
        dataset.InstanceNumber = instance
        if not report:
            _add_picture(dataset, self.number * 1000 + instance)
        written = io.BytesIO()
        dataset.save_as(written, enforce_file_format=True)
        return written.getvalue()


def _add_picture(dataset: FileDataset, seed: int) -> None:
    pixels = np.random.default_rng(seed).integers(0, 255, (16, 16), dtype=np.uint8)
    dataset.Rows, dataset.Columns = pixels.shape
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.BitsAllocated = dataset.BitsStored = 8
    dataset.HighBit, dataset.PixelRepresentation = 7, 0
    dataset.PixelData = pixels.tobytes()
