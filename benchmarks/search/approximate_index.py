"""Our index with approximate answers, and rounds of single queries in which it and a peer take turns."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import faiss
import numpy as np

from benchmarks.search.clustered_vectors import DIMENSION, ClusteredVectors, Vectors
from medsiglip.index.search.kinds.quick import QuickIndex
from medsiglip.index.vectors import Ids

SINGLES = 40
"""Queries of a round: every second is a text."""


@dataclass(frozen=True, slots=True)
class Recall:
    """The mean part of the exact neighbours that answers hold, on pictures and on texts."""

    images: float
    texts: float

    def holds(self, least: float) -> bool:
        """Whether both are at least so much."""
        return min(self.images, self.texts) >= least

    def __str__(self) -> str:
        return f"{self.images:.4f} on pictures and {self.texts:.4f} on texts"


@dataclass(slots=True)
class Answers:
    """The ids of each side's answers, one array [k] for each query in order."""

    ours: list[Ids] = field(default_factory=list)
    peer: list[Ids] = field(default_factory=list)

    def recall_of_ours(self, exact: list[Ids]) -> Recall:
        """Of our answers, by the exact ones."""
        return recall(self.ours, exact)

    def recall_of_peer(self, exact: list[Ids]) -> Recall:
        """Of the peer's answers, by the exact ones."""
        return recall(self.peer, exact)


def recall(found: list[Ids], exact: list[Ids]) -> Recall:
    """Of answers to queries of which every second is a text."""
    parts = [len(np.intersect1d(*pair)) / len(pair[1]) for pair in zip(found, exact, strict=True)]
    return Recall(float(np.mean(parts[::2])), float(np.mean(parts[1::2])))


def queries_of(vectors: ClusteredVectors) -> Vectors:
    """Pictures and texts by turns."""
    both = np.stack([vectors.image_queries, vectors.text_queries], axis=1)
    return both.reshape(-1, DIMENSION)


def approximate_index(vectors: ClusteredVectors) -> QuickIndex:
    """Our index with the rows under the ids 0, 1, ...; one thread."""
    faiss.omp_set_num_threads(1)
    index = QuickIndex(DIMENSION, vectors.prompts)
    index.add(np.arange(len(vectors.rows)), vectors.rows)
    return index


def alternating(
    queries: Vectors,
    ours: Callable[[Vectors], Ids],
    peer: Callable[[Vectors], Ids],
    answers: Answers,
) -> tuple[list[float], list[float]]:
    """Seconds of each round but the first for both sides, and all answers; which side begins alternates."""
    sides, kept = (ours, peer), (answers.ours, answers.peer)
    times: tuple[list[float], list[float]] = ([], [])
    for number, start in enumerate(range(0, len(queries), SINGLES)):
        few = queries[start : start + SINGLES]
        for side in (0, 1) if number % 2 == 0 else (1, 0):
            begun = time.perf_counter()
            found = [sides[side](query[None])[0] for query in few]
            times[side].append(time.perf_counter() - begun)
            kept[side].extend(found)
    return times[0][1:], times[1][1:]
