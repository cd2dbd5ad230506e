"""Writes phantom studies with their labels to a folder, in several processes."""

from __future__ import annotations

import csv
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from medsiglip.phantoms.catalogue import StudyPlan


@dataclass(frozen=True, slots=True)
class WrittenStudy:
    """A study on disk: its `anatomy`, and `labels` with 0 or 1 for each finding of that anatomy."""

    study_instance_uid: str
    anatomy: str
    labels: dict[str, int]
    files: int


def write_phantoms(
    folder: Path,
    count: int,
    seed: int,
    on_progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> tuple[WrittenStudy, ...]:
    """Write `count` studies below `folder`/dicom and their labels to `folder`/labels.csv.

    The studies depend on `seed` alone. `on_progress` gets the number of studies written and their total.
    """
    from medsiglip.ingest.child_process import process_pool
    from medsiglip.phantoms.catalogue import plan_studies

    root = folder / "dicom"
    root.mkdir(parents=True, exist_ok=True)
    tasks = [(plan, root) for plan in plan_studies(count, seed)]
    written: list[WrittenStudy] = []
    with process_pool(os.cpu_count() or 1, _use_one_thread) as pool:
        for study in pool.map(_write, tasks, chunksize=4):
            written.append(study)
            on_progress(len(written), count)
    _write_labels(folder / "labels.csv", written)
    return tuple(written)


def _use_one_thread() -> None:
    """Before numpy is loaded: the processes share the cores, so that further threads would only wait."""
    os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"))


def _write(task: tuple[StudyPlan, Path]) -> WrittenStudy:
    from medsiglip.phantoms.catalogue import synthesise_study
    from medsiglip.phantoms.dicom import write_study

    plan, root = task
    study = synthesise_study(plan)
    files = write_study(study, root)
    return WrittenStudy(study.study_instance_uid, plan.anatomy, dict(study.labels), len(files))


def _write_labels(path: Path, studies: list[WrittenStudy]) -> None:
    names = sorted({name for study in studies for name in study.labels})
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(["study_instance_uid", *(f"label:{name}" for name in names)])
        for study in studies:
            writer.writerow([study.study_instance_uid, *(study.labels.get(name, "") for name in names)])
