"""Cases by what their vectors say: those that a probe, or a fit to the labels of now, is least sure of; those
unlike all that is labelled.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from medsiglip.api.archive.labelling.learning import LabelledStudies, labelled_studies
from medsiglip.api.archive.labelling.queue_question import lot
from medsiglip.api.archive.probes.registry import active_space, loaded_probe
from medsiglip.api.archive.probes.suggesting import scored_studies
from medsiglip.api.errors import ServiceError
from medsiglip.numerics import Floats, mean_vector

if TYPE_CHECKING:
    from medsiglip.api.archive.labelling.queue_question import QueueQuestion
    from medsiglip.api.archive.opened import OpenedArchive
    from medsiglip.index.records import CaseTable, ProbeRecord

_KEPT = 20_000
"""Studies that are compared with each other; of more, so many drawn at random."""
_LABELLED = 2000
"""Labelled studies that they are compared with; of more, so many drawn at random."""
_FEWEST_PATIENTS = 3


class Ordered(NamedTuple):
    """Studies in order; `by` says what uncertainty is of, None where it is of nothing."""

    uids: list[str]
    by: str | None
    warnings: list[str]


@dataclass(slots=True)
class _Kept:
    """Studies that may be chosen, as many as can be compared: by lot, UID, vector and doubt [n]."""

    lots: list[bytes] = field(default_factory=list)
    uids: list[str] = field(default_factory=list)
    vectors: list[NDArray[np.float32]] = field(default_factory=list)
    doubts: list[float] = field(default_factory=list)

    def add(self, lot: bytes, uid: str, vector: NDArray[np.float32], doubt: float) -> None:
        """Take in a study."""
        for values, value in zip(self._columns(), (lot, uid, vector, doubt), strict=True):
            values.append(value)

    def thin(self) -> None:
        """Keep no more than can be compared."""
        if len(self.lots) > _KEPT:
            rows = sorted(range(len(self.lots)), key=self.lots.__getitem__)[:_KEPT]
            for values in self._columns():
                values[:] = [values[row] for row in rows]

    def _columns(self) -> tuple[list[Any], ...]:
        return self.lots, self.uids, self.vectors, self.doubts


def by_vectors(
    archive: OpenedArchive, question: QueueQuestion, owners: Mapping[str, str], seen: set[str]
) -> Ordered:
    """The best `limit` of the studies of `owners`, which has the patient of each, for an order by uncertainty
    or diversity. Patients among `seen` come last.
    """
    from medsiglip.probes.suggesting import choose

    labelled = _labelled(archive, question.label)
    doubts, by, warnings = _doubts(archive, question, labelled)
    kept = _Kept()
    total = 0
    for uid, vector, doubt in doubts:
        if uid in owners:
            total += 1
            kept.add(lot(question.seed, uid), uid, vector, doubt)
            if len(kept.lots) >= 2 * _KEPT:
                kept.thin()
    kept.thin()
    if not kept.uids:
        return Ordered([], by, warnings)
    if len(kept.uids) < total:
        warnings.append(f"{_KEPT} of {total} studies were compared with each other, drawn at random")
    vectors = np.stack(kept.vectors)
    patients = [owners[uid] for uid in kept.uids]
    groups = np.unique(np.array(patients, str), return_inverse=True)[1].astype(np.intp)
    groups[[row for row, patient in enumerate(patients) if patient in seen]] = -1
    known = np.empty((0, vectors.shape[1]), np.float32) if labelled is None else labelled.vectors
    if len(known) > _LABELLED:
        known = known[np.random.default_rng(question.seed).choice(len(known), _LABELLED, replace=False)]
    unsure = None if by is None else np.array(kept.doubts)
    rows = choose(vectors, unsure, groups, known, question.limit)
    return Ordered([kept.uids[row] for row in rows], by, warnings)


def _labelled(archive: OpenedArchive, label: str) -> LabelledStudies | None:
    try:
        return labelled_studies(archive, label)
    except ServiceError as error:
        if error.code != "unknown-label":
            raise
        return None


Doubts = Iterator[tuple[str, NDArray[np.float32], float]]


def _doubts(
    archive: OpenedArchive, question: QueueQuestion, labelled: LabelledStudies | None
) -> tuple[Doubts, str | None, list[str]]:
    """Each study that passes the filters with its vector and how unsure its label is; what says so; and what
    to say of it.
    """
    if question.order == "diversity":
        return _by_fit(archive, question, None), None, []
    record = _probe_of(archive, question.label)
    if record is not None:
        return _by_probe(archive, question, record), f"probe {record.name}@{record.version}", []
    if labelled is not None and labelled.fewest_patients >= _FEWEST_PATIENTS:
        told = f"a linear fit to the {len(labelled.positive)} labels of now"
        return _by_fit(archive, question, labelled), told, []
    return (
        _by_fit(archive, question, None),
        None,
        [
            f"no probe has the label {question.label!r}, and fewer than {_FEWEST_PATIENTS} patients have it "
            "or lack it: these are cases unlike each other"
        ],
    )


def _probe_of(archive: OpenedArchive, label: str) -> ProbeRecord | None:
    """The newest probe of the active space that has a label: one of that name before others."""
    space = active_space(archive)
    fitting = [
        one
        for one in archive.index.probes.listed()
        if one.space == space and label in {entry["label"] for entry in one.summary["labels"]}
    ]
    return min(fitting, key=lambda one: one.name != label, default=None)


def _by_probe(archive: OpenedArchive, question: QueueQuestion, record: ProbeRecord) -> Doubts:
    probe = loaded_probe(archive, record)
    column = probe.labels.index(question.label)
    for table in archive.index.table_parts("image", question.where):
        owners = archive.index.instances.rows_of_images("series", table.image_ids.tolist())
        probability = scored_studies(probe, record, table, owners)
        for uid, rows in _rows(table).items():
            vector = mean_vector([table.vectors[row] for row in rows])
            yield uid, vector, 1.0 - abs(2.0 * float(probability[uid][column]) - 1.0)


def _by_fit(archive: OpenedArchive, question: QueueQuestion, labelled: LabelledStudies | None) -> Doubts:
    from medsiglip.probes.ridge import ridge_scores

    for table in archive.index.table_parts("study", question.where):
        doubts: Floats = np.zeros(len(table.ids))
        if labelled is not None and len(table.ids):
            doubts = -np.abs(ridge_scores(*labelled.sample, table.vectors))
        yield from zip(table.ids, table.vectors, doubts.tolist(), strict=True)


def _rows(table: CaseTable) -> dict[str, list[int]]:
    rows: dict[str, list[int]] = {}
    for row, uid in enumerate(table.study_instance_uids):
        rows.setdefault(uid, []).append(row)
    return rows
