"""What `index info` and `index tune` say: counts of a home, and how its vectors are searched."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class FaissInfo:
    """The kind of vector index, the number of its vectors, and its device."""

    spec: str
    ntotal: int
    device: str


@dataclass(frozen=True, slots=True)
class MeasuredRecall:
    """The mean part of the exact `k` nearest that approximate answers held, on `images` and on `texts` held
    out (None where there were none), so many `queries` in all among so many `rows`, and when that was, in
    UTC.
    """

    images: float
    texts: float | None
    k: int
    queries: int
    rows: int
    measured_at: str

    @property
    def least(self) -> float:
        """The recall on the sort of queries that it is lower on."""
        return self.images if self.texts is None else min(self.images, self.texts)


@dataclass(frozen=True, slots=True)
class MemoryInfo:
    """Bytes of short codes and of vectors in memory, and of both that are mapped from files."""

    codes: int
    vectors: int
    mapped: int


@dataclass(frozen=True, slots=True)
class AnswerInfo:
    """Queries at the level of images that this process answered since it loaded the vectors: `given` in all,
    of these `proven` exact by bounds and `approximate`; the others were compared with every row.
    """

    given: int
    proven: int
    approximate: int


@dataclass(frozen=True, slots=True)
class SearchInfo:
    """How vectors are searched: the `kind`, and why it is the one; `recall` of approximate answers, None
    where all are exact.
    """

    kind: str
    why: str
    device: str
    memory: MemoryInfo
    recall: MeasuredRecall | None
    answers: AnswerInfo


@dataclass(frozen=True, slots=True)
class EngineInfo:
    """The vector engine of a home: its name and address, how many rows it has at each level (None while it
    cannot be used, or was not asked), how many changes it has not been told of, and the code of the `problem`
    for which it cannot be used.
    """

    name: str
    images: int | None
    series: int | None
    studies: int | None
    waiting: int
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class IndexInfo:
    """Counts of the home; `vectors` and `faiss.ntotal` are the live images of the active space. `search` is
    None before there is a space, and `engine` where vectors lie in memory.
    """

    space: str | None
    model: str | None
    studies: int
    series: int
    instances: int
    images: int
    vectors: int
    patients: int
    files: dict[str, int]
    shards: int
    faiss: FaissInfo
    search: SearchInfo | None = None
    engine: EngineInfo | None = None


@dataclass(frozen=True, slots=True)
class TuningTrial:
    """A way to search that was tried on vectors of the home: its `kind` and `spec`, how many `candidates` it
    ranks (None: as many as a proof needs), its recall, the milliseconds of one query, and the bytes of its
    codes beside the vectors.
    """

    kind: str
    spec: str
    candidates: int | None
    recall: MeasuredRecall
    milliseconds: float
    code_bytes: int
