"""A shard written, with its checksum, against `numpy.save`; both are on disk when they return."""

import os
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from benchmarks.measure import Outcome, alternate
from medsiglip.index.vectors import ShardFolder

TITLE = "numpy.save ÷ a shard written as Parquet with its checksum, seconds, 65,536 x 1152 of float32, fsync"
GOAL = 0.7
GUARD = "pyarrow reads the bytes that were given"
ROWS, DIMENSION, NAME = 65_536, 1152, "0123-0"


def measure(folder: Path, rounds: int) -> Outcome:
    ids, vectors = np.arange(ROWS), random_vectors()
    shards = ShardFolder(folder, "space")

    def ours() -> None:
        shards.file(NAME).unlink(missing_ok=True)
        shards.write(NAME, ids, vectors, "float32")

    def peer() -> None:
        (folder / "peer.npy").unlink(missing_ok=True)
        save(folder / "peer.npy", vectors)

    times = alternate(ours, peer, rounds)
    table = pq.read_table(shards.file(NAME))
    embedding = table["embedding"].combine_chunks().flatten().to_numpy()
    if not (np.array_equal(embedding.view(np.uint32), vectors.reshape(-1).view(np.uint32))):
        return Outcome(TITLE, GOAL, GUARD, ROWS, failure="other bytes")
    if table["image_id"].to_pylist() != ids.tolist():
        return Outcome(TITLE, GOAL, GUARD, ROWS, failure="other ids")
    return Outcome(TITLE, GOAL, GUARD, ROWS, *times)


def save(path: Path, vectors: NDArray[np.float32]) -> None:
    """`numpy.save`, on disk when it returns, as a shard is."""
    with path.open("wb") as stream:
        np.save(stream, vectors)
        stream.flush()
        os.fsync(stream.fileno())
    folder = os.open(path.parent, os.O_RDONLY)
    os.fsync(folder)
    os.close(folder)


def random_vectors() -> NDArray[np.float32]:
    """float32 [65536, 1152] of unit length."""
    vectors = np.random.default_rng(1).standard_normal((ROWS, DIMENSION), np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors
