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

from medsiglip.calibration.assessment import Judgement, LabelCalibration
from medsiglip.calibration.class_calibration import ClassCalibration
from medsiglip.calibration.conformal import Decision, Side, decision
from medsiglip.errors import ModelError
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


@dataclass(frozen=True, slots=True)
class Calibrations:
    """The calibrations of one prompt set or probe, read once: of each of `labels` its own, and whether it is
    the other side that the label names, or None; or one of `classes` that exclude each other.
    """

    labels: tuple[str, ...]
    own: tuple[tuple[LabelCalibration, bool] | None, ...] = ()
    classes: ClassCalibration | None = None
    outdated: tuple[str, ...] = ()

    @staticmethod
    def of_prompts(prompt_set: PromptSet, stored: Stored) -> Calibrations:
        """Those that were made for the texts of a prompt set."""
        asked = fingerprints(prompt_set)
        if prompt_set.exclusive:
            return Calibrations.of_classes(prompt_set.labels, stored, asked[CLASSES])
        by_texts = {str(one["fingerprint"]): one for label, one in stored.items() if label != CLASSES}
        own, outdated = [], []
        for label, one in prompt_set.prompts.items():
            found = by_texts.get(asked[label])
            if found is None and label in stored:
                outdated.append(label)
            own.append(None if found is None else (_read(found), one.negated))
        return Calibrations(prompt_set.labels, tuple(own), outdated=tuple(outdated))

    @staticmethod
    def of_labels(labels: tuple[str, ...], stored: Stored, fingerprint: str) -> Calibrations:
        """Those of a probe of this fingerprint, whose labels are scored each on its own."""
        made = {label: one for label, one in stored.items() if one["fingerprint"] == fingerprint}
        own = tuple((_read(made[label]), False) if label in made else None for label in labels)
        outdated = tuple(label for label in labels if label in stored and label not in made)
        return Calibrations(labels, own, outdated=outdated)

    @staticmethod
    def of_classes(labels: tuple[str, ...], stored: Stored, fingerprint: str) -> Calibrations:
        """That of labels that exclude each other, for texts or a probe of this fingerprint."""
        if CLASSES not in stored:
            return Calibrations(labels)
        if stored[CLASSES]["fingerprint"] != fingerprint:
            return Calibrations(labels, outdated=labels)
        classes = ClassCalibration.from_json(stored[CLASSES]["calibration"])
        if classes.labels != labels:
            raise ModelError(
                "calibration-unreadable",
                "A stored calibration is of other classes than it says: remove it, and calibrate again.",
            )
        return Calibrations(labels, classes=classes)

    def judge(self, margins: Floats) -> Calibrated:
        """What they make of the margins [L] of one study or image."""
        if self.classes is not None:
            return self._judged_classes(self.classes, margins)
        found = {
            label: _judged(*one, float(margins[column]))
            for column, (label, one) in enumerate(zip(self.labels, self.own, strict=False))
            if one is not None
        }
        possible = tuple(label for label, one in found.items() if one.sides and "present" in one.sides)
        return Calibrated(
            {label: one.probability for label, one in found.items()},
            {label: one.verdict for label, one in found.items() if one.verdict is not None},
            possible if any(one.sides is not None for one in found.values()) else None,
            self.outdated,
        )

    def _judged_classes(self, classes: ClassCalibration, logits: Floats) -> Calibrated:
        probability = classes.probability(np.asarray(logits)[None])[0]
        possible = classes.possible(logits)
        verdicts = {} if possible is None else dict(_verdicts(self.labels, possible))
        return Calibrated(
            dict(zip(self.labels, probability.tolist(), strict=True)), verdicts, possible, self.outdated
        )


def _read(stored: Mapping[str, Any]) -> LabelCalibration:
    return LabelCalibration.from_json(stored["calibration"])


def _judged(calibration: LabelCalibration, denied: bool, margin: float) -> Judgement:
    """The judgement of one label; of a label that says what is not there, the other side of the same."""
    one = calibration.judge(-margin if denied else margin)
    if not denied:
        return one
    turned: dict[Side, Side] = {"present": "absent", "absent": "present"}
    sides = None if one.sides is None else tuple(turned[side] for side in one.sides)
    return Judgement(1.0 - one.probability, sides, None if sides is None else decision(sides))


def _verdicts(labels: tuple[str, ...], possible: tuple[str, ...]) -> Iterator[tuple[str, Decision]]:
    for label in labels:
        if label not in possible:
            yield label, "absent"
        else:
            yield label, "present" if len(possible) == 1 else "undecided"
