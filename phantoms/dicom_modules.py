"""The attributes that each kind of DICOM image must or should have beyond those of every image (PS3.3)."""

from __future__ import annotations

from collections.abc import Callable

from pydicom import datadict, uid
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from medsiglip.phantoms.identity import derive_uid
from medsiglip.phantoms.study import PhantomSeries

__all__ = ["SOP_CLASSES", "add_modality_modules"]

SOP_CLASSES: dict[str, uid.UID] = {
    "CR": uid.ComputedRadiographyImageStorage,
    "DX": uid.DigitalXRayImageStorageForPresentation,
    "MG": uid.DigitalMammographyXRayImageStorageForPresentation,
    "CT": uid.CTImageStorage,
    "MR": uid.MRImageStorage,
    "OP": uid.OphthalmicPhotography8BitImageStorage,
    "XC": uid.VLPhotographicImageStorage,
    "US": uid.UltrasoundImageStorage,
    "GM": uid.VLMicroscopicImageStorage,
    "SM": uid.VLSlideCoordinatesMicroscopicImageStorage,
}
"""The SOP class that is written for each modality."""

_REGIONS = {
    "CHEST": ("51185008", "Chest"),
    "BREAST": ("76752008", "Breast"),
    "EYE": ("81745001", "Eye"),
    "SKIN": ("39937001", "Skin"),
    "ABDOMEN": ("818983003", "Abdomen"),
    "HEAD": ("69536005", "Head"),
    "BRAIN": ("12738006", "Brain"),
}
_OPHTHALMIC_UNKNOWN = (
    "IlluminationTypeCodeSequence",
    "LightPathFilterTypeStackCodeSequence",
    "ImagePathFilterTypeStackCodeSequence",
    "RefractiveStateSequence",
    "LensesCodeSequence",
    "EmmetropicMagnification",
    "IntraOcularPressure",
    "HorizontalFieldOfView",
    "PupilDilated",
    "PatientEyeMovementCommanded",
)
"""Type 2 attributes of ophthalmic photography (PS3.3, C.8.17.2), empty unless the series sets them."""

# PS3.16, CID 4010 and CID 4014.
_VIEWS = {
    "PA": ("272479007", "postero-anterior"),
    "AP": ("399348003", "antero-posterior"),
    "LL": ("399173006", "left lateral"),
    "RL": ("399198007", "right lateral"),
    "CC": ("399162004", "cranio-caudal"),
    "MLO": ("399368009", "medio-lateral oblique"),
}


def add_modality_modules(dataset: Dataset, series: PhantomSeries, index: int) -> None:
    """Add the modules of the modality to `dataset`; `series.extra` is set later and may overrule them."""
    _add_spacing(dataset, series)
    _MODULES[series.modality](dataset, series, index)


def _add_spacing(dataset: Dataset, series: PhantomSeries) -> None:
    if series.pixel_spacing is None:
        return
    spacing = list(series.pixel_spacing)
    if series.modality in {"DX", "CR", "MG"}:
        dataset.ImagerPixelSpacing = spacing
    dataset.PixelSpacing = spacing


def _code(value: str, scheme: str, meaning: str) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
    return item


def _region(dataset: Dataset, series: PhantomSeries) -> None:
    value, meaning = _REGIONS.get(series.body_part_examined, ("38266002", "Entire body"))
    dataset.AnatomicRegionSequence = Sequence([_code(value, "SCT", meaning)])


def _radiograph(dataset: Dataset, series: PhantomSeries) -> None:
    dataset.ImageType = ["ORIGINAL", "PRIMARY"]
    # Hung as if facing the viewer, whichever way the beam went.
    dataset.PatientOrientation = ["L", "F"]
    dataset.KVP = 120
    dataset.Exposure = 3


def _cr(dataset: Dataset, series: PhantomSeries, index: int) -> None:
    _radiograph(dataset, series)
    dataset.PlateType = "Phosphor"


def _dx(dataset: Dataset, series: PhantomSeries, index: int) -> None:
    _radiograph(dataset, series)
    _region(dataset, series)
    dataset.ImageType = ["ORIGINAL", "PRIMARY", ""]
    dataset.PresentationIntentType = "FOR PRESENTATION"
    dataset.ImageLaterality = series.laterality or "U"
    dataset.PixelIntensityRelationship = "LOG"
    dataset.PixelIntensityRelationshipSign = 1 if series.photometric_interpretation == "MONOCHROME1" else -1
    dataset.RescaleIntercept, dataset.RescaleSlope, dataset.RescaleType = "0", "1", "US"
    inverse = series.photometric_interpretation == "MONOCHROME1"
    dataset.PresentationLUTShape = "INVERSE" if inverse else "IDENTITY"
    dataset.DetectorType = "SCINTILLATOR"
    dataset.PositionerType = "COLUMN"
    dataset.AcquisitionContextSequence = Sequence([])
    view = _VIEWS.get(series.view_position or "")
    if view:
        code = _code(view[0], "SCT", view[1])
        code.ViewModifierCodeSequence = Sequence([])
        dataset.ViewCodeSequence = Sequence([code])


def _mg(dataset: Dataset, series: PhantomSeries, index: int) -> None:
    _dx(dataset, series, index)
    feet = "F" if series.view_position == "MLO" else ""
    dataset.PatientOrientation = ["A", f"{feet}R"] if series.laterality == "L" else ["P", f"{feet}L"]
    dataset.PositionerType = "MAMMOGRAPHIC"
    dataset.OrganExposed = "BREAST"
    dataset.BreastImplantPresent = "NO"
    dataset.DetectorType = "DIRECT"
    dataset.CompressionForce = "95"
    dataset.KVP = 29


