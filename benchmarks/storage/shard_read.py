"""A shard read against `numpy.load`: every byte of both is looked at, for ours come as they are needed."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.measure import Outcome, alternate
from benchmarks.storage.shard_write import DIMENSION, NAME, ROWS, random_vectors, save
from medsiglip.index.vectors import ShardFolder

TITLE = "numpy.load ÷ a shard read and checked, seconds until all is summed up, 65,536 x 1152 of float32"
GOAL = 0.7
GUARD = "both give the bytes that were written"


def measure(folder: Path, rounds: int) -> Outcome:
    vectors = random_vectors()
    shards = ShardFolder(folder, "space")
    shards.write(NAME, np.arange(ROWS), vectors, "float32")
    save(folder / "peer.npy", vectors)

    def ours() -> NDArray[np.float32]:
        return shards.read(NAME, DIMENSION)[1]

    def peer() -> NDArray[np.float32]:
        loaded: NDArray[np.float32] = np.load(folder / "peer.npy")
        return loaded

    for side in (ours, peer):
        if not np.array_equal(side().view(np.uint32), vectors.view(np.uint32)):
            return Outcome(TITLE, GOAL, GUARD, ROWS, failure=f"other bytes from {side.__name__}")
    del vectors
    times = alternate(lambda: ours().view(np.uint64).sum(), lambda: peer().view(np.uint64).sum(), rounds)
    return Outcome(TITLE, GOAL, GUARD, ROWS, *times)
