"""`python -m benchmarks.search.engines ROWS DIMENSION`: the same searches on Milvus and embedded.

Each side is a process of its own, and Milvus's server another, whose peaks of memory are theirs. Vectors are
made chunk by chunk, pictures and texts ask in turn, and the answers of both are compared with those of a
comparison of every row. Milvus has sealed all segments and built their graphs before it is asked. Figures go
to `benchmarks/results/<machine>-engines.json`; a million of 1152 takes 15 GB of memory and 20 GB of disk.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.results_file import RESULTS, machine_facts
from benchmarks.search.clustered_vectors import Vectors
from benchmarks.search.streamed_vectors import StreamedVectors
from tests.index.engines.milvus_server import BUILT_BY, MilvusServer, find_server

K, QUERIES, BATCH, CLIENTS = 10, 200, 200, 8
SIDES = ("embedded", "milvus")
WAIT_S = 4 * 3600.0
Found = list[np.ndarray]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.search.engines")
    parser.add_argument("rows", type=int)
    parser.add_argument("dimension", type=int, nargs="?", default=1152)
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    parser.add_argument("--url", help=argparse.SUPPRESS)
    given = parser.parse_args()
    vectors = StreamedVectors(given.rows, given.dimension)
    if given.side is not None:
        side = _embedded(vectors) if given.side == "embedded" else _milvus(vectors, given.url)
        print(json.dumps(side | {"peak_gib": _peak_gib(os.getpid())}))
        return
    programs = find_server()
    if programs is None:
        parser.error(f"no Milvus server was built: {BUILT_BY}")
    figures: dict[str, Any] = {"vectors_gib": round(given.rows * given.dimension * 4 / 2**30, 2)}
    best = _best(vectors)
    for name in SIDES:
        with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
            server = MilvusServer(programs, Path(folder), quick=False)
            try:
                if name == "milvus":
                    server.start()
                    figures["milvus_gib_before"] = _peak_gib(server.pid)
                side = _run(given.rows, given.dimension, name, server.url if name == "milvus" else "")
                if name == "milvus":
                    side["server_peak_gib"] = _peak_gib(server.pid)
                    side["server_disk_gib"] = _disk_gib(Path(folder))
            finally:
                server.kill()
        for kind, ids in side.pop("ids").items():
            shares = [np.isin(one, wanted).mean() for one, wanted in zip(ids, best, strict=True)]
            side[f"{kind}_recall"] = round(float(np.mean(shares)), 4)
        figures[name] = side
        print(name, json.dumps(side, indent=2), flush=True)
    figures["load_average"] = round(os.getloadavg()[1], 1)
    _save(f"{given.rows} x {given.dimension}", figures)


def _run(rows: int, dimension: int, side: str, url: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.search.engines", str(rows), str(dimension)]
    done = subprocess.run([*command, "--side", side, "--url", url], check=True, stdout=subprocess.PIPE)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _queries(vectors: StreamedVectors) -> Vectors:
    images, texts = vectors.images(QUERIES // 2), vectors.texts(QUERIES // 2, seed=9)
    return np.stack([images, texts], axis=1).reshape(QUERIES, -1)


def _best(vectors: StreamedVectors) -> Found:
    """The ids of the ten nearest of each query, by comparison of every row."""
    queries = _queries(vectors)
    scores = np.empty((QUERIES, 0), np.float32)
    ids = np.empty((QUERIES, 0), np.int64)
    for start in range(0, vectors.count, vectors.chunk):
        products = queries @ vectors.rows(start).T
        numbers = np.broadcast_to(np.arange(start, start + products.shape[1]) + 1, products.shape)
        scores, ids = np.concatenate([scores, products], axis=1), np.concatenate([ids, numbers], axis=1)
        order = np.argsort(-scores, axis=1, kind="stable")[:, :K]
        scores, ids = np.take_along_axis(scores, order, 1), np.take_along_axis(ids, order, 1)
    return list(ids)


def _embedded(vectors: StreamedVectors) -> dict[str, Any]:
    from medsiglip.index.search.kinds.index_kinds import KINDS

    index = KINDS["bounded"].new(vectors.dimension, vectors.texts(200))
    seconds = _fill(vectors, index.add)

    def ask(exact: bool) -> Callable[[Vectors], Found]:
        return lambda queries: list(index.search(queries, K, exact=exact).ids)

    queries = _queries(vectors)
    approximate, exact = _asked(ask(False), queries, "approximate"), _asked(ask(True), queries, "exact")
    ids = approximate.pop("ids") | exact.pop("ids")
    return {"build_seconds": seconds, "spec": index.spec} | approximate | exact | {"ids": ids}


def _milvus(vectors: StreamedVectors, url: str) -> dict[str, Any]:
    from medsiglip.index.engines.engine import FIELDS, Collection, VectorRows
    from medsiglip.index.engines.milvus.milvus_engine import MilvusEngine

    engine = MilvusEngine(url, "benchmark")
    collection = Collection(1, "image", vectors.dimension)

    def add(ids: np.ndarray, rows: Vectors) -> None:
        fields = {
            name: [1 if kind == "whole" else "CT" if kind == "text" else 60.0] * len(ids)
            for name, kind in FIELDS["image"].items()
        }
        engine.put(collection, VectorRows(ids, rows, fields))

    put = _fill(vectors, add, at_once=2_000)
    begun = time.perf_counter()
    engine.flush()
    shown = time.perf_counter() - begun
    assert engine.count(collection) == vectors.count
    begun = time.perf_counter()
    _seal(url, vectors.count)
    indexed = time.perf_counter() - begun
    queries = _queries(vectors)

    def ask(some: Vectors) -> Found:
        return list(engine.nearest(collection, some, K).ids)

    found = _asked(ask, queries, "approximate")
    with ThreadPoolExecutor(CLIENTS) as threads:
        begun = time.perf_counter()
        list(threads.map(lambda row: ask(queries[row : row + 1]), range(QUERIES)))
        found[f"approximate_qps_of_{CLIENTS}_clients"] = round(QUERIES / (time.perf_counter() - begun), 1)
    engine.close()
    seconds = {"put_seconds": put, "flush_seconds": round(shown, 2), "index_seconds": round(indexed, 1)}
    return (
        seconds
        | {"build_seconds": round(put + shown + indexed, 1), "spec": "Milvus 2.3.5, HNSW M 16"}
        | found
    )


def _seal(url: str, rows: int) -> None:
    """Have Milvus write all it has to segments, and wait until their graphs are built and loaded."""
    from pymilvus import MilvusClient

    client = MilvusClient(uri=url.replace("milvus://", "http://"), dedicated=True)
    [name] = client.list_collections()
    client.flush(name)
    deadline = time.monotonic() + WAIT_S
    while time.monotonic() < deadline:
        state = client.describe_index(name, "vector")
        if not state["pending_index_rows"] and state["indexed_rows"] >= rows:
            break
        time.sleep(1)
    client.refresh_load(name)
    time.sleep(15)  # until query nodes have exchanged growing segments for sealed ones
    client.close()


def _fill(vectors: StreamedVectors, add: Callable[[Any, Vectors], object], at_once: int = 50_000) -> float:
    """Add all vectors under ids from 1; seconds without those that the vectors took."""
    seconds = 0.0
    for start in range(0, vectors.count, vectors.chunk):
        chunk = vectors.rows(start)
        begun = time.perf_counter()
        for low in range(0, len(chunk), at_once):
            few = chunk[low : low + at_once]
            add(np.arange(start + low, start + low + len(few)) + 1, few)
        seconds += time.perf_counter() - begun
    return round(seconds, 1)


def _asked(ask: Callable[[Vectors], Found], queries: Vectors, kind: str) -> dict[str, Any]:
    for row in range(20):
        ask(queries[row : row + 1])
    times, found = [], []
    for row in range(QUERIES):
        begun = time.perf_counter()
        found += ask(queries[row : row + 1])
        times.append(time.perf_counter() - begun)
    batches = []
    for _ in range(3):
        begun = time.perf_counter()
        ask(queries[:BATCH])
        batches.append(time.perf_counter() - begun)
    single = float(np.median(times))
    return {
        f"{kind}_single_ms": round(single * 1e3, 2),
        f"{kind}_single_qps": round(1 / single, 1),
        f"{kind}_batch_of_{BATCH}_qps": round(BATCH / float(np.median(batches)), 1),
        "ids": {kind: [one.tolist() for one in found]},
    }


def _peak_gib(process: int) -> float:
    status = Path(f"/proc/{process}/status").read_text("ascii")
    return round(int(status.split("VmHWM:")[1].split()[0]) / 2**20, 2)


def _disk_gib(folder: Path) -> float:
    return round(sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 2**30, 2)


def _save(name: str, figures: dict[str, Any]) -> None:
    facts = machine_facts()
    slug = "-".join(str(facts["processor"]).lower().split())
    path = RESULTS / f"{slug}-{facts['cores']}-cores-engines.json"
    content = json.loads(path.read_text("utf-8")) if path.exists() else {}
    content = {"machine": facts, "searches": content.get("searches", {}) | {name: figures}}
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
