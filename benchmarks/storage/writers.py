"""Two ingests of one worker each into one home on PostgreSQL against one ingest of the same files.

The encoder is arithmetic that costs next to nothing, and files are small, so that commits weigh as much as
they can. The processes have imported everything before the clock starts; the start of their workers, the scan
and the commits are part of both sides. The server syncs what it commits. The load of the machine is printed.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any, cast

from benchmarks.measure import Outcome
from benchmarks.small_slices import NAME, write_small_slices
from benchmarks.two_workers import Cells, Checkpoint
from medsiglip.index.case_index import CaseIndex
from medsiglip.ingest.run.pipeline import IngestOptions, ingest
from tests.postgresql_server import PostgresqlServer, find_programs
from tests.repository import ROOT

TITLE = "ingest with 2 processes of one worker each on one PostgreSQL home ÷ 1 process, images/s"
GOAL = 1.4
GUARD = "each image once, with the same vectors, byte for byte, and the index verified"
FILES, PER_SERIES = int(os.environ.get("BENCHMARK_FILES", "4000")), 40
_SYNCED = {"fsync": "on", "full_page_writes": "on", "synchronous_commit": "on"}
_GO = "go\n"


def measure(folder: Path, rounds: int) -> Outcome:
    stored = "BENCHMARK_FILES" not in os.environ
    programs = find_programs()
    if programs is None:
        return Outcome(TITLE, GOAL, GUARD, FILES, skipped="no PostgreSQL server is installed", stored=stored)
    print(f"      load before: {_load()}", flush=True)
    write_small_slices(folder / NAME, FILES, PER_SERIES)
    halves = [folder / "halves" / half for half in "ab"]
    for number, series in enumerate(sorted((folder / NAME).iterdir())):
        half = halves[number % 2]
        half.mkdir(parents=True, exist_ok=True)
        series.rename(half / series.name)
    numbers, digests = count(), set[str]()
    with _server(programs, folder / "server") as server:

        def run(processes: int) -> float:
            home, url = folder / f"home-{next(numbers)}", server.new_database()
            seconds = _ingested(home, url, [[half] for half in halves] if processes == 2 else [halves])
            digests.add(_digest(home, url))
            server.drop(url)
            shutil.rmtree(home)
            return seconds

        times: tuple[list[float], list[float]] = ([], [])
        for round_ in range(rounds):
            for processes in (2, 1) if round_ % 2 == 0 else (1, 2):
                times[2 - processes].append(run(processes))
    print(f"      load after: {_load()}", flush=True)
    if len(digests) != 1:
        return Outcome(TITLE, GOAL, GUARD, FILES, failure="the indexes differ", stored=stored)
    return Outcome(TITLE, GOAL, GUARD, FILES, *times, stored=stored)


def _load() -> str:
    return " ".join(f"{one:.1f}" for one in os.getloadavg()) + f" on {os.cpu_count()} cores"


@contextmanager
def _server(programs: Path, folder: Path) -> Iterator[PostgresqlServer]:
    folder.mkdir()
    folder.parent.chmod(0o755)
    server = PostgresqlServer(programs, folder, _SYNCED)
    server.make()
    try:
        yield server
    finally:
        server.stop()


def _ingested(home: Path, url: str, parts: list[list[Path]]) -> float:
    """Ingest each part in a process of its own; returns the seconds from the start that they share."""
    with CaseIndex.open(home, database_url=url):
        pass  # the tables are there before anybody needs them
    words = [sys.executable, "-m", "benchmarks.storage.writers", str(home), url]
    processes = [
        subprocess.Popen(
            [*words, *map(str, part)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
        )
        for part in parts
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    begun = time.perf_counter()
    for process in processes:
        assert process.stdin is not None
        process.stdin.write(_GO)
        process.stdin.flush()
    for process in processes:
        process.communicate()
    seconds = time.perf_counter() - begun
    assert [process.returncode for process in processes] == [0] * len(parts)
    return seconds


def _digest(home: Path, url: str) -> str:
    """A digest of all vectors with the files they are of."""
    with CaseIndex.open(home, database_url=url) as index:
        assert index.verify().ok
        table = index.table()
        assert len(table.image_ids) == FILES
        named = {path or "": row.tobytes() for path, row in zip(table.paths, table.vectors, strict=True)}
    assert len(named) == FILES
    return hashlib.sha256(b"".join(path.encode() + named[path] for path in sorted(named))).hexdigest()


def _run_one(home: Path, url: str, parts: list[Path]) -> None:
    with CaseIndex.open(home, database_url=url) as index:
        print("ready", flush=True)
        assert sys.stdin.readline() == _GO
        report = ingest(parts, index, cast(Any, Checkpoint()), Cells, IngestOptions(workers=1))
    assert not report.quarantined, report.quarantined[:1]


if __name__ == "__main__":
    place, address, *folders = sys.argv[1:]
    _run_one(Path(place), address, [Path(one) for one in folders])
