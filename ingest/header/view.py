"""The direction of a projection by its header: frontal, lateral, oblique or other."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from medsiglip.ingest.dicom.element_value import Elements

if TYPE_CHECKING:
    from pydicom import Dataset

UNKNOWN = "unknown"
# Modalities of projections; slices have an orientation instead.
PROJECTIONS = frozenset({"CR", "DX", "DR", "RG", "RF", "XA", "PX", "IO", "MG", "OT", "XR"})
# Defined terms of View Position (PS3.3 C.8.1.1 and C.8.7.1) and words of descriptions, in upper case.
_OBLIQUE = re.compile(r"\b(?:RLO|LLO|RAO|LAO|RPO|LPO|MLO|LMO|OBL|OBLI|OBLIQUE|OBLIQUES)\b")
_DECUBITUS = re.compile(r"\b(?:RLD|LLD|DECUBITUS)\b")
_LATERAL = re.compile(
    r"\b(?:LL|RL|LAT|LATERAL|LATERALE|SEITLICH|ML|LM)\b|\b(?:MEDIO|LATERO) ?(?:LATERAL|MEDIAL)"
)
_FRONTAL = re.compile(r"\b(?:P ?A|A ?P|FRONTAL)\b|\b(?:POSTERO|ANTERO) ?(?:ANTERIOR|POSTERIOR)\b")
_CRANIOCAUDAL = re.compile(r"\b(?:CC|XCC|XCCL|XCCM|CRANIO ?CAUDAL)\b")
_OTHER = re.compile(r"\b(?:AXIAL|TANGENTIAL|SWIMMERS?|SUNRISE|MERCHANT)\b")
# What stands between two views: signs, and "and" in the languages of the patterns.
_BETWEEN = re.compile(r"[,;+&|\\]|\b(?:AND|UND|ET|Y|E|EN|OG|OCH|ED)\b|/")
# A P.-A. view is one view, not two.
_POINTED = re.compile(r"\b(?:P ?[./-]+ ?A|A ?[./-]+ ?P)\b")


def view(elements: Elements, modality: str) -> str:
    """`frontal`, `lateral`, `oblique`, `other`, or `unknown`: by View Position, else by words of the series'
    description. Two views in one text are unknown.
    """
    if modality not in PROJECTIONS:
        return UNKNOWN
    found = _view_of(str(elements.get("ViewPosition", "")))
    return found if found != UNKNOWN else _view_of(str(elements.get("SeriesDescription", "")))


def coded_view(dataset: Dataset, quality: Mapping[str, object]) -> dict[str, float | str | bool]:
    """`view` by the meaning of the first View Code (0054,0220; PS3.16 CID 4010 and 4014), if the `quality` of
    the header has none.
    """
    if quality.get("view") != UNKNOWN or "ViewCodeSequence" not in dataset:
        return {}
    try:
        return {"view": _view_of(str(dataset["ViewCodeSequence"].value[0].get("CodeMeaning", "")))}
    except Exception:  # whatever pydicom raises for a malformed sequence
        return {}


def _view_of(text: str) -> str:
    """The view that a text names; unknown where it names none, or more than one."""
    upper = _POINTED.sub(lambda match: match[0][0] + match[0][-1], text.upper())
    parts = (re.sub(r"[\W_]+", " ", part) for part in _BETWEEN.split(upper))
    found = {name for part in parts for name in _views_of(part)}
    return found.pop() if len(found) == 1 else UNKNOWN


def _views_of(words: str) -> set[str]:
    """The views of words with nothing between that would tell them apart.

    An oblique lateral is oblique, a lateral decubitus is taken from the front, and an axial frontal view is
    frontal; but no picture is lateral and frontal, or oblique and craniocaudal.
    """
    if _DECUBITUS.search(words):
        return {"frontal"}
    found = {
        name for name, pattern in (("lateral", _LATERAL), ("frontal", _FRONTAL)) if pattern.search(words)
    }
    if _OBLIQUE.search(words):
        found = {"oblique"} if len(found) < 2 else found
    if _CRANIOCAUDAL.search(words):
        found.add("other")
    return found or ({"other"} if _OTHER.search(words) else set())
