"""`python -m benchmarks.search.large_index ROWS DIMENSION`: a large index built, saved, opened and asked.

Each stage is a process of its own, so that its peak of memory is its own: the most resident bytes, among them
the pages of mapped files that the system may drop at any time, and the most that it may not drop. Vectors are
made chunk by chunk; answers are compared with a comparison of every row in float32 for some queries. Figures
go to `benchmarks/results/<machine>-large.json`.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.results_file import RESULTS, machine_facts
from benchmarks.search.streamed_vectors import StreamedVectors

K, QUERIES, COMPARED = 10, 40, 4
STAGES = ("build", "open")
EVERY_SECONDS = 0.02


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.search.large_index")
    parser.add_argument("rows", type=int)
    parser.add_argument("dimension", type=int)
    parser.add_argument("--kind", default="bounded", help="a name in KINDS [bounded]")
    parser.add_argument("--stage", choices=STAGES, help=argparse.SUPPRESS)
    parser.add_argument("--file", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    vectors = StreamedVectors(given.rows, given.dimension)
    if given.stage is not None:
        stage = _build if given.stage == "build" else _open
        print(json.dumps(_with_peaks(lambda: stage(vectors, given.kind, given.file))))
        return
    figures: dict[str, Any] = {"vectors_gib": round(given.rows * given.dimension * 4 / 2**30, 2)}
    with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
        for name in STAGES:
            command = [
                sys.executable,
                "-m",
                "benchmarks.search.large_index",
                str(given.rows),
                str(given.dimension),
            ]
            command += ["--kind", given.kind, "--stage", name, "--file", str(Path(folder) / "index.vectors")]
            figures[name] = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
            print(name, json.dumps(figures[name], indent=2), flush=True)
    figures["load_average"] = round(os.getloadavg()[1], 1)
    _save(f"{given.kind} {given.rows} x {given.dimension}", figures)


def _build(vectors: StreamedVectors, kind: str, file: Path) -> dict[str, Any]:
    from medsiglip.index.search.kinds.index_kinds import KINDS

    index = KINDS[kind].new(vectors.dimension, vectors.texts(200))
    made = seconds = 0.0
    for start in range(0, vectors.count, vectors.chunk):
        begun = time.perf_counter()
        rows = vectors.rows(start)
        made += time.perf_counter() - begun
        begun = time.perf_counter()
        index.add(np.arange(start, start + len(rows)), rows)
        seconds += time.perf_counter() - begun
    begun = time.perf_counter()
    with file.open("wb") as stream:
        KINDS[kind].write(index, stream)
        os.fsync(stream.fileno())
    return {
        "seconds": round(seconds, 1),
        "seconds_to_save": round(time.perf_counter() - begun, 1),
        "seconds_to_make_vectors": round(made, 1),
        "spec": index.spec,
        "file_gib": round(file.stat().st_size / 2**30, 2),
    }


def _open(vectors: StreamedVectors, kind: str, file: Path) -> dict[str, Any]:
    """The first answer from a file none of whose pages is in memory, and then single queries and a batch."""
    from medsiglip.index.search.kinds.index_kinds import KINDS

    images, texts = vectors.images(QUERIES // 2), vectors.texts(QUERIES // 2, seed=9)
    queries = np.stack([images, texts], axis=1).reshape(QUERIES, -1)
    with file.open("rb") as stream:
        if hasattr(os, "posix_fadvise"):
            os.fsync(stream.fileno())
            os.posix_fadvise(stream.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    begun = time.perf_counter()
    index = KINDS[kind].read(file, vectors.dimension)
    opened = time.perf_counter()
    if index is None:
        raise SystemExit("the file is not read")
    first = index.search(queries[:1], K)
    answered = time.perf_counter()
    exactly: list[Any] = []
    found = {"seconds_to_open": opened - begun, "seconds_to_first_answer": answered - begun}
    for name, exact in (("exact", True), ("approximate", False)):
        times, answers = [], []
        for query in queries:
            begun = time.perf_counter()
            answers.append(index.search(query[None], K, exact=exact))
            times.append(time.perf_counter() - begun)
        found[f"{name}_single_ms"] = float(np.median(times)) * 1e3
        exactly = answers if exact else exactly
        found[f"{name}_recall"] = _recall(answers, exactly)
        if exact:
            found["proven"] = float(np.mean([one.how[0] == "proven" for one in answers]))
    begun = time.perf_counter()
    index.search(queries, K)
    found[f"batch_of_{QUERIES}_ms"] = (time.perf_counter() - begun) * 1e3
    peak = _peaks()
    found["right"] = _right(index, queries[:COMPARED], [one.ids[0] for one in exactly[:COMPARED]])
    assert first.ids.shape == (1, K)
    return {name: round(value, 4) for name, value in found.items()} | peak


def _recall(answers: list[Any], exact: list[Any]) -> float:
    return float(np.mean([np.isin(a.ids, e.ids).mean() for a, e in zip(answers, exact, strict=True)]))


def _right(index: Any, queries: np.ndarray, expected: list[np.ndarray]) -> bool:
    """Whether these ids are those of the best products of float32 of every row."""
    best = [(np.empty(0, np.float32), np.empty(0, np.int64)) for _ in queries]
    for start in range(0, len(index.ids), 65_536):
        ids = index.ids[start : start + 65_536]
        products = index.rows(ids) @ queries.T
        for number, column in enumerate(products.T):
            scores, named = np.concatenate([best[number][0], column]), np.concatenate([best[number][1], ids])
            order = np.argsort(-scores, kind="stable")[:K]
            best[number] = scores[order], named[order]
    return all(set(one[1].tolist()) == set(ids.tolist()) for one, ids in zip(best, expected, strict=True))


_PEAKS = {"resident": 0, "anonymous": 0}


def _with_peaks(stage: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    done = threading.Event()

    def watch() -> None:
        while not done.wait(EVERY_SECONDS):
            _note()

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    found = stage()
    done.set()
    watcher.join()
    return _peaks() | found


def _note() -> None:
    status = Path("/proc/self/status").read_text("ascii")
    for name, field in (("resident", "VmRSS:"), ("anonymous", "RssAnon:")):
        _PEAKS[name] = max(_PEAKS[name], int(status.split(field)[1].split()[0]) << 10)


def _peaks() -> dict[str, Any]:
    return {f"peak_{name}_gib": round(nbytes / 2**30, 3) for name, nbytes in _PEAKS.items()}


def _save(name: str, figures: dict[str, Any]) -> None:
    facts = machine_facts()
    slug = "-".join(str(facts["processor"]).lower().split())
    path = RESULTS / f"{slug}-{facts['cores']}-cores-large.json"
    content = json.loads(path.read_text("utf-8")) if path.exists() else {}
    content = {"machine": facts, "indexes": content.get("indexes", {}) | {name: figures}}
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
