"""Calibrating the scores of a prompt set, of free labels or of a probe on the archive's labelled cases."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from medsiglip.answers.calibrations import Calibration, RefusedLabel
from medsiglip.answers.calibrations import LabelCalibration as CalibratedLabel
from medsiglip.api.archive.calibrating.cases import (
    Cases,
    PromptCases,
    of_probe,
    right_classes,
    strata_of,
)
from medsiglip.api.archive.calibrating.figures import class_figures, label_figures
from medsiglip.api.archive.evaluating.label_figures import listed
from medsiglip.api.archive.label_targets import label_targets
from medsiglip.api.archive.opened import OnProgress, in_one_space, silent
from medsiglip.api.archive.probes.registry import active_space, loaded_probe, require_space, stored_probe
from medsiglip.api.archive.queries import level_named
from medsiglip.api.errors import ServiceError
from medsiglip.arguments import several
from medsiglip.errors import ModelError
from medsiglip.medgemma.calibrations import probe_fingerprint

if TYPE_CHECKING:
    from medsiglip.api.archive.opened import OpenedArchive
    from medsiglip.index.records import Level
    from medsiglip.zero_shot.prompt_set import PromptSet

_DEFAULT_ERROR = 0.1


@dataclass(slots=True)
class _Run:
    """What a run has calibrated, and what it could not."""

    archive: OpenedArchive
    subject: str
    level: Level
    method: str
    error: float
    stored: dict[str, tuple[str, Mapping[str, Any]]] = field(default_factory=dict)
    patients: set[str] = field(default_factory=set)
    refused: list[RefusedLabel] = field(default_factory=list)
    warnings: dict[str, None] = field(default_factory=dict)

    def add(self, cases: Cases, fingerprint: str) -> None:
        """Calibrate one label by its cases."""
        from medsiglip.calibration.assessment import calibrate_label

        made = calibrate_label(
            cases.margins,
            cases.truth,
            cases.groups,
            method=self.method,
            error=self.error,
            strata=cases.strata,
        )
        self._keep(cases, made.calibration.method, fingerprint, made.to_json(), label_figures(made))

    def add_classes(self, labels: Sequence[str], cases: Cases, fingerprint: str) -> None:
        """Calibrate labels that exclude each other by their cases."""
        from medsiglip.calibration.class_calibration import calibrate_classes

        right = np.asarray(cases.truth, np.intp)
        made = calibrate_classes(
            labels, cases.margins, right, cases.groups, method=self.method, error=self.error
        )
        self._keep(cases, made.method, fingerprint, made.to_json(), class_figures(made))

    def _keep(
        self, cases: Cases, method: str, fingerprint: str, parameters: dict[str, Any], figures: dict[str, Any]
    ) -> None:
        summary = {"fingerprint": fingerprint, "calibration": parameters, "figures": figures}
        self.stored[cases.label] = (method, summary)
        self.patients |= {cases.patients[row] for row in np.flatnonzero(cases.known)}
        self.warnings |= dict.fromkeys(cases.warnings)

    def each(self, labels: Sequence[str], one: Callable[[str], None], on_progress: OnProgress) -> None:
        """Calibrate labels one by one; raises what the first said if none could be."""
        first: ModelError | None = None
        for number, label in enumerate(labels):
            on_progress("calibrating", number, len(labels))
            try:
                one(label)
            except ModelError as error:
                first = first or error
                self.refused.append(RefusedLabel(label=label, code=error.code, reason=str(error)))
        if first is not None and not self.stored:
            others = f" So it is with {len(labels) - 1} other labels." if len(labels) > 1 else ""
            raise ModelError(first.code, f"{self.refused[0].label}: {first}{others}")

    def answer(self, unlabelled: Sequence[str] = ()) -> Calibration:
        """Store what was made, and say what it is worth."""
        space = active_space(self.archive)
        version = self.archive.index.calibrations.put(
            space, self.subject, self.level, self.stored, self.patients
        )
        made = [
            CalibratedLabel(label=label, version=version, method=method, **summary["figures"])
            for label, (method, summary) in self.stored.items()
        ]
        return Calibration(
            subject=self.subject,
            space=space,
            level=self.level,
            labels=tuple(made),
            refused=tuple(self.refused),
            unlabelled=tuple(unlabelled),
            active=True,
            warnings=tuple(self.warnings),
        )


@in_one_space
def calibrate(
    archive: OpenedArchive,
    *,
    prompts: str | None = None,
    probe: str | None = None,
    labels: Sequence[str] = (),
    level: str | None = None,
    where: Sequence[str] = (),
    method: str = "auto",
    error: float = _DEFAULT_ERROR,
    on_progress: OnProgress = silent,
) -> Calibration:
    """Calibrate a prompt set or a probe, or free `labels` where neither is named, on the labelled cases that
    they fit, and keep it as the next version.

    The truth of a label is the stored label of its name; `labels` choose some of a set or probe. `level` is
    "study" for prompts and what a probe was trained on for a probe, unless another is given. `method` is
    "auto", "temperature", "platt" or "isotonic", for classes "auto", "temperature" or "vector", and `error`
    the bound that answers take. A probe is calibrated on patients that it was not trained on.

    Raises ServiceError `one-of`, `bad-level`, `no-labels`, `unknown-label`, `unknown-probe`, `space-mismatch`
    or `no-unseen-cases`, and ModelError `too-few-cases`, `one-class-only`, `margin-not-finite`,
    `bad-error-bound`, `bad-method` and those of `load_prompt_set`.
    """
    from medsiglip.calibration.conformal import known_error

    labels = several("labels", labels)
    require_one_subject(prompts, probe, labels)
    error = known_error(error)
    archive.index.filters.check(where)
    if probe is not None:
        return _of_probe(archive, probe, labels, level, _Choices(where, method, error, on_progress))
    stands_for = level_named(level or "study")
    if stands_for == "series":
        raise ServiceError("bad-level", "zero-shot scores are calibrated at image or study level.")
    prompt_set = _prompt_set(prompts, labels)
    return _of_prompts(
        archive,
        prompt_set,
        labels if prompts is not None else (),
        stands_for,
        _Choices(where, method, error, on_progress),
    )


def require_one_subject(prompts: str | None, probe: str | None, labels: Sequence[str]) -> None:
    """Raise ServiceError `one-of` unless a prompt set, a probe or, without these, free labels are named."""
    if (prompts is not None and probe is not None) or (prompts is None and probe is None and not labels):
        raise ServiceError("one-of", "calibrate a prompt set, a probe, or free labels.")


@dataclass(frozen=True, slots=True)
class _Choices:
    """How to calibrate, and on which cases."""

    where: Sequence[str]
    method: str
    error: float
    on_progress: OnProgress


def _prompt_set(prompts: str | None, labels: Sequence[str]) -> PromptSet:
    from medsiglip.zero_shot.free_labels import free_labels
    from medsiglip.zero_shot.prompt_file import load_prompt_set

    return free_labels(labels) if prompts is None else load_prompt_set(prompts)


def _of_prompts(
    archive: OpenedArchive,
    prompt_set: PromptSet,
    labels: Sequence[str],
    level: Level,
    chosen: _Choices,
) -> Calibration:
    from medsiglip.calibration.applied import CLASSES, fingerprints, subject_of_prompts

    run = _Run(archive, subject_of_prompts(prompt_set), level, chosen.method, chosen.error)
    wanted = _wanted(f"prompt set {prompt_set.name}", prompt_set.labels, labels)
    texts, cases = fingerprints(prompt_set), PromptCases(archive, prompt_set, level, chosen.where)
    if prompt_set.exclusive:
        if labels:
            raise ServiceError(
                "one-of", f"the labels of {prompt_set.name} exclude each other and are calibrated together."
            )
        chosen.on_progress("calibrating", 0, 1)
        run.add_classes(prompt_set.labels, cases.of_classes(), texts[CLASSES])
        return run.answer()
    truths = {label: cases.stored_label(label) for label in wanted}
    labelled = {label: stored for label, stored in truths.items() if stored is not None}
    if not labelled:
        raise ServiceError(
            "no-labels",
            f"no case that fits carries {listed(wanted)}: import labels of these names, or widen --where.",
        )
    run.each(
        list(labelled),
        lambda label: run.add(cases.of_label(label, labelled[label]), texts[label]),
        chosen.on_progress,
    )
    return run.answer([label for label in wanted if label not in labelled])


def _of_probe(
    archive: OpenedArchive,
    name: str,
    labels: Sequence[str],
    level: str | None,
    chosen: _Choices,
) -> Calibration:
    record = stored_probe(archive, name)
    probe = loaded_probe(archive, record)
    require_space(name, probe, active_space(archive))
    trained_at = level_named("image" if probe.pooling == "max" else record.summary["level"])
    stands_for = level_named(level or ("study" if trained_at != record.summary["level"] else trained_at))
    if stands_for not in (trained_at, "study"):
        raise ServiceError(
            "bad-level", f"probe {name} scores at {trained_at} level: calibrate it there or at study level."
        )
    table, margins, groups, seen = of_probe(archive, probe, record, stands_for, chosen.where)
    wanted = _wanted(f"probe {name}", probe.labels, labels)
    known = [label for label in wanted if label in table.labels]
    if not known:
        raise ServiceError(
            "no-labels", f"no case here carries a label of probe {name}: import labels, or widen --where."
        )
    if all(np.isnan(table.labels[label][~seen]).all() for label in known):
        raise ServiceError(
            "no-unseen-cases",
            f"probe {name} was trained on every labelled patient here, whose answers it has learned: label "
            "patients that it has not seen.",
        )
    run = _Run(archive, f"probe:{record.name}", stands_for, chosen.method, chosen.error)
    if seen.any():
        patients = len({key for key, one in zip(table.patient_keys, seen, strict=True) if one})
        run.warnings |= {f"{patients} patients whom the probe was trained on were left out.": None}
    strata, own = strata_of(archive, table, {}), probe_fingerprint(record)
    if probe.exclusive:
        if labels:
            raise ServiceError("one-of", f"the labels of probe {name} exclude each other: leave out labels.")
        chosen.on_progress("calibrating", 0, 1)
        right = np.where(seen, -1, right_classes(table, probe.labels))
        cases = Cases("*", margins, right, groups.names, table.patient_keys, strata)
        run.add_classes(tuple(probe.labels), cases, own)
        return run.answer()

    def one(label: str) -> None:
        values = np.where(seen, np.nan, label_targets(table, label).values)
        column = margins[:, probe.labels.index(label)]
        run.add(Cases(label, column, values, groups.names, table.patient_keys, strata), own)

    run.each(known, one, chosen.on_progress)
    return run.answer([label for label in wanted if label not in known])


def _wanted(of: str, known: Sequence[str], labels: Sequence[str]) -> list[str]:
    for label in labels:
        if label not in known:
            raise ServiceError("unknown-label", f"{of} has no label {label!r}: it has {listed(known)}.")
    return list(dict.fromkeys(labels)) or list(known)
