"""ScaNN as a peer, which is no dependency: an interpreter that has it is named by `SCANN_PYTHON`."""

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from benchmarks.measure import Outcome, on_one_core
from benchmarks.search.approximate_index import Answers, approximate_index, queries_of
from benchmarks.search.clustered_vectors import Vectors, clustered_vectors
from benchmarks.search.single_search import ROWS, K, flat_index
from medsiglip.index.vectors import Ids

INTERPRETER = "SCANN_PYTHON"
GUARD = "our recall at least that of ScaNN or .999, on pictures and on texts"
_ENOUGH = 0.999


class Scann:
    """A child process that answers with ScaNN: asymmetric hashing, 200 rows reordered."""

    def __init__(self, child: subprocess.Popen[str], folder: Path) -> None:
        self._child, self._folder = child, folder

    def ask(self, way: str, low: int, high: int) -> tuple[float, Ids]:
        """Seconds, and the ids of the answers to queries `low` to `high`; `way` is `single` or `batch`."""
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        print(way, low, high, file=self._child.stdin, flush=True)
        seconds = float(self._child.stdout.readline())
        ids: Ids = np.load(self._folder / "ids.npy")
        return seconds, ids


@contextmanager
def scann(interpreter: str, folder: Path, rows: Vectors, queries: Vectors) -> Iterator[Scann]:
    """ScaNN over rows, in a process that ends with the block."""
    np.save(folder / "rows.npy", rows)
    np.save(folder / "queries.npy", queries)
    script = Path(__file__).with_name("scann_child.py")
    command = [interpreter, str(script), str(folder)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, text=True) as child:
        assert child.stdout is not None
        if child.stdout.readline().strip() != "ready":
            raise RuntimeError(f"{interpreter} has no ScaNN that works")
        yield Scann(child, folder)
        assert child.stdin is not None
        child.stdin.close()


def measured(folder: Path, rounds: int, way: str, items: int, title: str, goal: float) -> Outcome:
    """The ratio for `single` queries or a `batch`, `items` in a round, every second a text."""
    interpreter = os.environ.get(INTERPRETER)
    if not interpreter:
        return Outcome(title, goal, GUARD, items, skipped=f"{INTERPRETER} names no interpreter with ScaNN")
    vectors = clustered_vectors(ROWS, (rounds + 1) * items // 2)
    ours, queries, answers = approximate_index(vectors), queries_of(vectors), Answers()
    times: tuple[list[float], list[float]] = ([], [])
    with on_one_core(), scann(interpreter, folder, vectors.rows, queries) as peer:
        for number in range(rounds + 1):
            low, high = number * items, (number + 1) * items
            begun = time.perf_counter()
            if way == "batch":
                found = ours.search(queries[low:high], K, exact=False).ids
            else:
                found = np.stack(
                    [ours.search(query[None], K, exact=False).ids[0] for query in queries[low:high]]
                )
            times[0].append(time.perf_counter() - begun)
            seconds, theirs = peer.ask(way, low, high)
            times[1].append(seconds)
            answers.ours.extend(found)
            answers.peer.extend(theirs)
    exact = list(flat_index(vectors).search(queries, K)[1])
    own, their = answers.recall_of_ours(exact), answers.recall_of_peer(exact)
    print(f"      recall: ours {own}; ScaNN {their}", flush=True)
    if own.images < min(their.images, _ENOUGH) or own.texts < min(their.texts, _ENOUGH):
        return Outcome(title, goal, GUARD, items, failure=f"ours has {own}, ScaNN {their}")
    return Outcome(title, goal, GUARD, items, times[0][1:], times[1][1:])
