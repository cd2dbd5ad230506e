"""Which studies a source of scores fits, by modality, part of the body and age, and why it fits no others."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medsiglip.index.records import CaseTable, ProbeRecord
from medsiglip.medgemma.study_regions import ShownStudy, StudyRegions
from medsiglip.regions.vocabulary import UNKNOWN, Regions, in_words
from medsiglip.zero_shot.prompt_set import EVERYBODY, Population

ADULT_AGE = 16.0
"""Years from which a patient counts as an adult; children's pictures are another population."""
NO_REGION = ""
"""Stands for "not known" among the regions that a probe was trained on."""
_NONE = np.empty(0, np.intp)
_NO_IMAGE = "no image of this study fits "


@dataclass(frozen=True, slots=True)
class Fits:
    """What labels of a source fit: images by `where`, parts of the body (none: any), and patients. With
    `unknown_region` studies whose part is not known fit as well.
    """

    where: tuple[str, ...] = ()
    regions: Regions = UNKNOWN
    population: Population = EVERYBODY
    unknown_region: bool = False

    def rows(
        self, table: CaseTable, rows: NDArray[np.intp] | None, shown: ShownStudy | None
    ) -> tuple[NDArray[np.intp], str | None]:
        """Those of the rows of one study that fit, and the reason where none does; `rows` are those that
        pass the filters.
        """
        if shown is None:
            return _NONE, None
        if shown.region.conflict is not None:
            return _NONE, _lower(shown.region.conflict)
        if rows is None or not len(rows):
            return _NONE, f"{_NO_IMAGE}{' and '.join(self.where) or 'it'}."
        if not self.population.fits(shown.patient_age):
            return (
                _NONE,
                f"it is for patients of {self.population}, and the age of this one is outside of that.",
            )
        if not self.regions:
            return rows, None
        fitting = [self._fits(shown.fitting(table.level, table.ids[row])) for row in rows]
        if any(fitting):
            return rows[np.array(fitting)], None
        known = shown.region.regions
        if known:
            return _NONE, f"it is for {in_words(self.regions)}, and this study shows {in_words(known)}."
        return _NONE, (
            f"it is for {in_words(self.regions)}, and neither header and description nor the pictures tell "
            "which part of the body this study shows; give Body Part Examined, or body_part in the "
            "metadata of a picture."
        )

    def _fits(self, shown: Regions) -> bool:
        return not self.regions.isdisjoint(shown) or (self.unknown_region and not shown)


def fitting_rows(fits: Fits, table: CaseTable, regions: StudyRegions) -> NDArray[np.intp]:
    """Those of the rows of a table, of any studies, that fit; the table has passed the filters."""
    if not fits.regions and fits.population == EVERYBODY:
        return np.arange(len(table.ids))
    shown = regions.of(list(dict.fromkeys(table.study_instance_uids)))
    of_study: dict[str, list[int]] = defaultdict(list)
    for row, uid in enumerate(table.study_instance_uids):
        of_study[uid].append(row)
    found = [fits.rows(table, np.array(rows, np.intp), shown.get(uid))[0] for uid, rows in of_study.items()]
    return np.sort(np.concatenate(found)) if found else _NONE


def source_reason(source: str, reasons: Sequence[str]) -> str:
    """The sentence on a source of which no label was scored, from the reasons of its labels."""
    kind, _, name = source.partition(":")
    called = f"The {'prompt set' if kind == 'prompts' else 'probe'} {name}"
    return f"{called} is not scored: {closest_reason(reasons)}"


def closest_reason(reasons: Sequence[str]) -> str:
    """Of the reasons of several labels one of those that come closest to fitting."""
    return next((one for one in reasons if not one.startswith(_NO_IMAGE)), reasons[0])


def fits_of_probe(record: ProbeRecord, label: str) -> Fits:
    """What a probe was trained on: its own filters, and the modalities, parts of the body and ages of the
    cases that had the label. A probe of an earlier version does not know the latter two, and fits any.
    """
    where = list(record.summary.get("where", ()))
    modalities: Mapping[str, Sequence[str]] = record.summary.get("modalities") or {}
    if modalities.get(label):
        where.append(f"modality={'|'.join(modalities[label])}")
    trained: Sequence[str] = (record.summary.get("regions") or {}).get(label, ())
    known = frozenset(one for one in trained if one != NO_REGION)
    ages: Sequence[float] | None = (record.summary.get("ages") or {}).get(label)
    return Fits(tuple(where), known, population_of(ages), NO_REGION in trained)


def population_of(ages: Sequence[float] | None) -> Population:
    """The patients whom cases between these two ages stand for: adults, children, or everybody."""
    if not ages:
        return EVERYBODY
    if ages[0] >= ADULT_AGE:
        return Population(minimum_age=ADULT_AGE)
    return Population(maximum_age=ADULT_AGE) if ages[-1] < ADULT_AGE else EVERYBODY


def _lower(sentence: str) -> str:
    return sentence[0].lower() + sentence[1:]
