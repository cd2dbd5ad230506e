"""Evidence of studies with scores, for the texts that are composed from them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from medsiglip.medgemma.records import Evidence, EvidenceImage, EvidenceSeries, Finding

PROBABILITY = {True: 0.95, None: 0.5, False: 0.02}


def scored(states: Mapping[str, bool | None], modality: str | None = "DX", **more: Any) -> Evidence:
    """A study of one image with a score for each label: high, low, or undecided (None)."""
    findings = [
        Finding(label, PROBABILITY[state], state, "probe:known", 1) for label, state in states.items()
    ]
    findings.sort(key=lambda one: -one.probability)
    study = Evidence(
        "2.25.1",
        "space",
        modality,
        None,
        "generic",
        tuple(findings),
        (EvidenceImage(1, "2.25.11", "2.25.21", 0, modality),),
        region="chest",
        series=(EvidenceSeries("2.25.21", 1, 1, modality),),
    )
    return replace(study, **more)


def section(text: str, heading: str) -> str:
    """What stands under a heading."""
    return text.split(f"{heading}:\n", 1)[1].split("\n\n", 1)[0]
