"""Linear probes of a home: training on labelled cases."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from medsiglip.answers.figures import Probe as ProbeAnswer
from medsiglip.api.archive.files import AnyPath
from medsiglip.api.archive.label_targets import columnless_warnings
from medsiglip.api.archive.labels import LabelFile, read_labels, store_labels
from medsiglip.api.archive.opened import OnProgress, silent
from medsiglip.api.archive.probes.cases import TrainingCases, cases_of_file, stored_cases
from medsiglip.api.archive.probes.details import with_details
from medsiglip.api.archive.probes.plan import ProbePlan
from medsiglip.api.archive.probes.registry import active_space, keep_probe, require_name, require_space
from medsiglip.api.archive.queries import level_named
from medsiglip.api.errors import ServiceError
from medsiglip.arguments import several
from medsiglip.errors import ModelError
from medsiglip.probes.training_rows import training_rows_hash

if TYPE_CHECKING:
    from medsiglip.api.archive.opened import OpenedArchive
    from medsiglip.index.records import CaseTable
    from medsiglip.probes.training import Trained


def train_probe(
    archive: OpenedArchive,
    name: str,
    *,
    labels_csv: AnyPath | None = None,
    labels: Sequence[str] = (),
    level: str = "image",
    where: Sequence[str] = (),
    plan: ProbePlan | None = None,
    reader: str | None = None,
    on_checked: Callable[[LabelFile | None], None] = lambda _labels: None,
    on_progress: OnProgress = silent,
) -> ProbeAnswer:
    """Train a linear probe on the columns of a CSV, or on stored labels, and keep it in the home.

    Rows of which a label is not known are left out of its figures, and counted. Patients that share pictures
    are in one fold, and may not be in two parts of a split.

    The probe is trained on the labels of a CSV alone: what was stored under the same names before has no part
    in it. When it is trained, they are stored in the archive as `label import` would, for `reader`.
    `on_checked` is called with them, or None, before the training. Whatever ends it, nothing was stored:
    `on_progress` may raise, or the user press Ctrl-C. Raises ServiceError `labels-unmatched` for a CSV that
    names nothing in the archive, and others as `ProbePlan.check`, `stored_cases` and
    `medsiglip.probes.training.train` do.
    """
    require_name(name)
    labels = several("labels", labels)
    if (labels_csv is None) == (not labels):
        raise ServiceError("one-of", "train on either the labels of a CSV or stored labels.")
    plan = plan or ProbePlan()
    space, stands_for = active_space(archive), level_named(level)
    plan.check(stands_for, len(labels) or None)
    archive.index.filters.check(where)
    on_progress("reading cases", 0, None)
    content = None if labels_csv is None else read_labels(Path(labels_csv), plan.split)
    if content is None:
        cases = stored_cases(archive, stands_for, where, labels, plan.split)
    else:
        cases = cases_of_file(archive, stands_for, where, content, plan.split, Path(str(labels_csv)))
    on_checked(content)
    details = with_details(
        archive, cases, _trained(archive, cases, plan, space, on_progress), plan, on_progress
    )
    trained = details.trained
    require_space(name, trained.probe, active_space(archive))  # the table may be of one switched to meanwhile
    stored = [] if content is None else _stored_labels(archive, Path(str(labels_csv)), content, reader)
    answer = _answer(
        archive, cases, trained, plan, [*stored, *cases.warnings, *archive.index.filters.warnings(where)]
    )
    told = {
        "population": details.population,
        "label_source": "stored" if content is None else "csv",
        "trained_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    answer = answer.model_copy(update={"name": name, "where": tuple(where), **told})
    summary = {key: value for key, value in answer.to_json().items() if key not in ("name", "space")}
    keys = cases.table.patient_keys
    summary["patients"] = sorted({keys[row] for row in np.flatnonzero(cases.learned)})
    summary["suspects"] = details.suspects
    version = keep_probe(archive, name, trained.probe, summary)
    return answer.model_copy(update={"version": version, "predictions": 0})


def _trained(
    archive: OpenedArchive, cases: TrainingCases, plan: ProbePlan, space: str, on_progress: OnProgress
) -> Trained:
    from medsiglip.probes.training import TrainingOptions, train

    vectors, bags = cases.vectors(archive, plan.pooling)
    options = TrainingOptions(
        folds=plan.folds, exclusive=plan.exclusive, balanced=plan.class_weight == "balanced"
    )
    try:
        return train(
            vectors,
            cases.values,
            cases.groups.names,
            space=space,
            options=options,
            bags=bags,
            split=cases.split,
            on_progress=on_progress,
        )
    except ModelError as error:
        sentences = [str(error), *columnless_warnings(cases.targets)]
        raise ModelError(error.code, " ".join(sentences)) from None


def _answer(
    archive: OpenedArchive,
    cases: TrainingCases,
    trained: Trained,
    plan: ProbePlan,
    warnings: Sequence[str],
) -> ProbeAnswer:
    """The answer, still without a name."""
    table = cases.table
    values = cases.values
    if plan.exclusive:
        values = _of_classes({label: values[label] for label in trained.probe.labels})
    figures = trained.probe.report.to_json()
    for entry in figures["labels"]:
        entry["unknown"] = int(np.isnan(values[entry["label"]]).sum())
    learned = {label: np.where(cases.learned, known, np.nan) for label, known in values.items()}
    return ProbeAnswer(
        **{**figures, "warnings": (*warnings, *figures["warnings"])},
        name="",
        space=trained.probe.space,
        level=table.level,
        exclusive=plan.exclusive,
        pooling=plan.pooling,
        split=plan.split,
        parts=cases.parts(),
        class_weight=plan.class_weight,
        origin="trained",
        training_rows=training_rows_hash(table.ids, learned, table.vectors),
        # Which images a score of the probe fits: a label of radiographs says nothing of a fundus.
        modalities={
            label: tuple(sorted({table.modalities[row] or "" for row in np.flatnonzero(~np.isnan(known))}))
            for label, known in values.items()
        },
        **_population(archive, table, values),
    )


def _of_classes(values: Mapping[str, NDArray[np.float64]]) -> dict[str, NDArray[np.float64]]:
    """What is known of each class [n] where a row has one of them: a row of another class is a negative."""
    held = {label: known == 1.0 for label, known in values.items()}
    classified = np.any(list(held.values()), axis=0)
    return {label: np.where(classified, is_so, np.nan) for label, is_so in held.items()}


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


def _stored_labels(archive: OpenedArchive, path: Path, content: LabelFile, reader: str | None) -> list[str]:
    """Store the labels of a CSV, and say what is wrong with them."""
    imported = store_labels(archive, path, content, reader)
    warnings = list(imported.warnings)
    if imported.unmatched:
        warnings.append(
            f"{len(imported.unmatched)} rows of the CSV name nothing in the archive, such as "
            f"{imported.unmatched[0]}"
        )
    return warnings
