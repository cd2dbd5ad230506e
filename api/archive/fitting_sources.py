"""Warnings where a prompt set or a probe that was asked for by name does not fit the study: the answer is
given, and says what its scores are worth.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from medsiglip.api.archive.queries import stored_study_uid

if TYPE_CHECKING:
    from medsiglip.api.archive.opened import OpenedArchive
    from medsiglip.index.records import Level, ProbeRecord
    from medsiglip.medgemma.fitting import Fits
    from medsiglip.medgemma.study_regions import MakeClassifier, StudyRegions
    from medsiglip.zero_shot.prompt_set import PromptSet

_SHOWN = 8


def prompt_warnings_of_study(
    archive: OpenedArchive, make: MakeClassifier, prompt_set: PromptSet, study: str
) -> tuple[str, ...]:
    """What to say where labels of a prompt set are about other pictures than the study's. `make` gives
    the classifier of the texts with which the encoder looks at the pictures.
    """
    from medsiglip.medgemma.fitting import Fits
    from medsiglip.medgemma.study_regions import StudyRegions

    fits = {label: Fits(one.where, one.regions, one.population) for label, one in prompt_set.prompts.items()}
    regions = StudyRegions(archive.index, make)
    return _warnings(archive, regions, f"prompt set {prompt_set.name}", study, "image", fits)


def probe_warnings_of_study(archive: OpenedArchive, record: ProbeRecord, study: str) -> tuple[str, ...]:
    """What to say where labels of a probe were trained on other pictures than the study's, by headers."""
    from medsiglip.medgemma.fitting import fits_of_probe
    from medsiglip.medgemma.study_regions import StudyRegions

    fits = {one["label"]: fits_of_probe(record, one["label"]) for one in record.summary["labels"]}
    regions = StudyRegions(archive.index)
    return _warnings(archive, regions, f"probe {record.name}", study, record.summary["level"], fits)


def _warnings(
    archive: OpenedArchive,
    regions: StudyRegions,
    source: str,
    study: str,
    level: Level,
    fits: Mapping[str, Fits],
) -> tuple[str, ...]:
    from medsiglip.medgemma.fitting import Fits, closest_reason

    if all(one == Fits() for one in fits.values()):
        return ()
    uid = stored_study_uid(archive, study)
    shown = regions.of([uid]).get(uid)
    labels: dict[Fits, list[str]] = defaultdict(list)
    for label, one in fits.items():
        labels[one].append(label)
    unfit: dict[str, str] = {}
    for one, theirs in labels.items():
        table = archive.index.table(level, one.where, among=[uid])
        _, reason = one.rows(table, np.arange(len(table.ids)), shown)
        if reason is not None:
            unfit |= dict.fromkeys(theirs, reason)
    if not unfit:
        return ()
    if len(unfit) == len(fits):
        return (
            f"The {source} does not fit this study, and its scores say nothing of it: "
            f"{closest_reason(tuple(unfit.values()))}",
        )
    listed = _listed([label for label in fits if label in unfit])
    return (f"Scores of the {source} that say nothing of this study, as they are about others: {listed}.",)


def _listed(labels: list[str]) -> str:
    more = f" and {len(labels) - _SHOWN} more" if len(labels) > _SHOWN else ""
    return ", ".join(labels[:_SHOWN]) + more
