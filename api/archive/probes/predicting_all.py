"""What a probe says of everything in the archive, part by part: in an answer, in a file, or stored."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from medsiglip.answers.paths import shown
from medsiglip.answers.questions import PredictionTable
from medsiglip.api.archive.files import AnyPath, output_file, parquet_writer
from medsiglip.api.archive.opened import in_one_space
from medsiglip.api.archive.probes.pooled import row_logits
from medsiglip.api.archive.probes.predicting import trained_warnings
from medsiglip.api.archive.probes.registry import active_space, loaded_probe, require_space, stored_probe
from medsiglip.numerics import Floats

if TYPE_CHECKING:
    from medsiglip.api.archive.opened import OpenedArchive
    from medsiglip.calibration.applied import Calibrations
    from medsiglip.index.records import CaseTable, Level, ProbeRecord
    from medsiglip.index.storage.predictions import Batch
    from medsiglip.probes.probe import Probe

OnProgress = Callable[[str, int, int | None], None]


@in_one_space
def predict_all(
    archive: OpenedArchive,
    name: str,
    *,
    out: AnyPath | None = None,
    store: bool = False,
    where: Sequence[str] = (),
    on_progress: OnProgress = lambda _stage, _done, _total: None,
) -> PredictionTable:
    """Scores of every row at the probe's level, study by study: in the answer or, given `out`, in a Parquet
    file with one column `probability` of label to number. `trained_on` is as in `predict_probe`.

    `store` keeps them in the archive, for filters such as `probe:NAME>0.8`, in place of those that this
    version of the probe had; with `where`, the other rows have none then. They are calibrated where every
    label of the probe has a calibration at its level, and stay so when it is calibrated again.
    """
    record = stored_probe(archive, name)
    probe = loaded_probe(archive, record)
    require_space(name, probe, active_space(archive))
    scoring = _Scoring(archive, record, probe, _calibrations(archive, record, probe))
    rows: list[dict[str, Any]] = []
    with ExitStack() as open_until_the_end:
        writer = None
        if out is not None:
            writing = parquet_writer(output_file(out), _schema(scoring.level))
            writer = open_until_the_end.enter_context(writing)

        def batches() -> Iterator[Batch]:
            for table, values, trained in scoring.parts(where):
                if writer is not None:
                    writer.write_table(_columns(table, probe.labels, values, trained))
                elif not store:
                    part = _columns(table, probe.labels, values, trained)
                    rows.extend(part.to_pylist(maps_as_pydicts="strict"))
                on_progress("scoring", scoring.rows, None)
                yield table.image_ids, values

        if store:
            stored: int | None = archive.index.predictions.replace(record, probe.labels, batches())
        else:
            stored = None
            for _ in batches():
                pass
    answer: dict[str, Any] = {"name": name, "space": probe.space, "level": scoring.level}
    answer["calibrated"] = scoring.calibrations is not None
    answer["warnings"] = (
        *trained_warnings(name, scoring.trained_on, scoring.rows),
        *archive.index.filters.warnings(where),
    )
    if stored is not None:
        answer["stored"] = stored
    if out is not None:
        answer["path"] = str(output_file(out))
    if out is not None or store:
        return PredictionTable(**answer, rows=scoring.rows)
    return PredictionTable(**answer, predictions=tuple(rows))


@dataclass(slots=True)
class _Scoring:
    """Goes through the archive with a probe, and counts `rows` and those `trained_on`."""

    archive: OpenedArchive
    record: ProbeRecord
    probe: Probe
    calibrations: Calibrations | None
    rows: int = 0
    trained_on: int = 0

    @property
    def level(self) -> Level:
        """What a row is."""
        level: Level = self.record.summary["level"]
        return level

    def parts(self, where: Sequence[str]) -> Iterator[tuple[CaseTable, Floats, list[bool]]]:
        """Rows with their probabilities [n, L], and whether the probe was trained on each."""
        instances = self.archive.index.instances
        seen = instances.seen_patients(instances.patient_keys(), [self.record])[self.record.name]
        for table in self.archive.index.table_parts(self.level, where):
            values = self._values(row_logits(self.archive, self.probe, table))
            trained = [key in seen for key in table.patient_keys]
            self.rows += len(trained)
            self.trained_on += sum(trained)
            yield table, values, trained

    def _values(self, logits: Floats) -> Floats:
        """Probabilities [n, L]; calibrated ones if every label has its calibration."""
        if self.calibrations is None:
            return self.probe.probability(logits)
        if self.calibrations.classes is not None:
            return self.calibrations.classes.probability(logits)
        each = (one[0].calibration for one in self.calibrations.own if one is not None)
        columns = [one.probability(logits[:, column]) for column, one in enumerate(each)]
        return np.stack(columns, axis=1)


def _calibrations(archive: OpenedArchive, record: ProbeRecord, probe: Probe) -> Calibrations | None:
    """The calibrations of this version of a probe at its own level, if every label has one."""
    from medsiglip.medgemma.calibrations import probe_calibrations

    kept = archive.index.calibrations.of_subject(f"probe:{record.name}")
    here = (record.space, record.summary["level"])
    stored = {one.label: one.summary for one in kept if (one.space, one.level) == here}
    found = probe_calibrations(record, probe, stored)
    is_whole = len(found.own) == len(probe.labels) and None not in found.own
    return found if found.classes is not None or is_whole else None


def _schema(level: Level) -> Any:
    import pyarrow as pa

    text = pa.string()
    series = [("series_instance_uid", text)] if level == "series" else []
    return pa.schema(
        [
            ("image_id", pa.int64()),
            *series,
            ("study_instance_uid", text),
            ("patient_key", text),
            ("path", text),
            ("probability", pa.map_(text, pa.float64())),
            ("trained_on", pa.bool_()),
        ]
    )


def _columns(table: CaseTable, labels: Sequence[str], values: Floats, trained: list[bool]) -> Any:
    """A part as a table of Arrow, by `_schema`."""
    import pyarrow as pa

    offsets = np.arange(0, values.size + 1, max(1, len(labels)), dtype=np.int32)
    keys = pa.array([*labels] * len(values), pa.string())
    probability = pa.MapArray.from_arrays(pa.array(offsets), keys, pa.array(values.ravel(), pa.float64()))
    found = {
        "image_id": pa.array(table.image_ids, pa.int64()),
        "series_instance_uid": pa.array(table.ids, pa.string()),
        "study_instance_uid": pa.array(table.study_instance_uids, pa.string()),
        "patient_key": pa.array(table.patient_keys, pa.string()),
        "path": pa.array([None if path is None else shown(path) for path in table.paths], pa.string()),
        "probability": probability,
        "trained_on": pa.array(trained, pa.bool_()),
    }
    schema = _schema(table.level)
    return pa.Table.from_arrays([found[name] for name in schema.names], schema=schema)
