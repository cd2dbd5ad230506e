"""How much memory an ingest takes, all its processes together, against a limit.

The command line runs as its users run it, with the bundled model and a worker for each core. Resident sizes
are added up process by process, so pages that several share (libraries, model inputs on their way) count
several times.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

from benchmarks.measure import Outcome, medsiglip

LIMIT_BYTES = 2 << 30
GOAL = 1.0
GUARD = "every file is accounted for and embedded, and the index verifies"
EVERY_SECONDS = 0.05
_ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def measure_ingest(title: str, data: Path, home: Path, files: int, images: int) -> Outcome:
    """2 GiB ÷ the most that an ingest of `data` takes: so many files, which give so many images."""
    begun = time.perf_counter()
    peak, report = _ingest(data, home)
    print(f"     {peak / 2**20:.0f} MiB at most, {time.perf_counter() - begun:.0f} s", file=sys.stderr)
    done = (report["files"], report["files_embedded"], report["images"])
    if done != (files, files, images):
        failure = f"files, files embedded and images are {done}"
        return Outcome(title, GOAL, GUARD, files, failure=failure, unit="bytes")
    verified = json.loads(subprocess.run(medsiglip(home, "index", "verify"), capture_output=True).stdout)
    if not verified["ok"] or verified["images"] != images:
        return Outcome(title, GOAL, GUARD, files, failure="the index does not verify", unit="bytes")
    return Outcome(title, GOAL, GUARD, files, [peak], [LIMIT_BYTES], unit="bytes")


def _ingest(data: Path, home: Path) -> tuple[int, dict[str, Any]]:
    environment = {name: value for name, value in os.environ.items() if name not in _ONE_THREAD}
    with tempfile.TemporaryFile() as answer:
        process = psutil.Popen(
            medsiglip(home, "ingest", str(data)), stdout=answer, stderr=subprocess.DEVNULL, env=environment
        )
        peak = 0
        while process.poll() is None:
            peak = max(peak, _resident(process))
            time.sleep(EVERY_SECONDS)
        answer.seek(0)
        return peak, json.load(answer)


def _resident(process: psutil.Process) -> int:
    """Resident bytes of a process and all below it."""
    total = 0
    with suppress(psutil.NoSuchProcess):
        for one in (process, *process.children(recursive=True)):
            with suppress(psutil.NoSuchProcess):
                total += one.memory_info().rss
    return total
