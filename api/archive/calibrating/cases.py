"""The labelled cases that calibrations are made from, with the margins that a prompt set or a probe gives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from medsiglip.api.archive.evaluating.fitting_cases import FittingCases, fits_of, members
from medsiglip.api.archive.label_targets import case_warnings, label_targets
from medsiglip.api.archive.queries import level_named
from medsiglip.api.archive.scores.classifiers import prompt_classifier
from medsiglip.numerics import Floats

if TYPE_CHECKING:
    from medsiglip.api.archive.opened import OpenedArchive
    from medsiglip.index.label_records import PatientGroups
    from medsiglip.index.records import CaseTable, Level, ProbeRecord
    from medsiglip.medgemma.fitting import Fits
    from medsiglip.probes.probe import Probe
    from medsiglip.zero_shot.classifier import ZeroShotClassifier
    from medsiglip.zero_shot.prompt_set import PromptSet

Strata = dict[str, tuple[str | None, ...]]


@dataclass(frozen=True, slots=True)
class Cases:
    """Labelled rows of an archive: margins and truth are [n] of one label or, of classes that exclude each
    other, [n, K] and the place of the right one, -1 where not known.

    `groups` name the patient of each row, those that share pictures as one, and `patients` are their keys.
    """

    label: str
    margins: Floats
    truth: Floats | NDArray[np.intp]
    groups: tuple[str, ...]
    patients: tuple[str, ...]
    strata: Strata
    warnings: tuple[str, ...] = ()

    @property
    def known(self) -> NDArray[np.bool_]:
        """The rows of which the label is known."""
        found: NDArray[np.bool_] = self.truth >= 0
        return found


@dataclass(slots=True)
class PromptCases:
    """The cases of the labels of a prompt set, at image or study level."""

    archive: OpenedArchive
    prompt_set: PromptSet
    level: Level
    where: Sequence[str]
    _cases: FittingCases = field(init=False)
    _classifier: ZeroShotClassifier | None = field(default=None, init=False)
    _sexes: dict[str, str | None] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        self._cases = FittingCases(self.archive, self.level, self.where)

    def stored_label(self, label: str) -> str | None:
        """The stored label that holds the truth of a label of the set: of the same name or, of a free label,
        of the same words. None where no case that fits carries it.
        """
        stored = self._cases.fitting(self._fits(label)).labels
        if label in stored or not self.prompt_set.is_free:
            return label if label in stored else None
        return next((one for one in stored if _words(one) == _words(label)), None)

    def of_label(self, label: str, stored: str) -> Cases:
        """The cases of one label, whose truth is that of a stored label."""
        fits = self._fits(label)
        table, groups = self._cases.fitting(fits), self._cases.groups(fits)
        targets = label_targets(table, stored)
        warnings = tuple(case_warnings(groups, {stored: targets}))
        column = self.prompt_set.labels.index(label)
        margins = self._scored(fits)[:, column]
        truth = targets.values
        if self.prompt_set.prompts[label].negated:  # what is calibrated is the finding itself
            margins, truth = -margins, 1.0 - truth
        strata = strata_of(self.archive, table, self._sexes)
        return Cases(label, margins, truth, groups.names, table.patient_keys, strata, warnings)

    def of_classes(self) -> Cases:
        """The cases of labels that exclude each other: those that carry exactly one of them."""
        labels = self.prompt_set.labels
        fits = self._fits(labels[0])
        table, groups = self._cases.fitting(fits), self._cases.groups(fits)
        right = right_classes(table, labels)
        strata = strata_of(self.archive, table, self._sexes)
        return Cases("*", self._scored(fits), right, groups.names, table.patient_keys, strata)

    def _fits(self, label: str) -> Fits:
        return fits_of(self.prompt_set.prompts[label])

    def _scored(self, fits: Fits) -> Floats:
        if self._classifier is None:
            self._classifier = prompt_classifier(self.archive, self.prompt_set)
        return self._cases.margins(fits, self._classifier)


def right_classes(table: CaseTable, labels: Sequence[str]) -> NDArray[np.intp]:
    """The place [n] of the one label that each row carries, -1 where it carries none of them or several."""
    nothing = np.zeros(len(table.ids))
    carried = np.stack([np.nan_to_num(table.labels.get(one, nothing)) > 0.5 for one in labels], axis=1)
    return np.where(carried.sum(axis=1) == 1, carried.argmax(axis=1), -1).astype(np.intp)


def of_probe(
    archive: OpenedArchive, probe: Probe, record: ProbeRecord, level: Level, where: Sequence[str]
) -> tuple[CaseTable, Floats, PatientGroups, NDArray[np.bool_]]:
    """The rows of a level with a probe's margins [n, L], their groups of patients, and whether the probe was
    trained on them, or on a patient who shares a picture with theirs.

    Studies have the greatest margin of their rows where the probe is of images or series, and the mean of
    classes that exclude each other.
    """
    trained_at = "image" if probe.pooling == "max" else level_named(record.summary["level"])
    table = archive.index.table(level, where)
    if level == trained_at:
        margins = probe.predict_logits(table.vectors)
    else:
        parts = archive.index.table(trained_at, where)
        logits = probe.predict_logits(parts.vectors)
        held = [
            logits[rows].mean(axis=0) if probe.exclusive else logits[rows].max(axis=0)
            for rows in members(table, parts)
        ]
        margins = np.stack(held) if held else np.empty((0, logits.shape[1]))
    groups = archive.index.instances.patient_groups(table)
    seen = archive.index.instances.seen_patients(table.patient_keys, [record])[record.name]
    return table, margins, groups, np.array([key in seen for key in table.patient_keys], bool)


def strata_of(archive: OpenedArchive, table: CaseTable, known: dict[str, str | None]) -> Strata:
    """Sex and modality of each row, by which cases are told apart; `known` sexes are not looked up again."""
    new = [uid for uid in dict.fromkeys(table.study_instance_uids) if uid not in known]
    if new:
        found: Mapping[str, Sequence[object]] = archive.index.filters.values("patient_sex=F", new)
        known.update({uid: str(values[0]) if len(values) == 1 else None for uid, values in found.items()})
    sexes = tuple(known.get(uid) for uid in table.study_instance_uids)
    return {"sex": sexes, "modality": table.modalities}


def _words(label: str) -> str:
    from medsiglip.tokenizer import canonicalise

    return canonicalise(label.replace("-", " "))
