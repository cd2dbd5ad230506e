"""Whether the pixels themselves may say who the patient is, and what follows for showing them."""

from __future__ import annotations

from collections.abc import Mapping

from medsiglip.ingest.dicom.sop_classes import is_secondary_capture
from medsiglip.ingest.header.slide_label import may_show_label, shows_label

YES, LIKELY, NO = "yes", "likely", "no"
# Kinds of image that carry names as a rule, or show a face: ultrasound, photographs, endoscopy, other,
# documents and screens that were captured, and printouts of densitometers and visual fields.
MODALITIES = frozenset({"US", "XC", "ES", "OT", "SC", "DMS", "DOC", "IVUS", "BDUS", "BMD", "OPV"})
_CAPTURED = ("SCREEN SAVE", "SCREENSAVE", "SCREENSHOT", "SCREEN_SAVE")

Elements = Mapping[str, str | int]


def burned_in(elements: Elements) -> str:
    """`yes`, `likely` or `no`: by Burned In Annotation and Recognizable Visual Features (PS3.3 C.7.6.1), else
    by what such an image is as a rule. The label of a slide names the patient, whatever the header says.
    """
    said = _code(elements, "BurnedInAnnotation")
    if said == "YES" or shows_label(elements):
        return YES
    # Scanners say of every picture of a slide that nothing is burned in.
    if _code(elements, "RecognizableVisualFeatures") == "YES" or may_show_label(elements):
        return LIKELY
    if said == "NO":
        return NO
    captured = is_secondary_capture(_code(elements, "SOPClassUID")) or "ConversionType" in elements
    captured = captured or any(word in _code(elements, "ImageType") for word in _CAPTURED)
    return LIKELY if captured or (_code(elements, "Modality") or "OT") in MODALITIES else NO


def may_preview(quality: Mapping[str, object]) -> bool:
    """Whether an image may be shown to people who are not the source's own: only where nothing says that its
    pixels name or show somebody. An image of which nothing is known is withheld.
    """
    return quality.get("burned_in") == NO


def _code(elements: Elements, keyword: str) -> str:
    return str(elements.get(keyword, "")).strip(" \0").upper()
