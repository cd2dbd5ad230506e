"""Small whole files of every kind that an ingest takes in, for `mutations` to damage; the same every time."""

from __future__ import annotations

import struct
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL.ImageCms import ImageCmsProfile, createProfile
from pydicom import Dataset
from pydicom.uid import (
    BasicTextSRStorage,
    EnhancedCTImageStorage,
    EnhancedMRImageStorage,
    PositronEmissionTomographyImageStorage,
)

from tests.ingest.mutations import SeedFile
from tests.ingest.seed_codecs import of_colour, of_every_syntax, of_many_frames
from tests.ingest.seed_containers import archives, pictures, volumes
from tests.ingest.seed_dicom import COLOUR, GREY, IMPLICIT, MakeDicom, file_of
from tests.ingest.slides.slide_cases import slide, sparse, tissue

_MOST_OF_A_REAL_FILE = 300_000
UIDS: dict[str, Any] = {
    "SOPInstanceUID": "2.25.30000000000000001",
    "StudyInstanceUID": "2.25.30000000000000002",
    "SeriesInstanceUID": "2.25.30000000000000003",
}


def seed_files(make_dicom: MakeDicom, real: Path | None = None) -> list[SeedFile]:
    """Every seed file; `real` is a folder of DICOM files, the small ones of which are taken in too."""

    def make(pixels: np.ndarray | None = None, **attributes: Any) -> Dataset:
        return make_dicom(pixels, **{**UIDS, **attributes})

    found = [
        *of_every_syntax(make),
        *of_many_frames(make),
        *of_colour(make),
        *_of_rendering(make),
        *_of_series(make),
        *_without_pictures(make),
        *_slides(),
        *_phantoms(),
        *pictures(GREY, COLOUR),
        *volumes(GREY, COLOUR),
    ]
    found += archives([seed for seed in found if seed.is_dicom and seed.pack is None][:12])
    if real is not None:
        paths = sorted(p for p in real.rglob("*") if p.is_file() and p.stat().st_size <= _MOST_OF_A_REAL_FILE)
        found += [SeedFile(f"real-{i}{path.suffix}", path.read_bytes()) for i, path in enumerate(paths)]
    return found


def _of_rendering(make: MakeDicom) -> Iterator[SeedFile]:
    yield SeedFile("window.dcm", file_of(make(GREY, WindowCenter=[2000, 40], WindowWidth=[4000, 400])))
    table = Dataset()
    table.LUTDescriptor, table.LUTData = [4096, 0, 16], np.arange(0, 65536, 16).astype("<u2").tobytes()
    yield SeedFile("voi-lut.dcm", file_of(make(GREY, VOILUTSequence=[table], BitsStored=12)))
    modality = Dataset()
    modality.LUTDescriptor, modality.LUTData = [4096, 0, 16], np.arange(4096).astype("<u2").tobytes()
    modality.ModalityLUTType = "US"
    attributes = {"ModalityLUTSequence": [modality], "PresentationLUTShape": "INVERSE", "BitsStored": 12}
    yield SeedFile("modality-lut.dcm", file_of(make(GREY, **attributes)))
    signed = GREY.astype(np.int16) - 2000
    padding = {"PixelPaddingValue": -2000, "PixelPaddingRangeLimit": -1900, "VOILUTFunction": "SIGMOID"}
    yield SeedFile("signed", file_of(make(signed, PhotometricInterpretation="MONOCHROME1", **padding)))
    real = make(GREY, BitsAllocated=32)
    del real.PixelData
    real.FloatPixelData = GREY.astype("<f4").tobytes()
    yield SeedFile("float.dcm", file_of(real))
    overlay = make(GREY, BitsStored=12)
    overlay.add_new(0x60000010, "US", 33)
    overlay.add_new(0x60000011, "US", 47)
    overlay.add_new(0x60003000, "OW", bytes(196))
    yield SeedFile("overlay.dcm", file_of(overlay)[132:])
    profile = ImageCmsProfile(createProfile("sRGB")).tobytes()
    dateless = (
        profile[:24] + bytes(12) + profile[36:]
    )  # ICC.1 7.2: the header holds the moment of its creation
    yield SeedFile("profile.dcm", file_of(make(COLOUR, ICCProfile=dateless)))


