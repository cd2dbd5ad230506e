"""The attributes that each kind of DICOM image must or should have beyond those of every image (PS3.3)."""

from __future__ import annotations

from collections.abc import Callable

from pydicom import uid
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
    "MydriaticAgentSequence",
    "EmmetropicMagnification",
    "IntraOcularPressure",
    "HorizontalFieldOfView",
    "PupilDilated",
)
"""Type 2 attributes of ophthalmic photography (PS3.3, C.8.17.2), empty unless the series sets them."""

_MAMMOGRAPHIC_VIEWS = {"CC": ("399162004", "cranio-caudal"), "MLO": ("399368009", "medio-lateral oblique")}


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
    dataset.AcquisitionContextSequence = Sequence([])


def _mg(dataset: Dataset, series: PhantomSeries, index: int) -> None:
    _dx(dataset, series, index)
    view = series.view_position if series.view_position in _MAMMOGRAPHIC_VIEWS else "CC"
    value, meaning = _MAMMOGRAPHIC_VIEWS[str(view)]
    code = _code(value, "SCT", meaning)
    code.ViewModifierCodeSequence = Sequence([])
    dataset.ViewCodeSequence = Sequence([code])
    feet = "F" if view == "MLO" else ""
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
    if series.laterality:
        dataset.ImageLaterality = series.laterality
    _region(dataset, series)


def _op(dataset: Dataset, series: PhantomSeries, index: int) -> None:
    _photograph(dataset, series, index)
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "", "COLOR"]
    dataset.ImageLaterality = series.laterality or "R"
    dataset.AcquisitionDateTime = str(dataset.AcquisitionDate) + str(dataset.AcquisitionTime)
    dataset.PresentationIntentType = "FOR PRESENTATION"
    device = _code("409898007", "SCT", "Fundus Camera")
    dataset.AcquisitionDeviceTypeCodeSequence = Sequence([device])
    dataset.PatientOrientation = ["L", "F"]
    for unknown in _OPHTHALMIC_UNKNOWN:
        setattr(dataset, unknown, Sequence([]) if unknown.endswith("Sequence") else None)
    dataset.DetectorType = "CCD"


def _us(dataset: Dataset, series: PhantomSeries, index: int) -> None:
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "ABDOMINAL", "0001"]
    dataset.PatientOrientation = ""
    dataset.UltrasoundColorDataPresent = 0
    dataset.Laterality = series.laterality or ""


def _sm(dataset: Dataset, series: PhantomSeries, index: int) -> None:
    _photograph(dataset, series, index)
    dataset.PatientOrientation = ""
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
