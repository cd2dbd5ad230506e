"""`python -m benchmarks [NAME...]`: measure the ratios, print a table and keep the results.

No name means A1 to A23 and H1; M1 and M2 set memory against a limit and take minutes and gigabytes of disk.
Exit code 1 when a guard does not hold.
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

MODULES = {
    "A1": "a01_ingest_rate",
    "A2": "a02_two_workers",
    "A3": "a03_orthanc",
    "A4": "a04_header_scan",
    "A5": "a05_decode",
    "A14": "a14_served",
    "A15": "a15_shared_passes",
    "A21": "a21_pipeline",
    "A22": "a22_second_ingest",
    "A23": "a23_application_import",
    "H1": "h01_search_over_http",
}
MEMORY_MODULES = {"M1": "m01_small_files", "M2": "m02_large_slide"}
_ALL = {**MODULES, **MEMORY_MODULES}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure ratios against peers.")
    told = f"of {', '.join(_ALL)}; none means those with an A or H"
    parser.add_argument("names", nargs="*", metavar="NAME", help=told)
    parser.add_argument("--rounds", type=int, default=5, help="rounds of each ratio, at least 5 [5]")
    arguments = parser.parse_args()
    names = [name.upper() for name in arguments.names] or list(MODULES)
    unknown = [name for name in names if name not in _ALL]
    if unknown or arguments.rounds < 5:
        parser.error(f"no benchmark {unknown[0]}" if unknown else "--rounds must be at least 5")
    facts = machine_facts()
    print(f"{facts['processor']}, {facts['cores']} cores, {facts['memory_gib']} GiB", flush=True)
    outcomes: dict[str, Outcome] = {}
    for name in names:
        with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
            outcomes[name] = import_module(f"benchmarks.{_ALL[name]}").measure(Path(folder), arguments.rounds)
        print(_line(name, outcomes[name]), flush=True)
    measured = {name: outcome for name, outcome in outcomes.items() if outcome.skipped is None}
    print(f"written: {os.path.relpath(save(measured, facts))}")
    return 1 if any(outcome.failure for outcome in outcomes.values()) else 0


def _line(name: str, outcome: Outcome) -> str:
    if outcome.skipped is not None:
        return f"{name:>4}  skipped: {outcome.skipped}. {outcome.title}"
    if outcome.ratio is None or outcome.spread is None:
        return f"{name:>4}  guard does not hold: {outcome.failure}. {outcome.title}"
    low, high = outcome.spread
    verdict = "met" if outcome.ratio >= outcome.goal else "not met"
    figures = f"{outcome.ratio:6.2f}  (rounds {low:.2f} to {high:.2f}; goal {outcome.goal:g}: {verdict})"
    return f"{name:>4}  {figures}  {outcome.title}"


if __name__ == "__main__":
    sys.exit(main())
