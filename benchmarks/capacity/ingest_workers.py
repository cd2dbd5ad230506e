"""`python -m benchmarks.capacity.ingest_workers [FILES]`: ingests with 1, 2 and 4 workers beside the model.

The demands that the model is given are measured apart from the runs that it predicts: rendering in this
process alone, the parent by its processor time in an ingest of other files, the start by an ingest of few
files. Figures go to `benchmarks/results/<machine>-workers.json`, with the load of the machine meanwhile.
"""

import argparse
import json
import os
import re
import shutil
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any, cast

from benchmarks.capacity.model import IngestDemands, ingest_seconds
from benchmarks.radiographs import write_radiographs
from benchmarks.results_file import RESULTS, machine_facts
from benchmarks.two_workers import MODEL_SIZE, SIZE, Cells, Checkpoint
from medsiglip.index.case_index import CaseIndex
from medsiglip.ingest.files.walk import FoundFile
from medsiglip.ingest.header.header import Header
from medsiglip.ingest.privacy.deidentify import SecretKey
from medsiglip.ingest.run.pipeline import IngestOptions, ingest
from medsiglip.ingest.scan.scan import scan_file
from medsiglip.ingest.units.plan import plan
from medsiglip.ingest.workers.rendered_unit import render_unit

WORKERS, ROUNDS, FEW = (1, 2, 4), 3, 40


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.capacity.ingest_workers")
    parser.add_argument("files", type=int, nargs="?", default=960)
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="ingests of each kind [3]")
    given = parser.parse_args()
    facts = machine_facts()
    with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
        found = measure(Path(folder), given.files, given.rounds)
    slug = re.sub(r"[^a-z0-9]+", "-", f"{facts['processor']} {facts['cores']} cores".lower()).strip("-")
    path = RESULTS / f"{slug}-workers.json"
    path.write_text(json.dumps({"machine": facts, **found}, indent=2) + "\n", encoding="utf-8")
    for run in found["runs"]:
        print(f"{run['workers']} workers: {run['seconds']:.2f} s, predicted {run['predicted_seconds']:.2f} s")
    print(f"load {found['load_before']} to {found['load_after']}; written: {path.name}")


def measure(folder: Path, files: int, rounds: int) -> dict[str, Any]:
    """The demands, and for each number of workers the median of so many ingests and the prediction."""
    before, cores = os.getloadavg()[0], len(os.sched_getaffinity(0))
    write_radiographs(folder / "measured", files, SIZE)
    write_radiographs(folder / "other", files, SIZE, seed=1)
    write_radiographs(folder / "few", FEW, SIZE, seed=2)
    worker = _render_seconds(folder / "other", min(files, 48))
    parent, catalogue = _parent_seconds(folder, files)
    runs = []
    for workers in WORKERS:
        few = statistics.median(_ingest(folder, "few", FEW, workers)[0] for _ in range(rounds))
        work = ingest_seconds(FEW, workers, cores, IngestDemands(0.0, worker, parent))
        demands = IngestDemands(max(few - work, 0.0), worker, parent)
        seconds = [_ingest(folder, "measured", files, workers)[0] for _ in range(rounds)]
        runs.append(
            {
                "workers": workers,
                "seconds": round(statistics.median(seconds), 3),
                "spread": [round(min(seconds), 3), round(max(seconds), 3)],
                "start_seconds": round(demands.start_s, 3),
                "predicted_seconds": round(ingest_seconds(files, workers, cores, demands), 3),
            }
        )
    return {
        "files": files,
        "rounds": rounds,
        "worker_seconds_per_image": round(worker, 6),
        "parent_seconds_per_image": round(parent, 6),
        "catalogue_bytes_per_image": round(catalogue, 1),
        "load_before": round(before, 2),
        "load_after": round(os.getloadavg()[0], 2),
        "runs": runs,
    }


def _render_seconds(data: Path, files: int) -> float:
    """Processor seconds of one image from its file to a model input, in this process alone."""
    key = SecretKey.open(data.parent)
    units = []
    for path in sorted(data.rglob("*.dcm"))[:files]:
        stat = path.stat()
        header = scan_file(FoundFile(str(path), stat.st_size, stat.st_mtime_ns), key)
        assert isinstance(header, Header)
        units.append(plan([header])[0])
    for unit in units[:4]:
        render_unit(unit, MODEL_SIZE, "medsiglip-eval")
    begun = time.process_time()
    for unit in units:
        render_unit(unit, MODEL_SIZE, "medsiglip-eval")
    return (time.process_time() - begun) / len(units)


def _parent_seconds(folder: Path, files: int) -> tuple[float, float]:
    """Processor seconds of the parent for one image and bytes of catalogue, without what few files take."""
    _ingest(folder, "few", FEW, 1)  # what is loaded once
    _, few, least = _ingest(folder, "few", FEW, 1)
    _, many, size = _ingest(folder, "other", files, 1)
    more = max(files - FEW, 1)
    return max(many - few, 0.0) / more, (size - least) / more


def _ingest(folder: Path, name: str, files: int, workers: int) -> tuple[float, float, int]:
    """Seconds of an ingest into a new home, processor seconds of this process, and bytes of the catalogue."""
    home = folder / "home"
    begun, used = time.perf_counter(), time.process_time()
    with CaseIndex.open(home) as index:
        options = IngestOptions(workers=workers)
        report = ingest([folder / name], index, cast(Any, Checkpoint()), Cells, options)
        assert report.files_embedded == files, report.quarantined[:1]
    seconds, processor = time.perf_counter() - begun, time.process_time() - used
    size = (home / "catalog.db").stat().st_size
    shutil.rmtree(home)
    return seconds, processor, size


if __name__ == "__main__":
    main()
