"""What a prompt set or a probe says of labelled cases, from the vectors of their images."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from medsiglip.api.archive.evaluating.altered_cases import AlteredCases, ChosenRows
from medsiglip.api.archive.evaluating.asked_prompts import asked_prompts
from medsiglip.api.archive.evaluating.fitting_cases import FittingCases, fits_of
from medsiglip.api.archive.label_targets import case_warnings, label_targets
from medsiglip.api.archive.queries import level_named
from medsiglip.api.errors import ServiceError
from medsiglip.numerics import Floats, mean_vector

if TYPE_CHECKING:
    from medsiglip.api.archive.opened import OpenedArchive
    from medsiglip.index.records import CaseTable
    from medsiglip.probes.probe import Probe
    from medsiglip.zero_shot.classifier import ZeroShotClassifier

_SEED = 20


Members = Sequence[NDArray[np.intp]]


class Scorer(Protocol):
    """Scores of one label for sets of images."""

    def __call__(self, label: str, vectors: NDArray[np.float32], members: Members) -> Floats:
        """The score [n] of each of n cases, of which each has some of the images with vectors [m, d]."""


@dataclass(frozen=True, slots=True)
class LabelScorer:
    """A table of cases with `targets` [n] by label and `groups` [n] of patients; `fitting` are for each label
    the ids of the images that its score is made of. `seen` are the rows that a probe was trained on.
    """

    table: CaseTable
    targets: Mapping[str, Floats]
    groups: Sequence[str]
    fitting: Mapping[str, frozenset[int]]
    score: Scorer
    warnings: tuple[str, ...] = ()
    seen: frozenset[int] | None = None
    labels: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "labels", tuple(self.targets))

    def rows(self, most: int) -> ChosenRows:
        """At most so many of the rows of which a label is known, drawn at random, always the same."""
        known = ~np.isnan(np.stack(list(self.targets.values()))).all(axis=0)
        rows = np.flatnonzero(known)
        if len(rows) > most:
            rows = np.sort(np.random.default_rng(_SEED).choice(rows, most, replace=False))
        return ChosenRows(self.table, rows, frozenset[int]().union(*self.fitting.values()))

    def scores(self, label: str, cases: AlteredCases, vectors: NDArray[np.float32]) -> Floats:
        """The score [n] of each row, NaN where no image of it is fitting."""
        members: dict[int, list[int]] = defaultdict(list)
        for place, (image, row) in enumerate(zip(cases.images, cases.row_of.tolist(), strict=True)):
            if image.image_id in self.fitting[label]:
                members[row].append(place)
        found = np.full(len(cases.rows), np.nan)
        if members:
            theirs = [np.array(places, np.intp) for places in members.values()]
            found[list(members)] = self.score(label, vectors, theirs)
        return found

    def trained_on(self, rows: NDArray[np.intp]) -> int | None:
        """How many of the rows a probe was trained on; None of a prompt set."""
        return None if self.seen is None else len(self.seen.intersection(rows.tolist()))


def prompt_labels(
    archive: OpenedArchive, prompts: str, labels: Sequence[str], level: str, where: Sequence[str]
) -> LabelScorer:
    """The labels of a prompt set that are stored. Raises ServiceError `bad-level`, `unknown-label` and
    `no-labels`.
    """
    from medsiglip.api.archive.scores.classifiers import prompt_classifier

    asked = asked_prompts(prompts, labels, level)
    prompt_set, wanted, stands_for = asked
    cases = FittingCases(archive, stands_for, where)
    table = archive.index.table(stands_for, where)
    row = {one: number for number, one in enumerate(table.ids)}
    targets: dict[str, Floats] = {}
    fitting: dict[str, frozenset[int]] = {}
    for label in wanted:
        fits = fits_of(prompt_set.prompts[label])
        theirs = cases.fitting(fits)
        if label not in theirs.labels:
            continue
        values = np.full(len(table.ids), np.nan)
        values[[row[one] for one in theirs.ids]] = label_targets(theirs, label).values
        targets[label] = values
        fitting[label] = frozenset(cases.images(fits).image_ids.tolist())
    if not targets:
        raise asked.no_labels()
    groups = archive.index.instances.patient_groups(table)
    score = _ZeroShotScore(prompt_classifier(archive, prompt_set))
    return LabelScorer(table, targets, groups.names, fitting, score, tuple(case_warnings(groups, {})))


@dataclass(frozen=True, slots=True)
class _ZeroShotScore:
    classifier: ZeroShotClassifier

    def __call__(self, label: str, vectors: NDArray[np.float32], members: Members) -> Floats:
        """Of findings the margin, which does not saturate."""
        by_image = self.classifier.scores(vectors)
        column = by_image.labels.index(label)
        pooled = [self.classifier.pool(by_image.rows(rows)) for rows in members]
        findings = self.classifier.prompt_set.kind == "findings"
        return np.array([(one.margin if findings else one.probability)[column] for one in pooled])


def probe_labels(
    archive: OpenedArchive, name: str, labels: Sequence[str], level: str | None, where: Sequence[str]
) -> LabelScorer:
    """The labels of a probe that are stored, at its level. Raises ServiceError `bad-level`, `unknown-label`,
    `no-labels`, and those of `probe show`.
    """
    from medsiglip.api.archive.probes.registry import loaded_probe, require_space, stored_probe

    record = stored_probe(archive, name)
    probe = loaded_probe(archive, record)
    require_space(name, probe, archive.space.name)
    stands_for = level_named(record.summary["level"])
    if level is not None and level_named(level) != stands_for:
        raise ServiceError("bad-level", f"probe {name} is of {stands_for} level: evaluate it there.")
    wanted = list(dict.fromkeys(labels)) or list(probe.labels)
    for label in wanted:
        if label not in probe.labels:
            raise ServiceError(
                "unknown-label", f"probe {name} has no label {label!r}: it has {', '.join(probe.labels)}."
            )
    table = archive.index.table(stands_for, where)
    targets = {label: label_targets(table, label) for label in wanted if label in table.labels}
    if not targets:
        raise ServiceError(
            "no-labels", f"no case here carries a label of probe {name}: import labels, or widen --where."
        )
    groups = archive.index.instances.patient_groups(table)
    learned = archive.index.instances.seen_patients(table.patient_keys, [record])[name]
    seen = frozenset(row for row, key in enumerate(table.patient_keys) if key in learned)
    told = case_warnings(groups, targets)
    if seen:
        told.append(
            f"probe {name} was trained on the patients of {len(seen)} of these {len(table.ids)} cases, so "
            "that its AUROC before the changes is too high: choose others with --where for a fair one."
        )
    images = frozenset(archive.index.table("image", where).image_ids.tolist())
    values = {label: known.values for label, known in targets.items()}
    fitting = dict.fromkeys(values, images)
    return LabelScorer(table, values, groups.names, fitting, _ProbeScore(probe), tuple(told), seen)


@dataclass(frozen=True, slots=True)
class _ProbeScore:
    probe: Probe

    def __call__(self, label: str, vectors: NDArray[np.float32], members: Members) -> Floats:
        """The logit of the mean vector, or the greatest logit of an image where the probe pools so."""
        column = self.probe.labels.index(label)
        if self.probe.pooling == "max":
            logits = self.probe.predict_logits(vectors)[:, column]
            return np.array([logits[rows].max() for rows in members])
        means = np.stack([mean_vector(vectors[rows]) for rows in members])
        found: Floats = self.probe.predict_logits(means)[:, column]
        return found
