"""A whole ingest against its slowest stage alone: scanning, rendering, encoding or committing.

One worker renders while this process encodes and commits, so that each stage alone has what it has in the
run. The encoder is the bundled model, loaded beforehand.
"""

import shutil
import sys
import time
from itertools import count
from pathlib import Path

import numpy as np

from benchmarks.measure import Outcome
from benchmarks.radiographs import NAME, write_radiographs
from medsiglip.checkpoint import open_checkpoint
from medsiglip.encoder import Encoder
from medsiglip.index.case_index import CaseIndex
from medsiglip.index.records import Space
from medsiglip.ingest.files.walk import walk
from medsiglip.ingest.header.header import Header
from medsiglip.ingest.privacy.deidentify import SecretKey
from medsiglip.ingest.run.bundle import bundle_of
from medsiglip.ingest.run.pipeline import IngestOptions, ingest
from medsiglip.ingest.scan.scan import scan_file
from medsiglip.ingest.units.plan import Unit, plan
from medsiglip.ingest.workers.pool import WorkerPool
from medsiglip.ingest.workers.rendered_unit import RenderedUnit

TITLE = "pipeline throughput ÷ its slowest stage alone"
GOAL = 0.85
GUARD = "every file is embedded and the index verifies"
FILES, SIZE = 400, 1024


def measure(folder: Path, rounds: int) -> Outcome:
    data = folder / NAME
    write_radiographs(data, FILES, SIZE)
    checkpoint = open_checkpoint("tiny")
    encoder = Encoder(checkpoint)
    number = count()

    def home() -> Path:
        return folder / f"home-{next(number)}"

    def pipeline() -> float:
        place = home()
        with CaseIndex.open(place) as index:
            begun = time.perf_counter()
            report = ingest([data], index, checkpoint, lambda: encoder, IngestOptions(workers=1))
            seconds = time.perf_counter() - begun
            if report.files_embedded != FILES or not index.verify().ok:
                raise RuntimeError(f"{FILES - report.files_embedded} files were lost")
        shutil.rmtree(place)
        return seconds

    ours: list[float] = []
    peer: list[float] = []
    for turn in range(rounds + 1):
        try:
            whole = pipeline()
        except RuntimeError as error:
            return Outcome(TITLE, GOAL, GUARD, FILES, failure=str(error))
        stages = _stages(data, home(), encoder, checkpoint.image_size)
        if turn:  # the first is the warm-up
            ours.append(whole)
            peer.append(max(stages.values()))
            alone = ", ".join(f"{name} {seconds:.2f}" for name, seconds in stages.items())
            print(f"     whole {whole:.2f} s; alone: {alone}", file=sys.stderr)
    return Outcome(TITLE, GOAL, GUARD, FILES, ours, peer)


def _stages(data: Path, home: Path, encoder: Encoder, size: int) -> dict[str, float]:
    """Seconds of each stage, one after the other."""
    key = SecretKey(bytes(32))
    seconds: dict[str, float] = {}
    begun = time.perf_counter()
    headers = [scan_file(found, key) for found in walk([data])]  # type: ignore[arg-type]
    units = plan([header for header in headers if isinstance(header, Header)])
    seconds["scan"] = time.perf_counter() - begun
    begun = time.perf_counter()
    rendered: list[tuple[Unit, RenderedUnit]] = list(WorkerPool(1, size, "medsiglip-eval").render_all(units))
    seconds["render"] = time.perf_counter() - begun
    begun = time.perf_counter()
    vectors = [encoder.encode_images(one.inputs) for one in _batches(rendered)]
    seconds["encode"] = time.perf_counter() - begun
    with CaseIndex.open(home) as index:
        index.activate(Space("ab" * 32, "medsiglip-eval", vectors[0].shape[1]))
        begun = time.perf_counter()
        for start, array in zip(range(0, len(rendered), 64), vectors, strict=True):
            bundles = [bundle_of(unit, one, {})[0] for unit, one in rendered[start : start + 64]]
            index.add([bundle for bundle in bundles if bundle is not None], array)
        seconds["commit"] = time.perf_counter() - begun
    shutil.rmtree(home)
    return seconds


def _batches(rendered: list[tuple[Unit, RenderedUnit]]) -> list[RenderedUnit]:
    return [
        RenderedUnit((), (), np.concatenate([one.inputs for _, one in rendered[start : start + 64]]))
        for start in range(0, len(rendered), 64)
    ]
