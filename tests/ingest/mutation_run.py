"""Ingests of damaged files as a run of the program does them, watched: what became of each file, which
workers were lost, how long and how much memory it took.
"""

from __future__ import annotations

import contextlib
import gc
import os
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from medsiglip.answers.cases import IngestReport
from medsiglip.index.case_index import CaseIndex
from medsiglip.ingest.errors import WorkerLostError
from medsiglip.ingest.run.pipeline import IngestOptions, ingest
from medsiglip.ingest.scan import scan
from medsiglip.ingest.workers import isolation, pool
from medsiglip.ingest.workers.unit_rendering import FEW_FILES
from tests.ingest.mutations import SeedFile, mutated

BATCH = 400
# Of each batch a few files, of these, need no decoder and are rendered in this process.
IN_THIS_PROCESS = (
    "syntax-0",
    "syntax-2",
    "syntax-4",
    "frames",
    "window",
    "voi-lut",
    "palette",
    "CT",
    "enhanced",
    "rgb",
)
_MIB = 1 << 20


@dataclass(slots=True)
class Watch:
    """What was seen. Times are processor seconds of this process for `scanned`, and seconds for `rendered`;
    both by file, as is the most memory that a worker held after a unit, in MiB, and the code of every worker
    lost.
    """

    files: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    scanned: dict[str, float] = field(default_factory=dict)
    rendered: dict[str, float] = field(default_factory=dict)
    memory: dict[str, float] = field(default_factory=dict)
    lost: list[tuple[str, str]] = field(default_factory=list)
    resident: list[float] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)

    def count(self, report: IngestReport) -> None:
        """Take in the report of a run, in which every file stands once."""
        rejected = [*report.skipped, *report.quarantined]
        self.files += report.files
        self.outcomes.update(r.code for r in rejected)
        self.outcomes["embedded"] += report.files_embedded
        self.outcomes["unchanged"] += report.files_unchanged
        paths = [r.path for r in rejected]
        assert len(set(paths)) == len(paths)
        assert report.files == report.files_embedded + report.files_unchanged + len(rejected)
        self.texts += [*report.warnings, *(r.reason for r in rejected)]


def run_mutations(
    seed_files: Sequence[SeedFile],
    seed: int,
    count: int,
    folder: Path,
    model: Any,
    encoder: Any,
    patch: Callable[[Any, str, Any], None],
    workers: int = 2,
    keep: Callable[[Path], None] | None = None,
) -> Watch:
    """Ingest `count` damaged files, batch by batch, each batch into a home of its own; `patch` is that of
    `pytest.MonkeyPatch`.
    """
    watch = Watch()
    _watch_scans(watch, patch)
    _watch_renderings(watch, patch)
    plain = [seed_file for seed_file in seed_files if seed_file.name.startswith(IN_THIS_PROCESS)]
    for batch, start in enumerate(range(0, count, BATCH)):
        numbers = range(start, min(start + BATCH, count))
        here = numbers[-FEW_FILES:] if len(numbers) > 2 * FEW_FILES else numbers[:0]
        for which, source in ((numbers[: len(numbers) - len(here)], seed_files), (here, plain)):
            if not which:
                continue
            files, home = folder / f"{batch}-{len(which)}", folder / "home"
            files.mkdir()
            for number in which:
                name, data = mutated(source, seed, number)
                (files / name).write_bytes(data)
            with CaseIndex.open(home) as index:
                report = ingest([files], index, model, lambda: encoder, IngestOptions(workers=workers))
                verification = index.verify()
            assert verification.ok, verification.problems
            watch.count(report)
            if keep is not None:
                keep(files)
            shutil.rmtree(files)
            shutil.rmtree(home)
        gc.collect()
        watch.resident.append(psutil.Process().memory_info().rss / _MIB)
    return watch


def _watch_scans(watch: Watch, patch: Callable[[Any, str, Any], None]) -> None:
    real = scan.scan_file

    def timed(found: Any, *arguments: Any) -> Any:
        begun = time.thread_time()
        try:
            return real(found, *arguments)
        finally:
            watch.scanned[os.path.basename(found.path)] = time.thread_time() - begun

    patch(scan, "scan_file", timed)


def _watch_renderings(watch: Watch, patch: Callable[[Any, str, Any], None]) -> None:
    real = isolation.render_or_isolate

    def watched(render: Any, unit: Any) -> Any:
        worker, begun = render.__self__, time.monotonic()
        name = os.path.basename(unit.headers[0].path)

        def noticed(part: Any) -> Any:
            try:
                try:
                    return render(part)
                except WorkerLostError as error:
                    if error.code != "decoder-timeout":
                        raise
                    # What hangs does so again; the machine may have had other things to do.
                    return render(part)
            except WorkerLostError as error:
                if len(part.headers) == 1:
                    watch.lost.append((os.path.basename(part.headers[0].path), error.code))
                raise

        rendered = real(noticed, unit)
        watch.rendered[name] = time.monotonic() - begun
        if worker.process_id is not None:
            watch.memory[name] = _peak(worker.process_id)
        return rendered

    patch(pool, "render_or_isolate", watched)


def _peak(process: int) -> float:
    """The most memory that a process held since this was last asked, in MiB, 0 where the system does not
    tell.
    """
    folder = Path(f"/proc/{process}")
    with contextlib.suppress(OSError, ValueError):
        lines = (folder / "status").read_text().splitlines()
        peak = next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
        (folder / "clear_refs").write_text("5")
        return peak / 1024
    return 0.0


def slowest(times: dict[str, float], count: int = 5) -> Iterator[tuple[str, float]]:
    """The largest of `times`, the largest first."""
    yield from sorted(times.items(), key=lambda item: -item[1])[:count]
