"""`python -m benchmarks.gpu`: the contract of the index kinds on a GPU, then B1, B2, B4, B5 and B6, stored.

It takes less than four minutes and no network. What does not fit into that time is said to be left out. On a
machine without a GPU the same code runs on the processor at a small size, and nothing is stored. Exit code 1
when a test fails, a guard does not hold or something could not be measured.
"""

import argparse
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from benchmarks.gpu.limits import Machine
from benchmarks.measure import Outcome
from benchmarks.results_file import machine_facts, save

ROOT = Path(__file__).parents[2]
TESTS = "tests/index/search/kinds/gpu"
# Seconds from the start after which nothing new is begun, and after which the tests are ended.
_LAST_BEGINNING, _TESTS_END = 190.0, 100.0
_ROUNDS = 5

Measured = Iterator[tuple[str, Callable[[], Outcome]]]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__)
    parser.add_argument("--no-tests", action="store_true", help="measure only")
    arguments = parser.parse_args()
    begun = time.monotonic()
    machine, facts = _machine()
    if machine.large:
        print(f"on {facts['processor']}", flush=True)
    else:
        print(
            "NO GPU: this runs on the processor, at a small size. No figure is one of a GPU, none is stored."
        )
    passed = arguments.no_tests or _tests_pass(machine)
    held = [_measured(key, run, machine, facts, begun) for key, run in _parts(machine)]
    print(f"{time.monotonic() - begun:.0f} s", flush=True)
    if not machine.large:
        print("NO GPU: the GPU path itself was not run.")
    return 0 if passed and all(held) else 1


def _machine() -> tuple[Machine, dict[str, Any]]:
    import torch

    from medsiglip.index.search.kinds.gpu.device import find_device

    facts = machine_facts()
    device, reason = find_device()
    if device is None or not torch.cuda.is_available():
        print(f"no GPU for the index: {reason or 'but torch sees none'}", flush=True)
        return Machine(torch.device("cpu"), False), facts
    facts["processor"] = f"{torch.cuda.get_device_name(0)}, {facts['processor']}"
    facts["gpu_memory_gib"] = round(torch.cuda.get_device_properties(0).total_memory / 2**30, 1)
    return Machine(torch.device("cuda"), True), facts


def _tests_pass(machine: Machine) -> bool:
    """The contract tests, on the GPU alone where there is one."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--no-header", TESTS]
    if machine.large:
        command += ["-k", "cuda or (home_answers and sqlite)"]
    try:
        done = subprocess.run(command, cwd=ROOT, timeout=_TESTS_END, check=False)
    except subprocess.TimeoutExpired:
        print(f"the tests took more than {_TESTS_END:.0f} s and were ended", flush=True)
        return False
    return done.returncode == 0


def _parts(machine: Machine) -> Measured:
    """Ids and how each is measured; what several share is made when the first is asked for."""
    from benchmarks.gpu.index_search import IndexRates

    index = _once(lambda: IndexRates(machine, _ROUNDS))
    yield "B5", lambda: index().alone()
    yield "B6", lambda: index().in_batches()
    yield "", lambda: _told(index())
    with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
        encoder = _once(lambda: _encoder(Path(folder), machine))
        yield "B1", lambda: encoder().in_batches()
        yield "B4", lambda: encoder().alone()
        yield "B2", lambda: encoder().against_transformers()


def _once(make: Callable[[], Any]) -> Callable[[], Any]:
    held: list[Any] = []

    def get() -> Any:
        if not held:
            held.append(make())
        return held[0]

    return get


def _encoder(folder: Path, machine: Machine) -> Any:
    from benchmarks.gpu.encoder_rate import EncoderRates, write_model

    return EncoderRates(write_model(folder / "checkpoint", machine), machine, _ROUNDS)


def _told(index: Any) -> Outcome:
    one, many = index.device_seconds()
    words = f"of that, the device alone: {1e3 * one:.2f} ms for one query, {1e3 * many:.2f} ms for the batch"
    return Outcome("B5, B6", 1.0, "", 1, skipped=words)


def _measured(
    key: str, run: Callable[[], Outcome], machine: Machine, facts: dict[str, Any], begun: float
) -> bool:
    """Measure one ratio, print it, and store it if it is one of a GPU; False where something is wrong."""
    if time.monotonic() - begun > _LAST_BEGINNING:
        print(f"{key:>4}  left out: no time remains", flush=True)
        return False
    try:
        outcome = run()
    except Exception as error:
        traceback.print_exc()
        print(f"{key:>4}  not measured: {type(error).__name__}: {error}", flush=True)
        return False
    if outcome.skipped is not None:
        print(f"      {outcome.skipped}", flush=True)
        return True
    if outcome.failure is not None or outcome.ratio is None:
        print(f"{key:>4}  guard does not hold: {outcome.failure}. {outcome.title}", flush=True)
    elif machine.large:
        verdict = "met" if outcome.ratio >= outcome.goal else "not met"
        print(f"{key:>4}  {outcome.ratio:6.3f}  (goal {outcome.goal:.3g}: {verdict})  {outcome.title}")
    else:
        print(f"{key:>4}  ran on the processor, its guard holds. {outcome.title}", flush=True)
    if machine.large:
        save({key: outcome}, facts)
    return outcome.failure is None


if __name__ == "__main__":
    sys.exit(main())
