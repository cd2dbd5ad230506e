"""`python -m benchmarks [NAME...]`: measure the ratios, print a table and store the results.

A name is that of a module here, or the id of its ratio. Without names all ratios of time are measured; the
two of memory take minutes and gigabytes of disk. Exit code 1 when a guard does not hold.
"""

import argparse
import os
import sys
import tempfile
from importlib import import_module
from pathlib import Path

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
    "served_batches": "A14",
    "shared_passes": "A15",
    "pipeline": "A21",
    "second_ingest": "A22",
    "application_import": "A23",
    "search_over_http": "H1",
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
    outcomes: dict[str, Outcome] = {}
    for name in names:
        module, key = import_module(f"benchmarks.{name}"), _ALL[name]
        with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
            outcomes[key] = module.measure(Path(folder), arguments.rounds)
        print(_line(key, outcomes[key]), flush=True)
    measured = {key: outcome for key, outcome in outcomes.items() if outcome.skipped is None}
    print(f"written: {os.path.relpath(save(measured, facts))}")
    return 1 if any(outcome.failure for outcome in outcomes.values()) else 0


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
