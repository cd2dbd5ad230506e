"""Linear probes of a home: training on labelled cases, listing, predicting and evaluating."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from medsiglip.answers.answer import RemovedName
from medsiglip.answers.figures import Probe as ProbeAnswer
from medsiglip.answers.figures import ProbeEvaluation, ProbeList, ProbeSummary
from medsiglip.answers.paths import shown
from medsiglip.answers.questions import ImagePrediction, Prediction, PredictionTable
from medsiglip.api.archive.evaluation import label_figures, macro_auroc
from medsiglip.api.archive.files import AnyPath, output_file, parquet_writer, require_pictures
from medsiglip.api.archive.label_targets import LabelTargets, case_warnings, label_targets
from medsiglip.api.archive.labels import read_labels, store_labels
from medsiglip.api.archive.queries import Picture, level_named, pictures_of_file, pictures_of_study
from medsiglip.api.errors import ServiceError
from medsiglip.arguments import several
from medsiglip.index.errors import excerpt
from medsiglip.names import is_name
from medsiglip.numerics import mean_vector

if TYPE_CHECKING:
    from medsiglip.api.archive.opened import OpenedArchive
    from medsiglip.index.records import ProbeRecord
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
) -> ProbeAnswer:
    """Train a linear probe on the columns of a CSV, or on stored labels, and keep it in the home.

    Rows of which a label is not known are left out of its figures, and counted. Patients that share pictures
    are in one fold.

    The labels of a CSV are stored in the archive as `label import` would, and the probe is trained on them
    alone: what was stored under the same names before has no part in it. Raises ServiceError
    `labels-unmatched` for a CSV that names nothing in the archive.
    """
    if not is_name(name):
        raise ServiceError(
            "bad-probe-name",
            f"{excerpt(name)} cannot name a probe: use letters, digits, dots, hyphens and underscores, at "
            "most 64.",
        )
    labels = several("labels", labels)
    if (labels_csv is None) == (not labels):
        raise ServiceError("one-of", "train on either the labels of a CSV or stored labels.")
    space, stands_for = _active_space(archive), level_named(level)
    archive.index.filters.check(where)
    warnings: list[str] = []
    if labels_csv is None:
        table = archive.index.table(stands_for, where)
        targets = {label: label_targets(table, label) for label in labels}
    else:
        path = Path(labels_csv)
        content = read_labels(path)
        imported = store_labels(archive, path, content)
        warnings += imported.warnings
        if imported.unmatched:
            warnings.append(
                f"{len(imported.unmatched)} rows of the CSV name nothing in the archive, such as "
                f"{imported.unmatched[0]}"
            )
        table = archive.index.table(stands_for, where, given_labels=content.records)
        targets = {label: LabelTargets(np.full(len(table.ids), np.nan)) for label in content.names}
        targets |= {label: label_targets(table, label) for label in table.labels}
    from medsiglip.probes.probe import train

    groups = archive.index.instances.patient_groups(table)
    warnings += case_warnings(groups, targets)
    values = {label: known.values for label, known in targets.items()}
    probe, report = train(table.vectors, values, groups.names, space=space)
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
    )
    summary = {key: value for key, value in answer.to_json().items() if key not in ("name", "space")}
    summary["patients"] = sorted({table.patient_keys[row] for row in labelled})
    _keep(archive, name, probe, summary)
    return answer


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


def predict_probe(
    archive: OpenedArchive, name: str, *, images: Sequence[AnyPath] = (), study: str | None = None
) -> Prediction:
    """Probabilities of a probe's labels for picture files or a study.

    What is scored is what the probe was trained on (each image, each series, or the study as a whole), and
    pooled by the maximum per label.
    """
    images = several("images", images)
    if bool(images) == (study is not None):
        raise ServiceError("one-of", "predict for either picture files or one study.")
    require_pictures(images)
    record = _stored(archive, name)
    probe = _loaded(archive, record)
    if probe.space != archive.space.name:
        raise _other_space(name, probe.space, archive.space.name)
    level = record.summary["level"]
    if study is not None:
        scored = _predicted(probe, pictures_of_study(archive, study), level)
        return Prediction(name=name, space=probe.space, study_instance_uid=study, **scored)
    results = [_predicted(probe, pictures_of_file(archive, path), level) for path in images]
    if len(results) == 1:
        return Prediction(name=name, space=probe.space, **results[0])
    return Prediction(name=name, space=probe.space, results=tuple(ImagePrediction(**one) for one in results))


def predict_all(
    archive: OpenedArchive, name: str, *, out: AnyPath | None = None, where: Sequence[str] = ()
) -> PredictionTable:
    """Probabilities of every row at the probe's level: in the answer or, given `out`, in a Parquet file with
    one column `probability` of label to number.
    """
    record = _stored(archive, name)
    probe = _loaded(archive, record)
    if probe.space != _active_space(archive):
        raise _other_space(name, probe.space, _active_space(archive))
    path = None if out is None else output_file(out)
    table = archive.index.table(level_named(record.summary["level"]), where)
    probability = probe.predict_probability(table.vectors) if table.ids else np.empty((0, len(probe.labels)))
    columns: dict[str, Any] = {
        "image_id": table.image_ids.tolist(),
        f"{table.level}_id" if table.level == "image" else f"{table.level}_instance_uid": list(table.ids),
        "study_instance_uid": list(table.study_instance_uids),
        "patient_key": list(table.patient_keys),
        "path": [None if path is None else shown(path) for path in table.paths],
        "probability": [dict(zip(probe.labels, row, strict=True)) for row in probability.tolist()],
    }
    if table.level == "image":
        columns["image_id"] = [int(one) for one in columns["image_id"]]
    if path is None:
        names = list(columns)
        rows = [dict(zip(names, values, strict=True)) for values in zip(*columns.values(), strict=True)]
        return PredictionTable(name=name, space=probe.space, level=table.level, predictions=tuple(rows))
    _write_parquet(path, columns)
    return PredictionTable(
        name=name, space=probe.space, level=table.level, rows=len(table.ids), path=str(path)
    )


def evaluate_probe(archive: OpenedArchive, name: str, *, where: Sequence[str] = ()) -> ProbeEvaluation:
    """AUROC per label on labelled cases of patients that the probe was not trained on. Those who share a
    picture with such a patient are left out, too.
    """
    record = _stored(archive, name)
    probe = _loaded(archive, record)
    if probe.space != _active_space(archive):
        raise _other_space(name, probe.space, _active_space(archive))
    table = archive.index.table(level_named(record.summary["level"]), where)
    groups = archive.index.instances.patient_groups(table)
    trained = set(record.summary["patients"])
    seen = set(archive.index.instances.groups_of_patients(trained).values())
    unseen = np.array([group not in seen for group in groups.names], dtype=bool)
    rows = []
    known = [label for label in probe.labels if label in table.labels]
    targets = {label: label_targets(table, label) for label in known}
    if not known:
        raise ServiceError(
            "no-labels", f"no case here carries a label of probe {name}: import labels, or widen --where."
        )
    for label in known:
        values = np.where(unseen, targets[label].values, np.nan)
        scores = probe.predict_probability(table.vectors)[:, probe.labels.index(label)]
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
        patients_left_out=len({table.patient_keys[row] for row in np.flatnonzero(~unseen)}),
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


def _other_space(name: str, probe_space: str, space: str) -> ServiceError:
    return ServiceError(
        "space-mismatch",
        f"probe {name} was trained in space {probe_space}, and this archive's vectors are in {space}: "
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
