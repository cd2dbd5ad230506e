"""What a reader labels next: cases by uncertainty, unlike all that is labelled, at random, or where readers
disagree.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, get_args

from medsiglip.answers.labelling import LabelQueue, Order
from medsiglip.api.archive.audit_trail import local_actor
from medsiglip.api.archive.browsing.cases import case_of
from medsiglip.api.archive.labelling.queue_question import QueueQuestion, lot
from medsiglip.api.archive.labelling.vector_order import by_vectors
from medsiglip.api.archive.opened import in_one_space
from medsiglip.api.errors import ServiceError

if TYPE_CHECKING:
    from medsiglip.api.archive.opened import OpenedArchive
    from medsiglip.index.label_records import Reading

MOST = 200
"""The most cases of one answer."""
ORDERS: tuple[Order, ...] = get_args(Order)


@in_one_space
def label_queue(archive: OpenedArchive, question: QueueQuestion, *, reader: str | None = None) -> LabelQueue:
    """The cases that a reader, else the user of this process, should label next, of those that this reader
    has not labelled; by disagreement, of those that readers contradict each other about.

    Raises ServiceError `bad-number`, `bad-order`, `empty-text`, and CatalogError `bad-filter`, `no-space`.
    """
    _check(question)
    question = replace(question, label=question.label.strip())
    who = local_actor() if reader is None else reader
    candidates = archive.index.reader_labels.candidates(question.where)
    readings = archive.index.reader_labels.readings(question.label)
    mine = {one.study_instance_uid for one in readings if one.reader == who}
    left = [one for one in candidates if one.study_instance_uid not in mine]
    by, warnings = None, list(archive.index.filters.warnings(question.where))
    if question.order == "random":
        chosen = sorted((one.study_instance_uid for one in left), key=lambda uid: lot(question.seed, uid))
    elif question.order == "disagreement":
        chosen = _divided({one.study_instance_uid for one in candidates}, readings, mine)
        if not chosen:
            warnings.append("readers do not contradict each other about any of these cases")
    elif not left:
        chosen = []
    else:
        owners = {one.study_instance_uid: one.patient_key for one in left}
        seen = {one.patient_key for one in candidates if one.study_instance_uid in mine}
        found = by_vectors(archive, question, owners, seen)
        chosen, by = found.uids, found.by
        warnings += found.warnings
    records = archive.index.browser.records(chosen[: question.limit])
    return LabelQueue(
        label=question.label,
        order=question.order,
        cases=tuple(case_of(one) for one in records if one.pictures),
        labelled=len(candidates) - len(left),
        remaining=len(left),
        by=by,
        warnings=tuple(warnings),
    )


def _check(question: QueueQuestion) -> None:
    if not 1 <= question.limit <= MOST:
        raise ServiceError("bad-number", f"{question.limit} cases cannot be given: ask for 1 to {MOST}.")
    if question.order not in ORDERS:
        raise ServiceError(
            "bad-order", f"there is no order {question.order!r}: choose among {', '.join(ORDERS)}."
        )
    if not question.label.strip():
        raise ServiceError("empty-text", "the label has no name: give one.")


def _divided(candidates: set[str], readings: Iterable[Reading], mine: set[str]) -> list[str]:
    """Studies of which readers say both, those that the reader has not labelled first, then the most evenly
    divided.
    """
    said: dict[tuple[str, tuple[str, str, str]], list[bool]] = defaultdict(list)
    for one in readings:
        if one.study_instance_uid in candidates:
            said[one.study_instance_uid, one.case].append(one.positive)
    evenness: dict[str, float] = {}
    for (uid, _), values in said.items():
        if len(set(values)) > 1:
            fewer = min(sum(values), len(values) - sum(values)) / len(values)
            evenness[uid] = max(fewer, evenness.get(uid, 0.0))
    return sorted(evenness, key=lambda uid: (uid in mine, -evenness[uid], uid))
