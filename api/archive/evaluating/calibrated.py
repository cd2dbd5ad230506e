"""Zero-shot scores with their calibrations, on patients whose cases these were not made from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from medsiglip.numerics import Floats

if TYPE_CHECKING:
    from medsiglip.answers.figures import LabelFigures
    from medsiglip.api.archive.opened import OpenedArchive
    from medsiglip.calibration.applied import Calibrations
    from medsiglip.zero_shot.prompt_set import PromptSet


@dataclass(frozen=True, slots=True)
class CalibratedScores:
    """The calibrations of a prompt set at one level, and the patients whose cases they were made from."""

    labels: tuple[str, ...]
    calibrations: Calibrations
    patients: frozenset[str]

    @staticmethod
    def of(archive: OpenedArchive, prompt_set: PromptSet, level: str) -> CalibratedScores:
        """Those that are kept for the space of the archive."""
        from medsiglip.api.archive.scores.calibrated import stored_calibrations
        from medsiglip.calibration.applied import Calibrations, subject_of_prompts

        subject = subject_of_prompts(prompt_set)
        stored, _ = stored_calibrations(archive, subject, level)
        patients = frozenset[str]()
        if stored:
            patients = archive.index.calibrations.patients(archive.space.name, subject, level)
        return CalibratedScores(prompt_set.labels, Calibrations.of_prompts(prompt_set, stored), patients)

    def has(self, label: str) -> bool:
        """Whether a label is calibrated."""
        own = self.calibrations.own
        return self.calibrations.classes is not None or (
            bool(own) and own[self.labels.index(label)] is not None
        )

    def probability(self, label: str, margins: Floats) -> Floats | None:
        """Probabilities [n] of a label by margins [n, L] of all, None where it has no calibration."""
        column = self.labels.index(label)
        if self.calibrations.classes is not None:
            return self.calibrations.classes.probability(margins)[:, column]
        own = self.calibrations.own[column] if self.calibrations.own else None
        return None if own is None else own[0].calibration.probability(margins[:, column])

    def unseen(self, groups: Sequence[str], patients: Sequence[str]) -> Floats:
        """1 for each row [n] of another patient than the calibrations', who shares no picture with one of
        them, else NaN.
        """
        seen = {group for group, key in zip(groups, patients, strict=True) if key in self.patients}
        return np.array([np.nan if group in seen else 1.0 for group in groups])


def with_calibration_error(
    figures: LabelFigures, targets: Floats, probability: Floats, groups: Sequence[str]
) -> LabelFigures:
    """A label's line with the expected calibration error of probabilities [n]."""
    from medsiglip.figures.calibration_error import calibration_error

    found = calibration_error(targets, probability, groups)
    fields: dict[str, Any] = {"calibrated": True, "calibration_error": found.value}
    fields["calibration_error_ci"] = found.interval
    return type(figures)(**{**figures.model_dump(exclude_unset=True), **fields})
