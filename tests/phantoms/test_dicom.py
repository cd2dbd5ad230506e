from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom import uid

from medsiglip.phantoms.catalogue import ANATOMIES, make_studies
from medsiglip.phantoms.dicom import write_study
from medsiglip.phantoms.study import PhantomStudy

Written = list[tuple[PhantomStudy, list[Path]]]

EVERY_IMAGE = """
SOPClassUID SOPInstanceUID StudyInstanceUID SeriesInstanceUID PatientID IssuerOfPatientID PatientName
PatientSex PatientAge PatientBirthDate StudyDate StudyTime StudyID AccessionNumber StudyDescription
Modality SeriesNumber SeriesDescription BodyPartExamined Manufacturer InstanceNumber ImageType
BurnedInAnnotation SamplesPerPixel LossyImageCompression PhotometricInterpretation Rows Columns
BitsAllocated BitsStored HighBit PixelRepresentation PixelData
"""
PROJECTION = (
    "PresentationIntentType ImageLaterality PixelIntensityRelationship PixelIntensityRelationshipSign "
    "RescaleIntercept RescaleSlope RescaleType PresentationLUTShape WindowCenter WindowWidth "
    "ImagerPixelSpacing AnatomicRegionSequence PatientOrientation ViewPosition DetectorType"
)
PLANE = (
    "FrameOfReferenceUID ImagePositionPatient ImageOrientationPatient PixelSpacing SliceThickness "
    "PatientPosition"
)
REQUIRED = {
    "DX": (uid.DigitalXRayImageStorageForPresentation, PROJECTION),
    "CR": (uid.ComputedRadiographyImageStorage, "ViewPosition PixelSpacing"),
    "MG": (
        uid.DigitalMammographyXRayImageStorageForPresentation,
        f"{PROJECTION} ViewCodeSequence PositionerType OrganExposed BreastImplantPresent",
    ),
    "CT": (uid.CTImageStorage, f"{PLANE} RescaleIntercept RescaleSlope RescaleType KVP"),
    "MR": (
        uid.MRImageStorage,
        f"{PLANE} ScanningSequence SequenceVariant EchoTime RepetitionTime MRAcquisitionType",
    ),
    "OP": (
        uid.OphthalmicPhotography8BitImageStorage,
        "ImageLaterality AnatomicRegionSequence AcquisitionDeviceTypeCodeSequence AcquisitionDateTime "
        "PupilDilated PlanarConfiguration DetectorType",
    ),
    "XC": (uid.VLPhotographicImageStorage, "AcquisitionContextSequence PlanarConfiguration"),
    "US": (uid.UltrasoundImageStorage, "UltrasoundColorDataPresent"),
    "SM": (
        uid.VLSlideCoordinatesMicroscopicImageStorage,
        "ContainerIdentifier SpecimenDescriptionSequence ImageCenterPointCoordinatesSequence",
    ),
}
"""Attributes of type 1 and 2 of the image modules (PS3.3, A.2 to A.41) beyond those of every image."""


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Written:
    """Two studies of each anatomy, and radiographs until both photometric interpretations have come."""
    folder = tmp_path_factory.mktemp("phantoms")
    studies = [study for name in ANATOMIES for study in make_studies(2, 11, [name])]
    studies += list(make_studies(12, 12, ["chest-xray"]))
    return [(study, write_study(study, folder)) for study in studies]


def test_pixels_read_back_unchanged(written: Written) -> None:
    syntaxes, photometric = set(), set()
    for study, paths in written:
        images = [image for series in study.series for image in series.pixels]
        assert len(images) == len(paths)
        for image, path in zip(images, paths, strict=True):
            dataset = pydicom.dcmread(path)
            assert np.array_equal(dataset.pixel_array, image), path
            syntaxes.add(dataset.file_meta.TransferSyntaxUID)
            photometric.add(dataset.PhotometricInterpretation)
    assert syntaxes == {uid.ExplicitVRLittleEndian, uid.RLELossless, uid.JPEG2000Lossless}
    assert photometric >= {"MONOCHROME1", "MONOCHROME2", "RGB"}


