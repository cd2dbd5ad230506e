"""Made-up studies whose vectors point where a test says, and texts that point where their words say."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medsiglip.index.case_index import CaseIndex
from medsiglip.index.records import (
    ImageRecord,
    InstanceRecord,
    SeriesBundle,
    SeriesRecord,
    Space,
    StudyRecord,
)
from medsiglip.medgemma.findings import FindingScores
from medsiglip.zero_shot.classifier import ZeroShotClassifier
from medsiglip.zero_shot.prompt_set import PromptSet

SPACE = Space("cd" * 32, "medsiglip-eval", 32, "a real model")
SCALE = 60.0
# Each word of the first list has a direction of its own; any other word is far from all of them.
_WORDS = ("radiograph", "CT", "MRI", "chest", "head", "foot", "abdomen", "knee")


def direction(text: str) -> NDArray[np.float32]:
    """The mean direction of the known words of a text, or one that no picture has."""
    words = text.replace("X-ray", "radiograph").split()
    found = np.zeros(32, np.float32)
    for word in words:
        if word in _WORDS:
            found[_WORDS.index(word)] = 1.0
    if not found.any():
        found[8 + sum(map(ord, text)) % 24] = 1.0
    unit: NDArray[np.float32] = found / np.linalg.norm(found)
    return unit


def classifier(prompt_set: PromptSet) -> ZeroShotClassifier:
    def vectors(texts: Sequence[str]) -> NDArray[np.float32]:
        return np.stack([direction(text) for text in texts])

    return ZeroShotClassifier(prompt_set, vectors, SCALE, 0.0)


def scores(index: CaseIndex) -> FindingScores:
    return FindingScores(index, classifier)


def add(
    index: CaseIndex,
    number: int,
    looks_like: str,
    *,
    patient: str = "",
    slices: Sequence[int | None] = (None,),
    instance_numbers: Sequence[int | None] | None = None,
    study: dict[str, Any] | None = None,
    **series: Any,
) -> str:
    """Add a study of one series whose images look like a text; returns its UID."""
    if index.space is None:
        index.activate(SPACE)
    uid = f"2.25.{number}"
    named = [f"{uid}.1.{place}" for place in range(len(slices))]
    numbers = [None] * len(slices) if instance_numbers is None else instance_numbers
    bundle = SeriesBundle(
        StudyRecord(uid, patient or f"patient-{number}", **(study or {})),
        SeriesRecord(f"{uid}.1", **series),
        tuple(
            InstanceRecord(one, f"pixels-{one}", instance_number=given)
            for one, given in zip(named, numbers, strict=True)
        ),
        tuple(
            ImageRecord(one, f"pixels-{one}", 1, slice_index=place)
            for one, place in zip(named, slices, strict=True)
        ),
    )
    index.add([bundle], np.stack([direction(looks_like)] * len(slices)))
    return uid
