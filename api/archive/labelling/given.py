"""Labels that readers gave: shown with who gave them, given to all that fit, and undone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from medsiglip.answers.labelling import GivenLabel, LabelHistory, UndoneLabels
from medsiglip.api.archive.audit_trail import local_actor
from medsiglip.api.archive.queries import stored_study_uid
from medsiglip.api.errors import ServiceError

if TYPE_CHECKING:
    from medsiglip.api.archive.opened import OpenedArchive
    from medsiglip.index.label_records import LabelRecord


def study_labels(archive: OpenedArchive, uid: str) -> LabelHistory:
    """What each reader said of a study and what it holds; raises CatalogError `unknown-study`."""
    stored = stored_study_uid(archive, uid)
    given = archive.index.reader_labels.of_study(stored)
    return LabelHistory(
        study_instance_uid=stored, labels=tuple(GivenLabel.model_validate(one) for one in given)
    )


def labels_of_all(
    archive: OpenedArchive, where: Sequence[str], label: str, value: float | None
) -> list[LabelRecord]:
    """The records that label every study that passes all filters; raises CatalogError `bad-filter`, and
    ServiceError `no-cases` where none passes.
    """
    from medsiglip.index.label_records import LabelRecord

    found = archive.index.reader_labels.candidates(where)
    if not found:
        raise ServiceError("no-cases", "no study passes these filters: widen them.")
    return [LabelRecord(label, value, "study_instance_uid", one.study_instance_uid) for one in found]


def undo_labels(archive: OpenedArchive, *, reader: str | None = None) -> UndoneLabels:
    """Take back what a reader last gave or took back at once; without a name, the user of this process.

    Raises ServiceError `nothing-to-undo`.
    """
    who = local_actor() if reader is None else reader
    undone = archive.index.labels.undo(who)
    if undone is None:
        raise ServiceError(
            "nothing-to-undo", f"{who} has given no label that is not undone: there is nothing to take back."
        )
    return UndoneLabels.model_validate(undone)