def test_every_modality_has_its_sop_class_and_required_attributes(written: Written) -> None:
    seen = set()
    for _, paths in written:
        dataset = pydicom.dcmread(paths[0])
        sop_class, required = REQUIRED[dataset.Modality]
        assert dataset.SOPClassUID == dataset.file_meta.MediaStorageSOPClassUID == sop_class
        assert dataset.SOPInstanceUID == dataset.file_meta.MediaStorageSOPInstanceUID
        missing = [keyword for keyword in [*EVERY_IMAGE.split(), *required.split()] if keyword not in dataset]
        assert not missing, (dataset.Modality, missing)
        seen.add(dataset.Modality)
    assert seen == set(REQUIRED)


def test_values_agree_with_their_dictionary_and_with_each_other(written: Written) -> None:
    for _, paths in written:
        dataset = pydicom.dcmread(paths[-1])
        assert dataset.HighBit == dataset.BitsStored - 1 < dataset.BitsAllocated
        assert dataset.BurnedInAnnotation == "NO"
        born, taken = dataset.PatientBirthDate, dataset.StudyDate
        years = int(taken[:4]) - int(born[:4]) - (taken[4:] < born[4:])
        assert dataset.PatientAge == f"{years:03d}Y"
        shape = {"MONOCHROME1": "INVERSE", "MONOCHROME2": "IDENTITY"}.get(dataset.PhotometricInterpretation)
        if "PresentationLUTShape" in dataset:
            assert dataset.PresentationLUTShape == shape
        for element in dataset.iterall():
            assert pydicom.datadict.dictionary_has_tag(element.tag), element
            if element.VR == "UI":
                assert all(uid.UID(value).is_valid for value in _values(element.value)), element


def _values(value: object) -> list[str]:
    return [value] if isinstance(value, str) else list(value)  # type: ignore[call-overload]


def test_slices_lie_where_the_series_says(written: Written) -> None:
    volumes = [(study, paths) for study, paths in written if study.series[0].image_positions]
    assert {study.series[0].modality for study, _ in volumes} == {"CT", "MR"}
    for study, paths in volumes:
        datasets = [pydicom.dcmread(path, stop_before_pixels=True) for path in paths]
        assert len({(d.SeriesInstanceUID, d.FrameOfReferenceUID) for d in datasets}) == 1
        assert len({d.SOPInstanceUID for d in datasets}) == len(datasets)
        positions = np.array([d.ImagePositionPatient for d in datasets], dtype=float)
        assert np.allclose(positions, study.series[0].image_positions)
        assert np.all(np.diff(positions[:, 2]) > 0)
        assert [d.InstanceNumber for d in datasets] == list(range(1, len(datasets) + 1))


def test_ct_is_in_hounsfield_units(written: Written) -> None:
    for study, paths in written:
        if study.series[0].modality == "CT":
            dataset = pydicom.dcmread(paths[len(paths) // 2])
            values = dataset.pixel_array * float(dataset.RescaleSlope) + float(dataset.RescaleIntercept)
            assert dataset.RescaleType == "HU"
            assert np.median(values[:6, :6]) == pytest.approx(-1000, abs=30)


def test_the_same_study_gives_the_same_bytes(tmp_path: Path) -> None:
    for study in make_studies(6, 21, ["chest-xray", "skin"]):
        first, again = write_study(study, tmp_path / "one"), write_study(study, tmp_path / "two")
        assert [path.read_bytes() for path in first] == [path.read_bytes() for path in again]


def test_folders_are_of_patient_date_and_series(tmp_path: Path) -> None:
    for study in make_studies(4, 22, ["chest-xray", "skin"]):
        [path] = write_study(study, tmp_path)
        dataset = pydicom.dcmread(path, stop_before_pixels=True)
        assert path.relative_to(tmp_path).parts == (
            dataset.PatientID,
            dataset.StudyDate,
            "SE0001",
            "IM0001.dcm",
        )
