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
# Defined terms of View Position (PS3.3 C.8.1.1 and C.8.7.1) and words of descriptions. The first match
# counts: an oblique lateral is oblique, and a lateral decubitus is taken from the front.
_VIEWS: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("oblique", re.compile(r"\b(?:RLO|LLO|RAO|LAO|RPO|LPO|MLO|LMO|OBL|OBLIQUE)\b")),
    ("frontal", re.compile(r"\b(?:RLD|LLD|DECUBITUS)\b")),
    (
        "lateral",
        re.compile(
            r"\b(?:LL|RL|LAT|LATERAL|LATERALE|SEITLICH|ML|LM)\b|\b(?:MEDIO|LATERO) ?(?:LATERAL|MEDIAL)"
        ),
    ),
    (
        "frontal",
        re.compile(r"\b(?:P ?A|A ?P|FRONTAL)\b|\b(?:POSTERO|ANTERO) ?(?:ANTERIOR|POSTERIOR)\b"),
    ),
    (
        "other",
        re.compile(r"\b(?:CC|XCC|XCCL|XCCM|AXIAL|TANGENTIAL|CRANIO ?CAUDAL|SWIMMERS?|SUNRISE|MERCHANT)\b"),
    ),
)


def view(elements: Elements, modality: str) -> str:
    """`frontal`, `lateral`, `oblique`, `other`, or `unknown`: by View Position, else by words of the series'
    description.
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
    words = re.sub(r"[\W_]+", " ", text.upper())
    return next((name for name, pattern in _VIEWS if pattern.search(words)), UNKNOWN)
