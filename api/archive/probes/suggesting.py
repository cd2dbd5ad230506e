"""`probe suggest`: the studies whose labels would teach a probe most."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from medsiglip.answers.probes import LabelsNeeded, ProbeSuggestions, Suggestion
from medsiglip.api.archive.opened import in_one_space
from medsiglip.api.archive.probes.registry import active_space, loaded_probe, require_space, stored_probe
from medsiglip.api.errors import ServiceError
from medsiglip.numerics import Floats, mean_vector

if TYPE_CHECKING:
    from medsiglip.api.archive.opened import OpenedArchive
    from medsiglip.index.records import CaseTable, Level, ProbeRecord
    from medsiglip.probes.probe import Probe
    from medsiglip.probes.suggesting import Pick

MOST = 1000
"""The most suggestions of one answer."""
_KEPT = 20_000
"""Studies that are compared with each other: of more, half the most uncertain and half at random."""
_LABELLED = 2000
"""Labelled studies that candidates are compared with; of more, some at random."""


@in_one_space
def suggest_cases(
    archive: OpenedArchive, name: str, *, n: int = 20, where: Sequence[str] = ()
) -> ProbeSuggestions:
    """Studies to label next: half of them uncertain, a quarter unlike all that is labelled, a quarter at
    random (`medsiglip.probes.suggesting`); one of each patient, and none of a patient who has a label of the
    probe, whatever passes, or whom it was trained on. With `where`, of its images that pass.
    """
    if not 1 <= n <= MOST:
        raise ServiceError("bad-number", f"{n} studies cannot be suggested: ask for 1 to {MOST}.")
    from medsiglip.probes.suggesting import suggest

    record = stored_probe(archive, name)
    probe = loaded_probe(archive, record)
    require_space(name, probe, active_space(archive))
    found = _Candidates(probe, frozenset(record.summary.get("patients", ())))
    for table in archive.index.table_parts("image", where):
        owners = archive.index.instances.rows_of_images("series", table.image_ids.tolist())
        found.add(table, scored_studies(probe, record, table, owners))
    for table in archive.index.table_parts("image") if where else ():
        found.note_labelled(table)
    found.finish()
    codes = np.unique(np.array([one.patient_key for one in found.kept], str), return_inverse=True)[1]
    unsure = np.array([one.uncertainty for one in found.kept])
    picks = suggest(found.vectors(), unsure, codes, found.labelled_vectors(), n)
    return ProbeSuggestions(
        name=record.name,
        version=record.version,
        space=probe.space,
        level=record.summary["level"],
        considered=found.considered,
        candidates=found.candidates,
        suggestions=tuple(_suggestion(rank, pick, found, probe) for rank, pick in enumerate(picks, 1)),
        labels_needed=tuple(_needed(record, label) for label in record.summary["labels"]),
        warnings=(*_warnings(found, len(picks), n), *archive.index.filters.warnings(where)),
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Study:
    uid: str
    patient_key: str
    vector: NDArray[np.float32]
    probability: Floats
    uncertainty: float
    label: int
    lot: float


@dataclass(slots=True)
class _Candidates:
    """Studies without a label, as many as can be compared, and a sample of the labelled ones."""

    probe: Probe
    trained: frozenset[str]
    considered: int = 0
    kept: list[_Study] = field(default_factory=list)
    labelled: list[_Study] = field(default_factory=list)
    seen: set[str] = field(default_factory=set)
    unlabelled: Counter[str] = field(default_factory=Counter)

    def add(self, table: CaseTable, probability: dict[str, Floats]) -> None:
        """Take the whole studies of a table of images, with their probabilities [L] by UID."""
        from medsiglip.probes.suggesting import least_sure

        known = _known(table, self.probe.labels)
        rows: dict[str, list[int]] = {}
        for row, uid in enumerate(table.study_instance_uids):
            rows.setdefault(uid, []).append(row)
        lots = np.random.default_rng(self.considered).random(len(rows))
        self.considered += len(rows)
        for (uid, theirs), lot in zip(rows.items(), lots.tolist(), strict=True):
            unsure, label = least_sure(probability[uid][None], self.probe.exclusive)
            vector = mean_vector([table.vectors[row] for row in theirs]).astype(np.float32)
            key = table.patient_keys[theirs[0]]
            study = _Study(uid, key, vector, probability[uid], float(unsure[0]), int(label[0]), lot)
            if known[theirs].any() or key in self.trained:
                self.seen.add(key)
                self.labelled.append(study)
            else:
                self.unlabelled[key] += 1
                self.kept.append(study)
        self._thin()

    def note_labelled(self, table: CaseTable) -> None:
        """Take note of the patients of whom a table has a label: what they have passes no filter, perhaps."""
        rows = np.flatnonzero(_known(table, self.probe.labels)).tolist()
        self.seen |= {table.patient_keys[row] for row in rows}

    def finish(self) -> None:
        """Leave out the studies of patients who have a label elsewhere."""
        self.kept = [one for one in self.kept if one.patient_key not in self.seen]
        self._thin()

    @property
    def candidates(self) -> int:
        """Studies of patients without a label, also those that were not kept."""
        return sum(count for key, count in self.unlabelled.items() if key not in self.seen)

    def vectors(self) -> NDArray[np.float32]:
        """Of the candidates that were kept, [n, d]."""
        return np.stack([one.vector for one in self.kept]) if self.kept else self._none()

    def labelled_vectors(self) -> NDArray[np.float32]:
        """Of some labelled studies, [m, d]."""
        return np.stack([one.vector for one in self.labelled]) if self.labelled else self._none()

    def _none(self) -> NDArray[np.float32]:
        return np.empty((0, self.probe.coef.shape[1]), np.float32)

    def _thin(self) -> None:
        if len(self.kept) > _KEPT:
            self.kept.sort(key=lambda one: -one.uncertainty)
            rest = sorted(self.kept[_KEPT // 2 :], key=lambda one: one.lot)
            self.kept = self.kept[: _KEPT // 2] + rest[: _KEPT - _KEPT // 2]
        self.labelled = sorted(self.labelled, key=lambda one: one.lot)[:_LABELLED]


def _known(table: CaseTable, labels: Sequence[str]) -> NDArray[np.bool_]:
    """Whether any of the labels is known of each row: it has a value, or another class of its column."""
    known = np.array([not one.isdisjoint(labels) for one in table.classes], dtype=bool)
    for label in labels:
        if label in table.labels:
            known |= ~np.isnan(table.labels[label])
    return known


def scored_studies(
    probe: Probe, record: ProbeRecord, table: CaseTable, series: NDArray[np.int64]
) -> dict[str, Floats]:
    """Probabilities [L] by study UID, as `probe predict` has them: of what the probe scores, pooled by the
    maximum per label, or by the mean of classes.
    """
    level: Level = record.summary["level"]
    rows: dict[tuple[str, int], list[int]] = {}
    for row, uid in enumerate(table.study_instance_uids):
        part = {"image": row, "series": int(series[row]), "study": 0}[level]
        rows.setdefault((uid, part), []).append(row)
    found: dict[str, Floats] = {}
    if not rows:
        return found
    if level == "image" or probe.pooling == "max":
        logits = probe.predict_logits(table.vectors)
        pooled = np.stack([logits[theirs].max(axis=0) for theirs in rows.values()])
    else:
        pooled = probe.predict_logits(
            np.stack([mean_vector([table.vectors[row] for row in theirs]) for theirs in rows.values()])
        )
    parts: dict[str, list[Floats]] = {}
    for (uid, _), values in zip(rows, probe.probability(pooled), strict=True):
        parts.setdefault(uid, []).append(values)
    for uid, each in parts.items():
        found[uid] = np.mean(each, axis=0) if probe.exclusive else np.max(each, axis=0)
    return found


def _suggestion(rank: int, pick: Pick, found: _Candidates, probe: Probe) -> Suggestion:
    study = found.kept[pick.row]
    return Suggestion(
        rank=rank,
        study_instance_uid=study.uid,
        patient_key=study.patient_key,
        reason=pick.reason,
        label=probe.labels[study.label],
        probability=float(study.probability[study.label]),
        uncertainty=study.uncertainty,
        distance=pick.distance,
    )


def _needed(record: ProbeRecord, label: dict[str, object]) -> LabelsNeeded:
    from medsiglip.probes.suggesting import more_to_halve

    interval, folds = label.get("auroc_ci"), label.get("fold_figures")
    patients = int(record.summary["groups"])
    if isinstance(folds, list) and folds:
        patients = sum(one["groups"] for one in folds)
    width = None
    if isinstance(interval, list | tuple) and None not in interval:
        width = float(interval[1]) - float(interval[0])
    return LabelsNeeded(
        label=str(label["label"]),
        patients=patients,
        interval_width=width,
        more_patients=more_to_halve(patients) if width else None,
    )


def _warnings(found: _Candidates, count: int, wanted: int) -> tuple[str, ...]:
    warnings = []
    if count < wanted:
        warnings.append(
            f"only {count} patients without a label were found: ingest more studies, or widen the filters"
        )
    if len(found.kept) < found.candidates:
        warnings.append(
            f"{len(found.kept)} of {found.candidates} studies were compared with each other: half the most "
            "uncertain, and half at random"
        )
    return tuple(warnings)
