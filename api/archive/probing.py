"""Linear probes of a home: training on labelled cases, listing, predicting and evaluating."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from medsiglip.answers.answer import RemovedName
from medsiglip.answers.figures import Probe as ProbeAnswer
from medsiglip.answers.figures import ProbeEvaluation, ProbeList, ProbeSummary
from medsiglip.answers.paths import shown
from medsiglip.answers.questions import ImagePrediction, Prediction, PredictionTable
from medsiglip.api.archive.evaluation import label_figures, macro_auroc
from medsiglip.api.archive.files import AnyPath, output_file, parquet_writer, require_pictures
from medsiglip.api.archive.fitting_sources import probe_warnings_of_study
from medsiglip.api.archive.label_targets import (
    LabelTargets,
    case_warnings,
    columnless_warnings,
    label_targets,
)
from medsiglip.api.archive.labels import LabelFile, read_labels, store_labels
from medsiglip.api.archive.opened import in_one_space
from medsiglip.api.archive.queries import Picture, level_named, pictures_of_file, pictures_of_study
from medsiglip.api.errors import ServiceError
from medsiglip.arguments import several
from medsiglip.errors import ModelError
from medsiglip.index.errors import excerpt
from medsiglip.names import is_name
from medsiglip.numerics import mean_vector

if TYPE_CHECKING:
    from medsiglip.api.archive.opened import OpenedArchive
    from medsiglip.index.records import CaseTable, ProbeRecord
    from medsiglip.probes.probe import Probe

Kind = TypeVar("Kind", ProbeAnswer, ProbeSummary)


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
    _require_name(name)
    labels = several("labels", labels)
    if (labels_csv is None) == (not labels):
        raise ServiceError("one-of", "train on either the labels of a CSV or stored labels.")
    space, stands_for = _active_space(archive), level_named(level)
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
    from medsiglip.probes.probe import train

    groups = archive.index.instances.patient_groups(table)
    warnings += case_warnings(groups, targets)
    values = {label: known.values for label, known in targets.items()}
    try:
        probe, report = train(table.vectors, values, groups.names, space=space)
    except ModelError as error:
        raise ModelError(error.code, " ".join([str(error), *columnless_warnings(targets)])) from None
    labelled = np.flatnonzero(~np.isnan(np.stack(list(values.values()))).all(axis=0))
    figures = report.to_json()
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
    _require_space(name, probe, _active_space(archive))  # the table may be of one switched to meanwhile
    _keep(archive, name, probe, summary)
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


def _require_name(name: str) -> None:
    if not is_name(name):
        raise ServiceError(
            "bad-probe-name",
            f"{excerpt(name)} cannot name a probe: use letters, digits, dots, hyphens and underscores, at "
            "most 64.",
        )


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


def _keep(archive: OpenedArchive, name: str, probe: Probe, summary: dict[str, Any]) -> None:
    """Write a probe's file, then its row, in place of a former probe of that name."""
    from medsiglip.index.records import ProbeRecord
    from medsiglip.index.vectors import make_folder

    token = archive.index.announce("probes/*{token}*")
    record = ProbeRecord(name, probe.space, f"probes/{name}~{token}.npz", summary)
    make_folder(archive.home / "probes")
    probe.save(archive.home / record.file)
    archive.index.probes.put(record, token)


def list_probes(archive: OpenedArchive) -> ProbeList:
    """The probes of the home."""
    rows = []
    for record in archive.index.probes.listed():
        labels = tuple(label["label"] for label in record.summary["labels"])
        rows.append(_described(ProbeSummary, record, labels=labels))
    return ProbeList(probes=tuple(rows))


def show_probe(archive: OpenedArchive, name: str) -> ProbeAnswer:
    """One probe with its out-of-fold figures."""
    return _described(ProbeAnswer, _stored(archive, name))


def delete_probe(archive: OpenedArchive, name: str) -> RemovedName:
    """Remove a probe for good."""
    record = _stored(archive, name)
    archive.index.probes.remove(name)
    return RemovedName(name=record.name, removed=True)


