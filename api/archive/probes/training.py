"""Linear probes of a home: training on labelled cases."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from medsiglip.answers.figures import Probe as ProbeAnswer
from medsiglip.api.archive.files import AnyPath
from medsiglip.api.archive.label_targets import (
    LabelTargets,
    case_warnings,
    columnless_warnings,
    label_targets,
)
from medsiglip.api.archive.labels import LabelFile, read_labels, store_labels
from medsiglip.api.archive.probes.registry import active_space, keep_probe, require_name, require_space
from medsiglip.api.archive.queries import level_named
from medsiglip.api.errors import ServiceError
from medsiglip.arguments import several
from medsiglip.errors import ModelError

if TYPE_CHECKING:
    from medsiglip.api.archive.opened import OpenedArchive
    from medsiglip.index.records import CaseTable


def train_probe(
    archive: OpenedArchive,
    name: str,
    *,
    labels_csv: AnyPath | None = None,
    labels: Sequence[str] = (),
    level: str = "image",
    where: Sequence[str] = (),
    on_checked: Callable[[LabelFile | None], None] = lambda _labels: None,
) -> ProbeAnswer:
    """Train a linear probe on the columns of a CSV, or on stored labels, and keep it in the home.

    Rows of which a label is not known are left out of its figures, and counted. Patients that share pictures
    are in one fold.

    The labels of a CSV are stored in the archive as `label import` would, and the probe is trained on them
    alone: what was stored under the same names before has no part in it. `on_checked` is called with them,
    or None, before anything is stored. Raises ServiceError `labels-unmatched` for a CSV that names nothing in
    the archive.
    """
    require_name(name)
    labels = several("labels", labels)
    if (labels_csv is None) == (not labels):
        raise ServiceError("one-of", "train on either the labels of a CSV or stored labels.")
    space, stands_for = active_space(archive), level_named(level)
    archive.index.filters.check(where)
    warnings: list[str] = []
    if labels_csv is None:
        table = archive.index.table(stands_for, where)
        targets = {label: label_targets(table, label) for label in labels}
        on_checked(None)
    else:
        path = Path(labels_csv)
        content = read_labels(path)
        on_checked(content)
        warnings += _stored_labels(archive, path, content)
        table = archive.index.table(stands_for, where, given_labels=content.records)
        targets = {label: LabelTargets(np.full(len(table.ids), np.nan)) for label in content.names}
        targets |= {label: label_targets(table, label) for label in table.labels}
    from medsiglip.probes.training import train

    groups = archive.index.instances.patient_groups(table)
    warnings += case_warnings(groups, targets)
    values = {label: known.values for label, known in targets.items()}
    try:
        trained = train(table.vectors, values, groups.names, space=space)
    except ModelError as error:
        raise ModelError(error.code, " ".join([str(error), *columnless_warnings(targets)])) from None
    labelled = np.flatnonzero(~np.isnan(np.stack(list(values.values()))).all(axis=0))
    probe = trained.probe
    figures = probe.report.to_json()
    for entry in figures["labels"]:
        entry["unknown"] = targets[entry["label"]].unknown
    answer = ProbeAnswer(
        **{**figures, "warnings": (*warnings, *figures["warnings"])},
        name=name,
        space=space,
        level=stands_for,
        where=tuple(where),
        # Which images a score of the probe fits: a label of radiographs says nothing of a fundus.
        modalities={
            label: sorted({table.modalities[row] or "" for row in np.flatnonzero(~np.isnan(values))})
            for label, values in values.items()
        },
        **_population(archive, table, values),
    )
    summary = {key: value for key, value in answer.to_json().items() if key not in ("name", "space")}
    summary["patients"] = sorted({table.patient_keys[row] for row in labelled})
    require_space(name, probe, active_space(archive))  # the table may be of one switched to meanwhile
    keep_probe(archive, name, probe, summary)
    return answer


def _population(
    archive: OpenedArchive, table: CaseTable, values: Mapping[str, NDArray[np.float64]]
) -> dict[str, Any]:
    """The parts of the body, by headers, and the least and greatest age of the cases with each label."""
    from medsiglip.medgemma.fitting import NO_REGION
    from medsiglip.medgemma.study_regions import StudyRegions

    shown = StudyRegions(archive.index).of(list(dict.fromkeys(table.study_instance_uids)))
    regions, ages = {}, {}
    for label, known in values.items():
        rows = np.flatnonzero(~np.isnan(known))
        studies = [shown[table.study_instance_uids[row]] for row in rows]
        fitting = [one.fitting(table.level, table.ids[row]) for one, row in zip(studies, rows, strict=True)]
        regions[label] = sorted({name for one in fitting for name in one or (NO_REGION,)})
        known_ages = [one.patient_age for one in studies if one.patient_age is not None]
        if known_ages:
            ages[label] = (min(known_ages), max(known_ages))
    return {"regions": regions, "ages": ages}


def _stored_labels(archive: OpenedArchive, path: Path, content: LabelFile) -> list[str]:
    """Store the labels of a CSV, and say what is wrong with them."""
    imported = store_labels(archive, path, content)
    warnings = list(imported.warnings)
    if imported.unmatched:
        warnings.append(
            f"{len(imported.unmatched)} rows of the CSV name nothing in the archive, such as "
            f"{imported.unmatched[0]}"
        )
    return warnings
