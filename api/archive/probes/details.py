"""What a training shows of a probe besides AUROC: figures, of whom they are, and labels that may be wrong."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from medsiglip.answers.probe_figures import ProbePopulation

if TYPE_CHECKING:
    from medsiglip.api.archive.opened import OnProgress, OpenedArchive
    from medsiglip.api.archive.probes.cases import TrainingCases
    from medsiglip.api.archive.probes.plan import ProbePlan
    from medsiglip.index.catalogue.labels.case_attributes import CaseAttributes
    from medsiglip.probes.label_noise import Suspect
    from medsiglip.probes.training import Trained

MOST_SUSPECTS = 500
"""How many cases whose label may be wrong are kept with a probe."""

NOT_KNOWN = "not known"
_AGES = (18, 40, 60, 80)
_MOST_NAMES = 50


@dataclass(frozen=True, slots=True)
class Details:
    """The probe with all its figures, of whom its cases are, and the suspects as they are stored."""

    trained: Trained
    population: ProbePopulation
    suspects: list[dict[str, Any]]


def with_details(
    archive: OpenedArchive,
    cases: TrainingCases,
    trained: Trained,
    plan: ProbePlan,
    on_progress: OnProgress,
) -> Details:
    """Add to what a training gave: operating points, folds, calibration, subgroups, and a learning curve."""
    from medsiglip.probes.label_noise import suspects
    from medsiglip.probes.learning_curve import with_learning_curve
    from medsiglip.probes.measured import with_figures
    from medsiglip.probes.subgroups import with_subgroups

    found = trained.out_of_fold
    on_progress("figures", 0, None)
    report = with_figures(trained.probe.report, found)
    labelled = np.flatnonzero(cases.labelled)
    known = archive.index.instances.attributes_of(cases.table.rows(labelled))
    of_rows = dict(zip(labelled.tolist(), known, strict=True))
    report = with_subgroups(report, found, _attributes([of_rows[row] for row in found.rows.tolist()]))
    vectors, bags = cases.vectors(archive, plan.pooling)
    report = with_learning_curve(
        report,
        found,
        trained.probe,
        vectors,
        bags=bags,
        balanced=plan.class_weight == "balanced",
        on_progress=on_progress,
    )
    on_progress("labels that may be wrong", 0, None)
    doubtful = suspects(found)
    counts = Counter(one.label for one in doubtful)
    labels = tuple(replace(entry, suspects=counts[entry.label]) for entry in report.labels)
    probe = replace(trained.probe, report=replace(report, labels=labels))
    kept = [_kept(cases, int(found.rows[one.row]), one) for one in doubtful[:MOST_SUSPECTS]]
    return Details(replace(trained, probe=probe), _population(cases, of_rows), kept)


def _attributes(rows: Sequence[CaseAttributes]) -> dict[str, list[str | None]]:
    """What subgroups are told apart by."""
    return {
        "patient_sex": [one.patient_sex for one in rows],
        "age": [age_band(one.patient_age) for one in rows],
        "manufacturer": [one.manufacturer for one in rows],
        "site": [one.site for one in rows],
    }


def age_band(years: float | None) -> str | None:
    """The span of years that an age is in."""
    if years is None:
        return None
    low = max((limit for limit in (0, *_AGES) if limit <= years), default=0)
    above = [limit for limit in _AGES if limit > low]
    return f"{low}-{above[0] - 1}" if above else f"{low} and over"


def _kept(cases: TrainingCases, row: int, suspect: Suspect) -> dict[str, Any]:
    return {
        "label": suspect.label,
        "study_instance_uid": cases.table.study_instance_uids[row],
        "id": cases.table.ids[row],
        "given": suspect.given,
        "probability": suspect.probability,
        "margin": suspect.margin,
        "suggested": suspect.suggested,
    }


def _population(cases: TrainingCases, attributes: Mapping[int, CaseAttributes]) -> ProbePopulation:
    """Of whom the labelled cases are, given the attributes of each row. A patient counts once for each sex,
    age band, maker and site.
    """
    rows = list(attributes)
    keys = [cases.table.patient_keys[row] for row in rows]
    named = _attributes([attributes[row] for row in rows])
    counts: dict[str, dict[str, int]] = {}
    for attribute, values in named.items():
        pairs = {(key, value or NOT_KNOWN) for key, value in zip(keys, values, strict=True)}
        times = Counter(value for _, value in pairs)
        most = sorted(times.items(), key=lambda pair: (-pair[1], pair[0]))[:_MOST_NAMES]
        counts[attribute] = dict(sorted(most))
    dates = [date for row in rows if (date := attributes[row].study_date) is not None]
    return ProbePopulation(
        patients=len(set(keys)),
        studies=len({cases.table.study_instance_uids[row] for row in rows}),
        cases=len(rows),
        study_dates=(min(dates), max(dates)) if dates else None,
        **counts,
    )