@in_one_space
def predict_probe(
    archive: OpenedArchive, name: str, *, images: Sequence[AnyPath] = (), study: str | None = None
) -> Prediction:
    """Probabilities of a probe's labels for picture files or a study.

    What is scored is what the probe was trained on (each image, each series, or the study as a whole), and
    pooled by the maximum per label. `trained_on` tells of patients that the probe was trained on, or who
    share a picture with one.
    """
    images = several("images", images)
    if bool(images) == (study is not None):
        raise ServiceError("one-of", "predict for either picture files or one study.")
    require_pictures(images)
    record = _stored(archive, name)
    probe = _loaded(archive, record)
    _require_space(name, probe, archive.space.name)
    asked = [study] if study is not None else images
    results, of_whom = [], []
    for one in asked:
        pictures = pictures_of_study(archive, study) if study is not None else pictures_of_file(archive, one)
        results.append(_predicted(probe, pictures, record.summary["level"]))
        of_whom.append(_Sources.of(pictures))
    trained = _trained_on(archive, record, of_whom)
    shared: dict[str, Any] = {
        "name": name,
        "space": probe.space,
        "warnings": _trained_warnings(name, trained),
    }
    if study is not None:
        shared["warnings"] = (*shared["warnings"], *probe_warnings_of_study(archive, record, study))
        shared["study_instance_uid"] = study
    if len(results) == 1:
        return Prediction(**shared, **results[0], trained_on=trained[0])
    each = zip(results, trained, strict=True)
    return Prediction(**shared, results=tuple(ImagePrediction(**one, trained_on=seen) for one, seen in each))


@dataclass(frozen=True, slots=True)
class _Sources:
    """Whose pictures were scored, as far as it is known, and their pixel hashes."""

    patients: frozenset[str]
    pixel_hashes: frozenset[str]

    @classmethod
    def of(cls, pictures: Sequence[Picture]) -> _Sources:
        """Those of the pictures of one file or study."""
        patients = frozenset(one.patient_key for one in pictures if one.patient_key is not None)
        return cls(patients, frozenset(one.pixel_hash for one in pictures))


def _trained_on(archive: OpenedArchive, record: ProbeRecord, sources: Sequence[_Sources]) -> list[bool]:
    """Whether the probe has seen the patient of each source, or one who has a picture of it."""
    instances = archive.index.instances
    holders = instances.holders_of_pictures(frozenset[str]().union(*(one.pixel_hashes for one in sources)))
    keys = [one.patients.union(*(holders[picture] for picture in one.pixel_hashes)) for one in sources]
    seen = instances.seen_patients(frozenset[str]().union(*keys), [record])[record.name]
    return [not seen.isdisjoint(theirs) for theirs in keys]


def _trained_warnings(name: str, trained: Sequence[bool]) -> tuple[str, ...]:
    """What to say where a probe scores what it was trained on."""
    if not any(trained):
        return ()
    if len(trained) == 1:
        return (
            f"The probe {name} was trained on this patient's pictures, or on identical ones, and has learned "
            "this answer: how good it is on new patients, its out-of-fold figures say.",
        )
    return (
        f"{sum(trained)} of {len(trained)} are of patients that the probe {name} was trained on, or who "
        "share a picture with one: these answers, marked `trained_on`, it has learned.",
    )


@in_one_space
def predict_all(
    archive: OpenedArchive, name: str, *, out: AnyPath | None = None, where: Sequence[str] = ()
) -> PredictionTable:
    """Probabilities of every row at the probe's level: in the answer or, given `out`, in a Parquet file with
    one column `probability` of label to number. `trained_on` is as in `predict_probe`.
    """
    record = _stored(archive, name)
    probe = _loaded(archive, record)
    _require_space(name, probe, _active_space(archive))
    path = None if out is None else output_file(out)
    table = archive.index.table(level_named(record.summary["level"]), where)
    probability = probe.predict_probability(table.vectors) if table.ids else np.empty((0, len(probe.labels)))
    seen = archive.index.instances.seen_patients(table.patient_keys, [record])[name]
    trained = [key in seen for key in table.patient_keys]
    columns: dict[str, Any] = {
        "image_id": table.image_ids.tolist(),
        f"{table.level}_id" if table.level == "image" else f"{table.level}_instance_uid": list(table.ids),
        "study_instance_uid": list(table.study_instance_uids),
        "patient_key": list(table.patient_keys),
        "path": [None if path is None else shown(path) for path in table.paths],
        "probability": [dict(zip(probe.labels, row, strict=True)) for row in probability.tolist()],
        "trained_on": trained,
    }
    shared: dict[str, Any] = {"name": name, "space": probe.space, "level": table.level}
    shared["warnings"] = _trained_warnings(name, trained)
    if table.level == "image":
        columns["image_id"] = [int(one) for one in columns["image_id"]]
    if path is None:
        names = list(columns)
        rows = [dict(zip(names, values, strict=True)) for values in zip(*columns.values(), strict=True)]
        return PredictionTable(**shared, predictions=tuple(rows))
    _write_parquet(path, columns)
    return PredictionTable(**shared, rows=len(table.ids), path=str(path))


