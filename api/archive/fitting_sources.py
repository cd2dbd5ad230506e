"""Whether a prompt set or a probe that was asked for by name fits the study, and what to say where it does
not: the answer is given, and says what its scores are worth.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from medsiglip.api.archive.queries import stored_study_uid

if TYPE_CHECKING:
    from medsiglip.api.archive.opened import OpenedArchive
    from medsiglip.index.records import CaseTable, Level, ProbeRecord
    from medsiglip.medgemma.fitting import Fits
    from medsiglip.medgemma.study_regions import MakeClassifier, ShownStudy, StudyRegions
    from medsiglip.zero_shot.prompt_set import PromptSet

_SHOWN = 8


@dataclass(frozen=True, slots=True)
class Fitting:
    """Whether each label is about what was asked about, None where nobody can tell, and what to say of it.
    `images` are the ids of the pictures that a label is about, of a label that is not about all.
    """

    fits: Mapping[str, bool | None] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    images: Mapping[str, frozenset[int]] = field(default_factory=dict)


ANYTHING = Fitting()
"""Of labels that are about anything, such as free ones."""


def fits_of_labels(prompt_set: PromptSet) -> dict[str, Fits]:
    """What each label of a prompt set is about."""
    from medsiglip.medgemma.fitting import Fits

    return {label: Fits(one.where, one.regions, one.population) for label, one in prompt_set.prompts.items()}


def fitting_of_study(
    archive: OpenedArchive,
    make: MakeClassifier,
    prompt_set: PromptSet,
    study: str,
    image_ids: Sequence[int] | None = None,
) -> Fitting:
    """Whether labels of a prompt set are about the pictures of a study, or about some of them. `make` gives
    the classifier of the texts with which the encoder looks at the pictures.
    """
    from medsiglip.medgemma.study_regions import StudyRegions

    regions = StudyRegions(archive.index, make)
    called = f"prompt set {prompt_set.name}"
    return _fitting(archive, regions, called, study, "image", fits_of_labels(prompt_set), image_ids)


def probe_warnings_of_study(archive: OpenedArchive, record: ProbeRecord, study: str) -> tuple[str, ...]:
    """What to say where labels of a probe were trained on other pictures than the study's, by headers."""
    from medsiglip.medgemma.fitting import fits_of_probe
    from medsiglip.medgemma.study_regions import StudyRegions

    fits = {one["label"]: fits_of_probe(record, one["label"]) for one in record.summary["labels"]}
    regions = StudyRegions(archive.index)
    level = record.summary["level"]
    return _fitting(archive, regions, f"probe {record.name}", study, level, fits, None).warnings


def _table(archive: OpenedArchive, source: str, level: Level, fits: Fits, study: str) -> CaseTable:
    """The rows of a study that pass the filters, of which an error says whose they are."""
    from medsiglip.index.errors import CatalogError

    try:
        return archive.index.table(level, fits.where, among=[study])
    except CatalogError as error:
        if error.code != "bad-filter":
            raise
        raise CatalogError(error.code, f"The {source} has a filter of its own. {error}") from error


def _fitting(
    archive: OpenedArchive,
    regions: StudyRegions,
    source: str,
    study: str,
    level: Level,
    fits: Mapping[str, Fits],
    image_ids: Sequence[int] | None,
) -> Fitting:
    from medsiglip.medgemma.fitting import Fits

    if all(one == Fits() for one in fits.values()):
        return ANYTHING
    uid = stored_study_uid(archive, study)
    shown = regions.of([uid]).get(uid)
    labels: dict[Fits, list[str]] = defaultdict(list)
    for label, one in fits.items():
        labels[one].append(label)
    found: dict[str, bool | None] = dict.fromkeys(fits, True)
    reasons: dict[str, str] = {}
    images: dict[str, frozenset[int]] = {}
    for one, theirs in labels.items():
        table = _table(archive, source, level, one, uid)
        among = np.arange(len(table.ids))
        rows = among if image_ids is None else among[np.isin(table.image_ids, image_ids)]
        fitting, reason = one.rows(table, rows, shown)
        if reason is None and level == "image":
            images |= dict.fromkeys(theirs, frozenset(table.image_ids[fitting].tolist()))
        elif reason is not None:
            found |= dict.fromkeys(theirs, None if _untold(one, table, shown) else False)
            reasons |= dict.fromkeys(theirs, reason)
    what = "study" if image_ids is None else "picture"
    return Fitting(found, fitting_warnings(source, what, found, reasons), images)


def _untold(fits: Fits, table: CaseTable, shown: ShownStudy | None) -> bool:
    """Whether nothing but the part of the body is missing to say that labels fit."""
    if shown is None or shown.region.conflict is not None or not len(table.ids):
        return False
    return fits.population.fits(shown.patient_age) and not shown.region.regions


def fitting_warnings(
    source: str, what: str, fits: Mapping[str, bool | None], reasons: Mapping[str, str]
) -> tuple[str, ...]:
    """The sentences on labels that are about other pictures than `what` was asked about, with the reason by
    label; `source` is what they come from.
    """
    from medsiglip.medgemma.fitting import closest_reason

    if not reasons:
        return ()
    unfit = [label for label, one in fits.items() if one is False]
    untold = [label for label, one in fits.items() if one is None]
    if len(unfit) == len(fits):
        reason = closest_reason(tuple(reasons.values()))
        return (f"The {source} does not fit this {what}, and its scores say nothing of it: {reason}",)
    if len(untold) == len(fits):
        reason = closest_reason(tuple(reasons.values()))
        return (f"Whether the {source} fits this {what} is not known: {reason}",)
    warnings = []
    if unfit:
        warnings.append(
            f"Scores of the {source} that say nothing of this {what}, as they are about others: "
            f"{_listed(unfit)}."
        )
    if untold:
        warnings.append(
            f"Scores of the {source} of which it is not known whether they are about this {what}: "
            f"{_listed(untold)}."
        )
    return tuple(warnings)


def _listed(labels: list[str]) -> str:
    more = f" and {len(labels) - _SHOWN} more" if len(labels) > _SHOWN else ""
    return ", ".join(labels[:_SHOWN]) + more
