"""Parts of the body with their codes, as SR and FHIR name the site of a finding."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from medsiglip.medgemma.records import Evidence, EvidenceImage
from medsiglip.regions.vocabulary import is_paired, region_names

# SNOMED CT codes of PS3.16, Annex L, and CID 4.
_SITES: Mapping[str, tuple[str, str]] = {
    "abdomen": ("818981001", "Abdomen"),
    "ankle": ("70258002", "Ankle joint"),
    "brain": ("12738006", "Brain"),
    "breast": ("76752008", "Breast"),
    "cervical-spine": ("122494005", "Cervical spine"),
    "chest": ("816094009", "Chest"),
    "elbow": ("16953009", "Elbow joint"),
    "eye": ("81745001", "Eye"),
    "face": ("89545001", "Face"),
    "foot": ("56459004", "Foot"),
    "forearm": ("14975008", "Forearm"),
    "hand": ("85562004", "Hand"),
    "head": ("69536005", "Head"),
    "hip": ("29836001", "Hip"),
    "knee": ("72696002", "Knee"),
    "lower-leg": ("30021000", "Lower leg"),
    "lumbar-spine": ("122496007", "Lumbar spine"),
    "neck": ("45048000", "Neck"),
    "pelvis": ("816092008", "Pelvis"),
    "shoulder": ("16982005", "Shoulder"),
    "skin": ("39937001", "Skin"),
    "thigh": ("68367000", "Thigh"),
    "thoracic-spine": ("122495006", "Thoracic spine"),
    "upper-arm": ("40983000", "Upper arm"),
    "whole-body": ("38266002", "Entire body"),
    "wrist": ("74670003", "Wrist joint"),
}


@dataclass(frozen=True, slots=True)
class Site:
    """A part of the body; `side` is `L`, `R` or `B` of a paired one where it is known."""

    code: str
    meaning: str
    side: str | None = None


def sites_of(evidence: Evidence, image: EvidenceImage | None) -> list[Site]:
    """The part of the body that the evidence agrees on, with the side of the image's series; none where there
    are several, for it is not known which of them shows a finding.
    """
    sides = [
        one.laterality
        for one in evidence.series
        if image and one.series_instance_uid == image.series_instance_uid
    ]
    side = sides[0] if sides and sides[0] in ("L", "R", "B") else None
    names = [name.strip().lower().replace(" ", "-") for name in (evidence.region or "").split(",")]
    found = [Site(*_SITES[name], side if _is_paired(name) else None) for name in names if name in _SITES]
    return found if len(names) == 1 else []


def _is_paired(name: str) -> bool:
    return name in region_names() and is_paired((name,))
