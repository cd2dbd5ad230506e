"""Pictures of a slide's label, or of the whole glass with it: they belong to the slide but are no level of
it, and may name the patient.
"""

from __future__ import annotations

from collections.abc import Mapping

from medsiglip.ingest.dicom.sop_classes import WHOLE_SLIDE_MICROSCOPY

Elements = Mapping[str, str | int]


def may_show_label(elements: Elements) -> bool:
    """Whether an image of a slide is of its label or its whole glass (PS3.3 C.8.12.4.1.1), or says that the
    label is in it (Specimen Label in Image); a VOLUME image, which is the slide itself, stays one.
    """
    if str(elements.get("SOPClassUID", "")) != WHOLE_SLIDE_MICROSCOPY:
        return False
    flavours = _flavours(elements)
    if "VOLUME" in flavours:
        return False
    return _says_label(elements) or "LABEL" in flavours or "OVERVIEW" in flavours


def shows_label(elements: Elements) -> bool:
    """Whether the header says outright that the label is to be seen."""
    return may_show_label(elements) and ("LABEL" in _flavours(elements) or _says_label(elements))


def _flavours(elements: Elements) -> list[str]:
    return str(elements.get("ImageType", "")).upper().split("\\")


def _says_label(elements: Elements) -> bool:
    return str(elements.get("SpecimenLabelInImage", "")).strip().upper() == "YES"
