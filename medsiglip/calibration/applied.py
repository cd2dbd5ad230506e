"""Stored calibrations of a prompt set or probe, and what they make of the margins of one study or image.

A stored calibration belongs to what gave the margins: it keeps a fingerprint of the label's texts, or of the
probe, and is not applied to margins of another.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from medsiglip.calibration.assessment import LabelCalibration
from medsiglip.calibration.class_calibration import ClassCalibration
from medsiglip.calibration.conformal import Decision
from medsiglip.numerics import Floats
from medsiglip.zero_shot.prompt_set import PromptSet

CLASSES = "*"
"""In place of a label: the one calibration of labels that exclude each other."""
FREE_LABELS = "labels"
"""The subject of free labels."""

Stored = Mapping[str, Mapping[str, Any]]
"""By label what was stored: `fingerprint`, and `calibration`, the JSON of a `LabelCalibration` or, of
`CLASSES`, of a `ClassCalibration`.
"""


@dataclass(frozen=True, slots=True)
class Calibrated:
    """What calibrations say of one study or image: the probability and the verdict of each label that has
    one, and `possible`, the labels that stay possible at the error bound, None where none is calibrated.

    `outdated` are labels whose calibration was made for other texts or another version of the probe.
    """

    probability: Mapping[str, float] = field(default_factory=dict)
    verdict: Mapping[str, Decision] = field(default_factory=dict)
    possible: tuple[str, ...] | None = None
    outdated: tuple[str, ...] = ()


def subject_of_prompts(prompt_set: PromptSet) -> str:
    """What calibrations of this prompt set, or of free labels, are stored under."""
    return FREE_LABELS if prompt_set.is_free else f"prompts:{prompt_set.name}"


def fingerprints(prompt_set: PromptSet) -> dict[str, str]:
    """SHA-256, in hex, of the texts that each label's margin depends on. A free label and its denial have the
    same, for they are two sides of one pair; of labels that exclude each other there is one for all.
    """
    if prompt_set.exclusive:
        return {CLASSES: prompt_set.fingerprint}
    found = {}
    for label, one in prompt_set.prompts.items():
        sides = (one.absent, one.present) if one.negated else (one.present, one.absent)
        content = json.dumps(sides, ensure_ascii=True).encode("ascii")
        found[label] = hashlib.sha256(content).hexdigest()
    return found


def calibrated_prompts(prompt_set: PromptSet, stored: Stored, margins: Floats) -> Calibrated:
    """What stored calibrations make of the margins [L] of a prompt set's labels."""
    asked = fingerprints(prompt_set)
    if prompt_set.exclusive:
        return _classes(prompt_set.labels, stored, asked[CLASSES], margins)
    by_texts = {str(one["fingerprint"]): label for label, one in stored.items() if label != CLASSES}
    found: dict[str, _Found] = {}
    outdated = []
    for column, (label, one) in enumerate(prompt_set.prompts.items()):
        name = by_texts.get(asked[label])
        if name is not None:
            found[label] = _judged(stored[name], float(margins[column]), denied=one.negated)
        elif label in stored:
            outdated.append(label)
    return _together(found, outdated)


def calibrated_labels(stored: Stored, fingerprint: str, margins: Mapping[str, float]) -> Calibrated:
    """What stored calibrations of a probe of this fingerprint make of its labels' margins."""
    found: dict[str, _Found] = {}
    outdated = []
    for label, margin in margins.items():
        if label in stored and stored[label]["fingerprint"] == fingerprint:
            found[label] = _judged(stored[label], margin)
        elif label in stored:
            outdated.append(label)
    return _together(found, outdated)


def calibrated_classes(
    stored: Stored, fingerprint: str, labels: tuple[str, ...], logits: Floats
) -> Calibrated:
    """What the stored calibration of classes of this fingerprint makes of their logits [K]."""
    return _classes(labels, stored, fingerprint, logits)


@dataclass(frozen=True, slots=True)
class _Found:
    probability: float
    sides: tuple[str, ...] | None
    verdict: Decision | None


def _judged(stored: Mapping[str, Any], margin: float, *, denied: bool = False) -> _Found:
    """The judgement of one label; of a label that says what is not there, the other side of the same."""
    calibration = LabelCalibration.from_json(stored["calibration"])
    one = calibration.judge(-margin if denied else margin)
    if not denied:
        return _Found(one.probability, one.sides, one.verdict)
    other: dict[Decision | None, Decision | None] = {"present": "absent", "absent": "present"}
    turned = {"present": "absent", "absent": "present"}
    sides = None if one.sides is None else tuple(turned[side] for side in one.sides)
    return _Found(1.0 - one.probability, sides, other.get(one.verdict, one.verdict))


def _together(found: Mapping[str, _Found], outdated: list[str]) -> Calibrated:
    possible = tuple(label for label, one in found.items() if one.sides and "present" in one.sides)
    return Calibrated(
        {label: one.probability for label, one in found.items()},
        {label: one.verdict for label, one in found.items() if one.verdict is not None},
        possible if any(one.sides is not None for one in found.values()) else None,
        tuple(outdated),
    )


def _classes(labels: tuple[str, ...], stored: Stored, fingerprint: str, logits: Floats) -> Calibrated:
    if CLASSES not in stored:
        return Calibrated()
    if stored[CLASSES]["fingerprint"] != fingerprint:
        return Calibrated(outdated=labels)
    calibration = ClassCalibration.from_json(stored[CLASSES]["calibration"])
    probability = calibration.probability(np.asarray(logits)[None])[0]
    possible = calibration.possible(logits)
    return Calibrated(
        dict(zip(labels, probability.tolist(), strict=True)),
        {} if possible is None else dict(_verdicts(labels, possible)),
        possible,
    )


def _verdicts(labels: tuple[str, ...], possible: tuple[str, ...]) -> Iterator[tuple[str, Decision]]:
    for label in labels:
        if label not in possible:
            yield label, "absent"
        else:
            yield label, "present" if len(possible) == 1 else "undecided"