@in_one_space
def evaluate_probe(archive: OpenedArchive, name: str, *, where: Sequence[str] = ()) -> ProbeEvaluation:
    """AUROC per label on labelled cases of patients that the probe was not trained on. Those who share a
    picture with such a patient are left out, too.
    """
    record = _stored(archive, name)
    probe = _loaded(archive, record)
    _require_space(name, probe, _active_space(archive))
    table = archive.index.table(level_named(record.summary["level"]), where)
    groups = archive.index.instances.patient_groups(table)
    seen = archive.index.instances.seen_patients(table.patient_keys, [record])[name]
    unseen = np.array([key not in seen for key in table.patient_keys], dtype=bool)
    rows = []
    known = [label for label in probe.labels if label in table.labels]
    targets = {label: label_targets(table, label) for label in known}
    if not known:
        raise ServiceError(
            "no-labels", f"no case here carries a label of probe {name}: import labels, or widen --where."
        )
    probability = probe.predict_probability(table.vectors)
    for label in known:
        values = np.where(unseen, targets[label].values, np.nan)
        scores = probability[:, probe.labels.index(label)]
        unknown = int(np.isnan(targets[label].values[unseen]).sum())
        rows.append(label_figures(label, unknown, values, scores, groups.names))
    if not any(row.n for row in rows):
        raise ServiceError(
            "no-unseen-cases",
            f"probe {name} was trained on every labelled patient here: `probe show {name}` has its "
            "out-of-fold figures; label patients it has not seen.",
        )
    return ProbeEvaluation(
        name=name,
        space=probe.space,
        level=table.level,
        patients_left_out=len(seen),
        labels=tuple(rows),
        macro_auroc=macro_auroc(rows),
        warnings=tuple(case_warnings(groups, targets)),
    )


def _predicted(probe: Probe, pictures: Sequence[Picture], level: str) -> dict[str, Any]:
    """Fields of a prediction: probabilities of what stands at `level`, pooled by the maximum per label."""
    groups: dict[str, list[Picture]] = {}
    for number, picture in enumerate(pictures):
        name = {"image": str(number), "series": picture.series_instance_uid, "study": ""}[level]
        groups.setdefault(name, []).append(picture)
    rows = list(groups.values())
    vectors = np.stack([mean_vector([picture.vector for picture in row]) for row in rows])
    probability = probe.predict_probability(vectors)
    driving = rows[int(probability.max(axis=1).argmax())][0]
    pooled = dict(zip(probe.labels, probability.max(axis=0).tolist(), strict=True))
    return {"image": driving.named, "images": len(pictures), "probability": pooled}


def _described(kind: type[Kind], record: ProbeRecord, **others: Any) -> Kind:
    return kind.model_validate({**record.summary, "name": record.name, "space": record.space, **others})


def _stored(archive: OpenedArchive, name: str) -> ProbeRecord:
    for record in archive.index.probes.listed():
        if record.name == name:
            return record
    known = ", ".join(record.name for record in archive.index.probes.listed()) or "none"
    raise ServiceError("unknown-probe", f"there is no probe {name!r} in this home: the probes are {known}.")


def _loaded(archive: OpenedArchive, record: ProbeRecord) -> Probe:
    from medsiglip.probes.probe import Probe

    return Probe.load(archive.home / record.file)


def _active_space(archive: OpenedArchive) -> str:
    return archive.searchable_space.name


def _require_space(name: str, probe: Probe, space: str) -> None:
    if probe.space != space:
        raise ServiceError(
            "space-mismatch",
            f"probe {name} was trained in space {probe.space}, and this archive's vectors are in {space}: "
            "train it again here.",
        )


def _write_parquet(path: Path, columns: dict[str, Any]) -> None:
    import pyarrow as pa

    probability = pa.array(
        [list(row.items()) for row in columns["probability"]], type=pa.map_(pa.string(), pa.float64())
    )
    table = pa.table({**columns, "probability": probability})
    with parquet_writer(path, table.schema) as writer:
        writer.write_table(table)
