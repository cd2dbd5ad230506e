"""Whether two periods, sites or scanners of an archive look alike to the model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from medsiglip.answers.comparisons import DriftCase, DriftReport
from medsiglip.api.archive.label_targets import case_warnings
from medsiglip.api.archive.opened import in_one_space
from medsiglip.api.archive.queries import level_named
from medsiglip.api.errors import ServiceError
from medsiglip.arguments import several

if TYPE_CHECKING:
    from medsiglip.api.archive.opened import OpenedArchive
    from medsiglip.figures.drift import GroupDifference
    from medsiglip.index.records import CaseTable

FALSE_ALARM = 0.05
MOST_CASES, MOST_PERMUTATIONS = 100, 9999
_NAMES = ("reference", "current")


@in_one_space
def evaluate_drift(
    archive: OpenedArchive,
    reference: Sequence[str],
    current: Sequence[str],
    *,
    level: str = "study",
    cases: int = 10,
    permutations: int = 999,
) -> DriftReport:
    """Compare the cases that pass the filters `reference` with those that pass `current`, and list the
    `cases` of each that stand farthest apart.

    Raises ServiceError `no-cases`, `bad-cases` and `bad-permutations`, CatalogError `bad-filter`, and
    ModelError `too-few-patients`.
    """
    from medsiglip.figures.drift import group_difference

    stands_for = level_named(level)
    if not 0 <= cases <= MOST_CASES:
        raise ServiceError("bad-cases", f"list from 0 to {MOST_CASES} cases, not {cases}.")
    if not 99 <= permutations <= MOST_PERMUTATIONS:
        raise ServiceError(
            "bad-permutations",
            f"{permutations} permutations: ask for 99 to {MOST_PERMUTATIONS}; fewer cannot show a p-value "
            "that is small enough.",
        )
    asked = several("reference", reference), several("current", current)
    tables = []
    for name, where in zip(_NAMES, asked, strict=True):
        tables.append(archive.index.table(stands_for, where))
        if not tables[-1].ids:
            fitting = " and ".join(where) or "any filter"
            raise ServiceError("no-cases", f"no case fits {fitting}: widen the filters of the {name}.")
    both = _joined(*tables)
    groups = archive.index.instances.patient_groups(both)
    is_current = np.arange(len(both.ids)) >= len(tables[0].ids)
    found = group_difference(both.vectors, is_current, groups.names, permutations=permutations)
    counts = [Counter(one or "unknown" for one in table.modalities) for table in tables]
    return DriftReport(
        level=stands_for,
        space=archive.searchable_space.name,
        reference=tuple(asked[0]),
        current=tuple(asked[1]),
        reference_cases=len(tables[0].ids),
        current_cases=len(tables[1].ids),
        reference_patients=found.patients[0],
        current_patients=found.patients[1],
        in_both=found.both,
        compared=found.drawn,
        auroc=found.auroc,
        auroc_ci=found.auroc_interval(),
        auroc_p=found.auroc_p,
        energy=found.energy,
        energy_p=found.energy_p,
        permutations=permutations,
        false_alarm=FALSE_ALARM,
        differs=min(found.auroc_p, found.energy_p) <= FALSE_ALARM / 2,
        modalities={name: dict(sorted(one.items())) for name, one in zip(_NAMES, counts, strict=True)},
        cases=tuple(_apart(both, is_current, found, cases)),
        warnings=(*case_warnings(groups, {}), *_warnings(counts, found)),
    )


def _joined(first: CaseTable, second: CaseTable) -> CaseTable:
    """The rows of both, without labels."""
    return replace(
        first,
        ids=first.ids + second.ids,
        image_ids=np.concatenate([first.image_ids, second.image_ids]),
        study_instance_uids=first.study_instance_uids + second.study_instance_uids,
        patient_keys=first.patient_keys + second.patient_keys,
        modalities=first.modalities + second.modalities,
        body_parts=first.body_parts + second.body_parts,
        paths=first.paths + second.paths,
        vectors=np.concatenate([first.vectors, second.vectors]),
        labels={},
        classes=first.classes + second.classes,
    )


def _apart(
    table: CaseTable,
    is_current: NDArray[np.bool_],
    found: GroupDifference,
    most: int,
) -> list[DriftCase]:
    """The cases of each group that are farthest from the other, one of a patient, the current ones first."""
    listed: list[DriftCase] = []
    for side in (True, False):
        rows = np.flatnonzero((is_current == side) & ~np.isnan(found.apart))
        seen: set[str] = set()
        for row in rows[np.argsort(-found.apart[rows], kind="stable")].tolist():
            if len(seen) >= most:
                break
            if table.patient_keys[row] in seen:
                continue
            seen.add(table.patient_keys[row])
            listed.append(
                DriftCase(
                    id=table.ids[row],
                    study_instance_uid=table.study_instance_uids[row],
                    patient_key=table.patient_keys[row],
                    modality=table.modalities[row],
                    group=_NAMES[side],
                    apart=float(found.apart[row]),
                )
            )
    return listed


def _warnings(counts: Sequence[Counter[str]], found: GroupDifference) -> list[str]:
    told = []
    shares = [{name: n / one.total() for name, n in one.items()} for one in counts]
    mixed = [
        name
        for name in sorted(shares[0].keys() | shares[1].keys())
        if abs(shares[0].get(name, 0) - shares[1].get(name, 0)) > 0.1
    ]
    if mixed:
        told.append(
            f"the groups hold different shares of {', '.join(mixed)}: a difference may be one of what was "
            "examined; compare one modality at a time, such as with modality=CR in both."
        )
    if found.both:
        told.append(
            f"{found.both} patients are in both groups: they say nothing of a difference, and count in "
            "neither."
        )
    if found.drawn != found.patients:
        told.append(
            f"of {found.patients[0]} and {found.patients[1]} patients, {found.drawn[0]} and {found.drawn[1]} "
            "were drawn at random."
        )
    return told
