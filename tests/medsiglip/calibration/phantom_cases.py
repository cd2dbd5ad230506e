"""Phantom studies as the tiny model sees them, for the campaign on calibrated scores."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from medsiglip.ingest.child_process import process_pool
from medsiglip.phantoms.catalogue import StudyPlan, plan_studies, synthesise_study
from medsiglip.phantoms.checkpoint.tuning_set import series_inputs

_SIZE = 128
_MOST_IMAGES = 24
"""Of a volume, evenly spread."""


class Drawn(NamedTuple):
    """A study: its patient and sex, its modality, each finding that it could show and whether it does, and
    its pictures uint8 [n, S, S, 3].
    """

    patient: str
    sex: str
    modality: str
    labels: dict[str, int]
    pictures: NDArray[np.uint8]


class Encoded(NamedTuple):
    """A study with the vectors, float32 [n, d], of its pictures."""

    patient: str
    sex: str
    modality: str
    labels: dict[str, int]
    vectors: NDArray[np.float32]


def draw(plan: StudyPlan) -> Drawn:
    """A planned study."""
    study = synthesise_study(plan)
    series = study.series[0]
    chosen = np.unique(np.linspace(0, len(series.pixels) - 1, _MOST_IMAGES).round().astype(int)).tolist()
    pictures = series_inputs(series, _SIZE, chosen)
    return Drawn(study.patient_id, study.patient_sex, series.modality, dict(study.labels), pictures)


def encoded_studies(
    seed: int, anatomies: tuple[str, ...], count: int, kept_in: Path | None = None
) -> list[Encoded]:
    """So many studies of a seed, as an earlier run left them in `kept_in`, if it did."""
    from medsiglip.checkpoint import open_checkpoint
    from medsiglip.encoder import Encoder

    file = None if kept_in is None else kept_in / f"{seed}-{len(anatomies)}-{count}.pickle"
    if file is not None and file.exists():
        kept: list[Encoded] = pickle.loads(file.read_bytes())
        return kept
    encoder = Encoder(open_checkpoint("tiny"), device="cpu")
    with process_pool(os.cpu_count() or 1, _use_one_thread) as pool:
        drawn = pool.map(draw, plan_studies(count, seed, anatomies), chunksize=4)
        found = [Encoded(*one[:-1], encoder.encode_images(one.pictures)) for one in drawn]
    if file is not None:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(pickle.dumps(found))
    return found


def _use_one_thread() -> None:
    os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"))