def _plane(dataset: Dataset, series: PhantomSeries, index: int) -> None:
    """Add the image plane module (PS3.3, C.7.6.2)."""
    dataset.FrameOfReferenceUID = derive_uid(dataset.StudyInstanceUID, "frame of reference")
    dataset.PositionReferenceIndicator = ""
    dataset.PatientPosition = "HFS"
    dataset.ImageOrientationPatient = list(series.image_orientation or (1.0, 0.0, 0.0, 0.0, 1.0, 0.0))
    position = series.image_positions[index] if series.image_positions else (0.0, 0.0, 0.0)
    dataset.ImagePositionPatient = list(position)
    dataset.SliceLocation = position[2]
    dataset.SliceThickness = series.slice_thickness


def _ct(dataset: Dataset, series: PhantomSeries, index: int) -> None:
    _plane(dataset, series, index)
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    dataset.RescaleSlope, dataset.RescaleIntercept = series.rescale
    dataset.RescaleType = "HU"
    dataset.KVP = 120
    dataset.XRayTubeCurrent = 180
    dataset.ConvolutionKernel = "STANDARD"
    dataset.GantryDetectorTilt = 0


def _mr(dataset: Dataset, series: PhantomSeries, index: int) -> None:
    _plane(dataset, series, index)
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "OTHER"]
    dataset.ScanningSequence = "SE"
    dataset.SequenceVariant = "NONE"
    dataset.ScanOptions = ""
    dataset.MRAcquisitionType = "2D"
    dataset.EchoTime = 90
    dataset.RepetitionTime = 4000
    dataset.EchoTrainLength = 1


def _photograph(dataset: Dataset, series: PhantomSeries, index: int) -> None:
    dataset.ImageType = ["ORIGINAL", "PRIMARY"]
    dataset.AcquisitionContextSequence = Sequence([])
    dataset.PatientOrientation = ""
    dataset.ImageLaterality = series.laterality or "U"
    _region(dataset, series)


def _op(dataset: Dataset, series: PhantomSeries, index: int) -> None:
    _photograph(dataset, series, index)
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "", "COLOR"]
    dataset.ImageLaterality = series.laterality or "R"
    dataset.AcquisitionDateTime = str(dataset.AcquisitionDate) + str(dataset.AcquisitionTime)
    dataset.NumberOfFrames = 1
    dataset.FrameIncrementPointer = datadict.tag_for_keyword("FrameTime")
    dataset.FrameTime = "0"
    _synchronization(dataset)
    device = _code("409898007", "SCT", "Fundus Camera")
    dataset.AcquisitionDeviceTypeCodeSequence = Sequence([device])
    dataset.PatientOrientation = ["L", "F"]
    for unknown in _OPHTHALMIC_UNKNOWN:
        setattr(dataset, unknown, Sequence([]) if unknown.endswith("Sequence") else None)
    if series.extra.get("PupilDilated") == "YES":
        dataset.DegreeOfDilation = None
        dataset.MydriaticAgentSequence = Sequence([])
    dataset.DetectorType = "CCD"


def _synchronization(dataset: Dataset) -> None:
    """Add the synchronization module (PS3.3, C.7.4.2) of a device that shares no clock with another."""
    dataset.SynchronizationFrameOfReferenceUID = derive_uid(dataset.StudyInstanceUID, "clock")
    dataset.SynchronizationTrigger = "NO TRIGGER"
    dataset.AcquisitionTimeSynchronized = "N"


def _us(dataset: Dataset, series: PhantomSeries, index: int) -> None:
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "ABDOMINAL", "0001"]
    dataset.PatientOrientation = ""
    dataset.UltrasoundColorDataPresent = 0
    if series.laterality:
        dataset.Laterality = series.laterality


def _sm(dataset: Dataset, series: PhantomSeries, index: int) -> None:
    _photograph(dataset, series, index)
    dataset.FrameOfReferenceUID = derive_uid(dataset.StudyInstanceUID, "frame of reference")
    dataset.PositionReferenceIndicator = "SLIDE_CORNER"
    dataset.ContainerIdentifier = f"SLIDE{str(dataset.StudyInstanceUID)[-6:]}"
    dataset.IssuerOfTheContainerIdentifierSequence = Sequence([])
    dataset.ContainerTypeCodeSequence = Sequence([_code("433466003", "SCT", "Microscope slide")])
    specimen = Dataset()
    specimen.SpecimenIdentifier = f"{dataset.ContainerIdentifier}-1"
    specimen.SpecimenUID = derive_uid(dataset.StudyInstanceUID, "specimen")
    specimen.IssuerOfTheSpecimenIdentifierSequence = Sequence([])
    specimen.SpecimenPreparationSequence = Sequence([])
    dataset.SpecimenDescriptionSequence = Sequence([specimen])
    centre = Dataset()
    centre.XOffsetInSlideCoordinateSystem, centre.YOffsetInSlideCoordinateSystem = "20", "40"
    centre.ZOffsetInSlideCoordinateSystem = "0"
    dataset.ImageCenterPointCoordinatesSequence = Sequence([centre])


_MODULES: dict[str, Callable[[Dataset, PhantomSeries, int], None]] = {
    "CR": _cr,
    "DX": _dx,
    "MG": _mg,
    "CT": _ct,
    "MR": _mr,
    "OP": _op,
    "XC": _photograph,
    "US": _us,
    "GM": _photograph,
    "SM": _sm,
}
