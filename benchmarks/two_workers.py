"""A whole ingest with two worker processes against one, on the same files.

The encoder is arithmetic that costs next to nothing, so that decoding and rendering are what is measured; the
start of the workers, the scan and the commits are part of both sides.
"""

import hashlib
import shutil
from dataclasses import dataclass
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from benchmarks.measure import Outcome, alternate
from benchmarks.radiographs import NAME, write_radiographs
from medsiglip.index.case_index import CaseIndex
from medsiglip.ingest.run.pipeline import IngestOptions, ingest

TITLE = "ingest with 2 workers ÷ 1, images/s"
GOAL = 1.6
GUARD = "the same vectors, byte for byte, for the same instances"
FILES, SIZE, MODEL_SIZE = 960, 1024, 448


@dataclass(frozen=True)
class Checkpoint:
    """What an ingest needs of a checkpoint."""

    name: str = "cells"
    hash: str = "ce" * 32
    dimension: int = 48
    image_size: int = MODEL_SIZE


class Cells:
    """The mean of each of 4 x 4 cells and channels, of every seventh pixel, as a unit vector."""

    def encode_images(self, images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """Images uint8 [n, 448, 448, 3] -> float32 [n, 48]."""
        thin = images[:, ::7, ::7].reshape(len(images), 4, 16, 4, 16, 3)
        vectors = thin.mean(axis=(2, 4), dtype=np.float32).reshape(len(images), 48) + 1
        unit: npt.NDArray[np.float32] = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        return unit


def measure(folder: Path, rounds: int) -> Outcome:
    write_radiographs(folder / NAME, FILES, SIZE)
    number = count()
    digests: dict[int, set[str]] = {1: set(), 2: set()}

    def run(workers: int) -> None:
        home = folder / f"home-{next(number)}"
        digests[workers].add(_ingest(folder / NAME, home, workers))
        shutil.rmtree(home)

    times = alternate(partial(run, 2), partial(run, 1), rounds)
    if len(digests[1] | digests[2]) != 1:
        return Outcome(TITLE, GOAL, GUARD, FILES, failure="the indexes differ")
    return Outcome(TITLE, GOAL, GUARD, FILES, *times)


def _ingest(data: Path, home: Path, workers: int) -> str:
    """A digest of all vectors with the UIDs they stand for."""
    with CaseIndex.open(home) as index:
        report = ingest([data], index, cast(Any, Checkpoint()), Cells, IngestOptions(workers=workers))
        assert report.files_embedded == FILES, report.quarantined[:1]
        table = index.table()
        named = {
            index.get(int(i)).sop_instance_uid: v for i, v in zip(table.image_ids, table.vectors, strict=True)
        }
    return hashlib.sha256(b"".join(uid.encode() + named[uid].tobytes() for uid in sorted(named))).hexdigest()