def _of_series(make: MakeDicom) -> Iterator[SeedFile]:
    plane = {"ImagePositionPatient": [0, 0, 5], "ImageOrientationPatient": [1, 0, 0, 0, 1, 0]}
    for modality in ("CT", "MR"):
        given = {**plane, "RescaleSlope": 1, "RescaleIntercept": -1024, "Modality": modality}
        yield SeedFile(f"{modality}.dcm", file_of(make(GREY.astype(np.int16), **given)))
    pet = {"SOPClassUID": PositronEmissionTomographyImageStorage, "Units": "BQML", "RescaleSlope": "0.37"}
    yield SeedFile("PT.dcm", file_of(make(GREY, Modality="PT", PatientWeight="70", **pet, **plane)))
    for modality, sop_class in (("CT", EnhancedCTImageStorage), ("MR", EnhancedMRImageStorage)):
        yield SeedFile(f"enhanced-{modality}.dcm", file_of(_enhanced(make, modality, sop_class)))
    mosaic = make(
        np.tile(GREY[:32, :32], (3, 3)), Modality="MR", ImageType=["ORIGINAL", "PRIMARY", "M", "MOSAIC"]
    )
    item = struct.pack("<4I", 77, 4, 77, 77) + b"9\0\0\0"
    tag = struct.pack("<64sI4sIII", b"NumberOfImagesInMosaic", 1, b"IS", 6, 1, 77)
    csa = mosaic.private_block(0x0029, "SIEMENS CSA HEADER", create=True)
    csa.add_new(0x10, "OB", b"SV10\4\3\2\1" + struct.pack("<II", 1, 77) + tag + item)
    mosaic.private_block(0x0019, "SIEMENS MR HEADER", create=True).add_new(0x0A, "US", 9)
    mosaic.AcquisitionMatrix = [32, 0, 0, 32]
    yield SeedFile("mosaic.dcm", file_of(mosaic))


def _enhanced(make: MakeDicom, modality: str, sop_class: str) -> Dataset:
    def group(**attributes: Any) -> list[Dataset]:
        item = Dataset()
        for keyword, value in attributes.items():
            setattr(item, keyword, value)
        return [item]

    (shared,) = group(
        PlaneOrientationSequence=group(ImageOrientationPatient=[1, 0, 0, 0, 1, 0]),
        PixelMeasuresSequence=group(PixelSpacing=[1, 1], SliceThickness=2),
        PixelValueTransformationSequence=group(RescaleSlope=1, RescaleIntercept=-1024, RescaleType="HU"),
        FrameVOILUTSequence=group(WindowCenter=40, WindowWidth=400),
    )
    frames = [
        group(
            PlanePositionSequence=group(ImagePositionPatient=[0, 0, 2 * i]),
            FrameContentSequence=group(
                StackID="1", InStackPositionNumber=i + 1, DimensionIndexValues=[1, i + 1]
            ),
        )[0]
        for i in range(5)
    ]
    return make(
        np.stack([GREY] * 5),
        Modality=modality,
        SOPClassUID=sop_class,
        NumberOfFrames=5,
        SharedFunctionalGroupsSequence=[shared],
        PerFrameFunctionalGroupsSequence=frames,
    )


def _without_pictures(make: MakeDicom) -> Iterator[SeedFile]:
    yield SeedFile("report.dcm", file_of(make(SOPClassUID=BasicTextSRStorage, Modality="SR")))
    yield SeedFile("none.dcm", file_of(make()))
    directory = make(SOPClassUID="1.2.840.10008.1.3.10", Modality=None)
    records = []
    for kind in ("PATIENT", "STUDY", "SERIES", "IMAGE"):
        record = Dataset()
        record.OffsetOfTheNextDirectoryRecord = record.OffsetOfReferencedLowerLevelDirectoryEntity = 0
        record.RecordInUseFlag, record.DirectoryRecordType = 0xFFFF, kind
        record.ReferencedFileID = ["IMAGES", "I1"] if kind == "IMAGE" else None
        records.append(record)
    directory.DirectoryRecordSequence = records
    yield SeedFile("DICOMDIR", file_of(directory))


def _slides() -> Iterator[SeedFile]:
    full = slide(tissue(50, 80), tile=32, **UIDS)
    yield SeedFile("slide.dcm", file_of(full))
    places = [(0, 0), (0, 32), (0, 64), (32, 0), (32, 32), (32, 64)]
    yield SeedFile("slide-sparse.dcm", file_of(sparse(slide(tissue(50, 80), tile=32, **UIDS), places)))
    for syntax in (IMPLICIT + ".4.90", IMPLICIT + ".5"):
        packed = slide(tissue(50, 80), tile=32, **UIDS)
        packed.compress(syntax, generate_instance_uid=False)
        yield SeedFile(f"slide{syntax[-3:]}.dcm", file_of(packed))


def _phantoms() -> Iterator[SeedFile]:
    """One file of every kind that the project renders, every fourth pixel of it."""
    from medsiglip.phantoms.catalogue import ANATOMIES, make_studies
    from medsiglip.phantoms.dicom import write_study

    for name in ANATOMIES:
        (study,) = make_studies(1, 5, [name])
        series = study.series[0]
        step = max(series.pixels.shape[1] // 96, 1)
        small = replace(series, pixels=series.pixels[:1, ::step, ::step])
        with tempfile.TemporaryDirectory() as folder:
            (path,) = write_study(replace(study, series=(small,)), Path(folder))
            yield SeedFile(f"phantom-{name}.dcm", path.read_bytes())
