"""`python -m benchmarks [NAME...]`: measure the ratios, print a table and store the results.

A name is that of a module here, or the id of its ratio. Without names all ratios of time are measured; the
two of memory take minutes and gigabytes of disk. Each is stored as soon as it is measured. Exit code 1 when a
guard does not hold or a ratio could not be measured.
"""

import argparse
import os
import sys
import tempfile
import traceback
from importlib import import_module
from pathlib import Path
from typing import Any

# Both sides are compared on one thread each; the libraries read these when they load.
for _variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_variable, "1")

from benchmarks.measure import Outcome  # noqa: E402
from benchmarks.results_file import machine_facts, save  # noqa: E402

# The ids are the keys of the results files, so that old and new results compare.
RATIOS = {
    "ingest_rate": "A1",
    "two_workers": "A2",
    "orthanc": "A3",
    "header_scan": "A4",
    "decode": "A5",
    "encoder.matrix_rate": "A6",
    "encoder.transformers_peer": "A7",
    "search.batch_search": "A8",
    "search.single_search": "A9",
    "search.approximate_search": "A9Q",
    "search.hnsw_search": "A10",
    "search.hnsw_build": "A10B",
    "search.scann_single": "A10S",
    "search.scann_batch": "A10SB",
    "search.filtered_search": "A11",
    "search.every_selectivity": "A11S",
    "search.search_with_metadata": "A12",
    "storage.bulk_inserts": "A13",
    "storage.shard_write": "A20",
    "storage.shard_read": "A20R",
    "served_batches": "A14",
    "shared_passes": "A15",
    "probes.probe_fit": "A17",
    "probes.probe_grid": "A18",
    "probes.zero_shot_scan": "A24",
    "pipeline": "A21",
    "second_ingest": "A22",
    "application_import": "A23",
    "received": "A25",
    "storage.writers": "A26",
    "search.search_over_http": "H1",
    "search.cases_over_http": "H2",
}
MEMORY = {"small_files_memory": "M1", "large_slide_memory": "M2"}
_ALL = {**RATIOS, **MEMORY}
_BY_ID = {key: name for name, key in _ALL.items()}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure ratios against peers.")
    known = f"of {', '.join(_ALL)}, or the id of one, such as A4; none means all but the two of memory"
    parser.add_argument("names", nargs="*", metavar="NAME", help=known)
    parser.add_argument("--rounds", type=int, default=5, help="rounds of each ratio, at least 5 [5]")
    arguments = parser.parse_args()
    names = list(dict.fromkeys(_BY_ID.get(name.upper(), name) for name in arguments.names)) or list(RATIOS)
    unknown = [name for name in names if name not in _ALL]
    if unknown or arguments.rounds < 5:
        parser.error(f"no benchmark {unknown[0]}" if unknown else "--rounds must be at least 5")
    facts = machine_facts()
    print(f"{facts['processor']}, {facts['cores']} cores, {facts['memory_gib']} GiB", flush=True)
    all_hold = True
    for name in names:
        all_hold = _measured(name, arguments.rounds, facts) and all_hold
    return 0 if all_hold else 1


def _measured(name: str, rounds: int, facts: dict[str, Any]) -> bool:
    """Measure one ratio and store it at once; False if its guard does not hold, or if it ended in an error,
    which leaves the ratios before and after it alone.
    """
    key = _ALL[name]
    try:
        with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
            outcome: Outcome = import_module(f"benchmarks.{name}").measure(Path(folder), rounds)
    except Exception as error:
        traceback.print_exc()
        print(f"{key:>4}  not measured: {type(error).__name__}: {error}. {name}", flush=True)
        return False
    print(_line(key, outcome), flush=True)
    if outcome.skipped is None and outcome.stored:
        print(f"      written: {os.path.relpath(save({key: outcome}, facts))}", flush=True)
    return outcome.failure is None


def _line(key: str, outcome: Outcome) -> str:
    if outcome.skipped is not None:
        return f"{key:>4}  skipped: {outcome.skipped}. {outcome.title}"
    if outcome.ratio is None or outcome.spread is None:
        return f"{key:>4}  guard does not hold: {outcome.failure}. {outcome.title}"
    low, high = outcome.spread
    verdict = "met" if outcome.ratio >= outcome.goal else "not met"
    figures = f"{outcome.ratio:6.2f}  (rounds {low:.2f} to {high:.2f}; goal {outcome.goal:g}: {verdict})"
    return f"{key:>4}  {figures}  {outcome.title}"


if __name__ == "__main__":
    sys.exit(main())
