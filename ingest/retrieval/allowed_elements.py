"""Which elements of a file may leave: those that are needed to draw, to measure and to order its frames.

All others stay, private ones and those of later editions too. This keeps what no list of identifying elements
could name (PS3.15 annex E lists over 400). Texts, codes and dates are examined besides
(`medsiglip.ingest.retrieval.deidentified`).
"""

from __future__ import annotations

from functools import cache
from math import inf

from medsiglip.ingest.retrieval.data_element import NUMBERS

# Acquisition, relationship, ophthalmic, image pixel, slide, isotope, presentation LUT, RT image, functional
# groups.
_GROUPS = frozenset({0x0018, 0x0020, 0x0022, 0x0028, 0x0048, 0x0052, 0x0054, 0x2050, 0x3002, 0x5200})
_NUMERIC = frozenset({*NUMBERS, "DS", "IS", "AT"})
# Of other groups: frame rates, references between images, places of tiles, what stored values mean.
_OTHERS = """
    ImageType PresentationIntentType ConversionType FrameType VolumetricProperties
    VolumeBasedCalculationTechnique ComplexImageComponent AcquisitionContrast PixelPresentation
    RecommendedDisplayFrameRate StageNumber ViewNumber NumberOfStages NumberOfViewsInStage
    ReferencedImageSequence SourceImageSequence ReferencedSOPClassUID ReferencedSOPInstanceUID
    ReferencedFrameNumber AnatomicRegionSequence
    RealWorldValueMappingSequence RealWorldValueFirstValueMapped RealWorldValueLastValueMapped
    RealWorldValueIntercept RealWorldValueSlope RealWorldValueLUTData
    DoubleFloatRealWorldValueFirstValueMapped
    DoubleFloatRealWorldValueLastValueMapped MeasurementUnitsCodeSequence
    XOffsetInSlideCoordinateSystem YOffsetInSlideCoordinateSystem ZOffsetInSlideCoordinateSystem
    ImageCenterPointCoordinatesSequence
    CodeValue CodingSchemeDesignator CodeMeaning
    SeriesDate AcquisitionDate ContentDate SeriesTime AcquisitionTime ContentTime
"""
_TEXTS = """
    ConvolutionKernel ProtocolName SequenceName ContrastBolusAgent ReceiveCoilName TransmitCoilName FilterType
    RescaleType ModalityLUTType Radiopharmaceutical OpticalPathIdentifier StackID DimensionDescriptionLabel
    LUTLabel
"""
_UIDS = """
    FrameOfReferenceUID SynchronizationFrameOfReferenceUID DimensionOrganizationUID ConcatenationUID
    SOPInstanceUIDOfConcatenationSource PyramidUID ReferencedSOPClassUID ReferencedSOPInstanceUID
"""
_TABLES = """
    RedPaletteColorLookupTableData GreenPaletteColorLookupTableData BluePaletteColorLookupTableData
    AlphaPaletteColorLookupTableData SegmentedRedPaletteColorLookupTableData
    SegmentedGreenPaletteColorLookupTableData SegmentedBluePaletteColorLookupTableData LUTData
"""
_TIMES = "RadiopharmaceuticalStartTime"
# Of the groups above: numbers that count a person's studies, and sequences of texts and references alone.
_LEFT_OUT = """
    OtherStudyNumbers ReferencedImageBoxSequence IssuerOfPatientIDQualifiersSequence
    DataSetTrailingPadding PixelData FloatPixelData DoubleFloatPixelData SmallestImagePixelValue
    LargestImagePixelValue
"""
REGISTERED = frozenset({"ReferencedSOPClassUID"})
"""UIDs that name a kind of thing, the same everywhere."""
CODED = frozenset(_OTHERS.split()) & {"CodeValue", "CodingSchemeDesignator", "CodeMeaning"}
"""What a code sequence is made of (PS3.3 table 8.8-1); examined together."""

DEFINED = frozenset(
    ("TILED_FULL", "TILED_SPARSE", "MONOCHROME", "RECTILINEAR", "PORTRAIT", "LANDSCAPE", "RESAMPLED", "OSP")
)
"""Defined terms that decide how an image is shown, of words that descriptions do not hold."""


@cache
def allowed_vr(tag: int) -> str | None:
    """The VR by the dictionary (PS3.6) of an element that may leave, None for any other. Those that depend on
    the pixels are `US or SS` and the like.
    """
    from pydicom.datadict import dictionary_has_tag, dictionary_keyword, dictionary_VR

    if not dictionary_has_tag(tag) or not dictionary_keyword(tag):
        return None
    keyword, vr = dictionary_keyword(tag), str(dictionary_VR(tag))
    if keyword in _named(_LEFT_OUT):
        return None
    if keyword in _named(_TEXTS + _UIDS + _TABLES + _TIMES + _OTHERS):
        return vr
    if tag >> 16 not in _GROUPS:
        return None
    return vr if vr in _NUMERIC or vr in ("CS", "SQ") or vr.startswith("US or SS") else None


@cache
def most_values(tag: int) -> float:
    """How many values an element may have by the dictionary (PS3.6); infinite for `1-n` and the like."""
    from pydicom.datadict import dictionary_VM

    most = str(dictionary_VM(tag)).partition(" ")[0].rpartition("-")[2]
    return int(most) if most.isdecimal() else inf


@cache
def _named(keywords: str) -> frozenset[str]:
    return frozenset(keywords.split())
