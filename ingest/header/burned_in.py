"""Whether the pixels may identify the patient: burned-in annotation, and labels of slides."""

from __future__ import annotations

from collections.abc import Mapping

from medsiglip.ingest.dicom.element_value import Elements
from medsiglip.ingest.dicom.sop_classes import WHOLE_SLIDE_MICROSCOPY, is_secondary_capture

YES, LIKELY, NO = "yes", "likely", "no"
# Modalities whose images usually carry names or show a face: ultrasound, photographs, endoscopy, other,
# captured documents and screens, and printouts of densitometers and visual fields.
MODALITIES = frozenset({"US", "XC", "ES", "OT", "SC", "DMS", "DOC", "IVUS", "BDUS", "BMD", "OPV"})
_CAPTURED = ("SCREEN SAVE", "SCREENSAVE", "SCREENSHOT", "SCREEN_SAVE")


def burned_in(elements: Elements) -> str:
    """`yes`, `likely` or `no`: by Burned In Annotation and Recognizable Visual Features (PS3.3 C.7.6.1), else
    by the kind of image. The label of a slide names the patient, whatever the header says.
    """
    stated = _code(elements, "BurnedInAnnotation")
    if stated == "YES" or shows_label(elements):
        return YES
    # Scanners state for every image of a slide that nothing is burned in.
    if _code(elements, "RecognizableVisualFeatures") == "YES" or may_show_label(elements):
        return LIKELY
    if stated == "NO":
        return NO
    captured = is_secondary_capture(_code(elements, "SOPClassUID")) or "ConversionType" in elements
    captured = captured or any(word in _code(elements, "ImageType") for word in _CAPTURED)
    return LIKELY if captured or (_code(elements, "Modality") or "OT") in MODALITIES else NO


def may_preview(quality: Mapping[str, object]) -> bool:
    """Whether an image may be shown outside its source: only if nothing indicates that its pixels name or
    show a person. An image without this information is withheld.
    """
    return quality.get("burned_in") == NO


def may_show_label(elements: Elements) -> bool:
    """Whether an image shows the label or the whole glass of a slide (PS3.3 C.8.12.4.1.1), or states that the
    label is in it (Specimen Label in Image); never for a VOLUME image, which is the slide itself.
    """
    if str(elements.get("SOPClassUID", "")) != WHOLE_SLIDE_MICROSCOPY:
        return False
    flavours = _flavours(elements)
    if "VOLUME" in flavours:
        return False
    return _states_label(elements) or "LABEL" in flavours or "OVERVIEW" in flavours


def shows_label(elements: Elements) -> bool:
    """Whether the header states that the label is visible."""
    return may_show_label(elements) and ("LABEL" in _flavours(elements) or _states_label(elements))


def _flavours(elements: Elements) -> list[str]:
    return str(elements.get("ImageType", "")).upper().split("\\")


def _states_label(elements: Elements) -> bool:
    return _code(elements, "SpecimenLabelInImage") == "YES"


def _code(elements: Elements, keyword: str) -> str:
    return str(elements.get(keyword, "")).strip(" \0").upper()
