"""The archive and the service themselves: counts, checks, and vectors in the shape of OpenAI's embeddings."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from medsiglip.answers.answer import Answer


class SearchIndex(Answer):
    """The search structure, how many vectors it holds and on which device."""

    spec: str
    ntotal: int
    device: str


class HeldMemory(Answer):
    """Bytes of short codes and of vectors in memory, and of both that are mapped from files."""

    codes: int
    vectors: int
    mapped: int


class MeasuredRecall(Answer):
    """The part of the exact `k` nearest that approximate answers held when it was measured, on stored
    `images` and on `texts` of prompts (null where none were at hand) that the index was not fitted to.
    """

    images: float
    texts: float | None
    k: int
    queries: int
    rows: int = Field(description="vectors that were searched then")
    measured_at: str = Field(examples=["2025-01-31T09:30:00Z"])


class AnswerCounts(Answer):
    """Queries that this process answered: `given` in all, of these `proven` exact by bounds, and
    `approximate`; the others were compared with every vector.
    """

    given: int
    proven: int
    approximate: int


class SearchKind(Answer):
    """How vectors are searched, and why so; `recall` is of approximate answers, null where all are exact, or
    where they are those of a vector engine, whose recall is not measured.
    """

    kind: str
    why: str
    device: str
    memory: HeldMemory
    recall: MeasuredRecall | None
    answers: AnswerCounts


class EngineRows(Answer):
    """The vector engine: its name and address, its rows at each level (null while it cannot be used), how
    many changes it has not been told of, and the code of the `problem` for which it cannot be used.
    """

    name: str = Field(examples=["pgvector"])
    images: int | None
    series: int | None
    studies: int | None
    waiting: int
    problem: str | None = Field(None, examples=["engine-unreachable"])


class IndexCounts(Answer):
    """What the index holds; `vectors` are the live images of the active space, `files` counts by outcome."""

    space: str | None
    studies: int
    series: int
    instances: int
    images: int
    vectors: int
    patients: int
    files: dict[str, int]
    shards: int
    faiss: SearchIndex
    search: SearchKind | None = None
    engine: EngineRows | None = Field(None, description="where vectors lie; null: in memory")


class ViewerLink(Answer):
    """Another viewer of cases: its address, with `{study}` in place of a StudyInstanceUID. One that begins
    with a slash is of this service.
    """

    name: str
    url: str


class Info(Answer):
    """The service: what it encodes with and what it holds."""

    version: str
    model: str = Field(description="what `model` of POST /v1/embeddings may say")
    space: str
    profile: str
    dimension: int
    image_size: int
    demonstration: bool = Field(description="the model is for demonstrations: its answers mean nothing")
    prompt_sets: tuple[str, ...]
    index: IndexCounts
    viewers: tuple[ViewerLink, ...] = ()
    phi: str | None = Field(
        default=None,
        description="how much of what names persons it keeps: pseudonymous, keep or strict; null before its "
        "first ingest",
    )


class Backup(Answer):
    """A backup: what it holds, and what is wrong with it; after a restore also the `home` that it became."""

    folder: str
    home: str | None = None
    made_at: str
    version: str = Field(description="of medsiglip, when it was made")
    studies: int
    images: int
    files: int
    bytes: int
    problems: tuple[str, ...]
    ok: bool


class WorkerState(Answer):
    """A worker by its heartbeat: what it does, and whether it has beaten lately."""

    worker: str
    host: str
    version: str
    state: Literal["starting", "idle", "working", "waiting"] = Field(
        description="waiting: for a database or disk that is away"
    )
    job: str | None
    started_at: str
    beat_seconds_ago: float
    ok: bool


class WorkerCheck(Answer):
    """The workers of this machine; `ok` is whether one of them works or is ready to."""

    workers: tuple[WorkerState, ...]
    ok: bool


class Embedding(Answer):
    """One vector of unit length: numbers, or float32 little-endian in base64."""

    object: Literal["embedding"]
    index: int
    embedding: list[float] | str


class Usage(Answer):
    """Tokens of the texts; pictures have none. `truncated_tokens` of them were not read, because they lie
    beyond the model's context.
    """

    prompt_tokens: int
    total_tokens: int
    truncated_tokens: int = 0


class Embeddings(Answer):
    """Vectors in the order of the input."""

    object: Literal["list"]
    data: tuple[Embedding, ...]
    model: str = Field(examples=["google/medsiglip-448"])
    usage: Usage
    warnings: tuple[str, ...] = ()


class ModelCard(Answer):
    """A model in the shape of OpenAI's; `created` is when its weights were written, in seconds since 1970."""

    id: str = Field(examples=["google/medsiglip-448"])
    object: Literal["model"]
    created: int
    owned_by: str


class ModelList(Answer):
    """The models that the service encodes with: one."""

    object: Literal["list"]
    data: tuple[ModelCard, ...]


class ArchiveInfo(Answer):
    """What the archive at `home` holds, as in `IndexCounts`; a compaction adds how many vector files it
    found and left.
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
    faiss: SearchIndex
    search: SearchKind | None = Field(default=None, description="null before the first ingest")
    engine: EngineRows | None = Field(default=None, description="where vectors lie; null: in memory")
    outdated: int = Field(
        default=0,
        description="images whose pictures an earlier version drew, and this one would draw otherwise",
    )
    spaces: dict[str, int] = Field(
        default_factory=dict, description="images of each space by its name, the active one first"
    )
    home: str
    shards_before: int | None = None
    shards_after: int | None = None


class Verification(Answer):
    """Whether catalogue, vectors and search index agree, how much each holds, and what is wrong.

    Of a deep check: how many vector files agree with their checksums, how many have none on record, and how
    many vectors the snapshot on disk holds; else None.
    """

    ok: bool
    problems: tuple[str, ...]
    images: int
    vectors: int
    faiss: int
    checksums: int | None = None
    without_checksum: int | None = None
    snapshot: int | None = None


class Recovery(Answer):
    """How a home was made to fit an older catalogue: vectors `found` elsewhere, vector files `set_aside`, and
    images whose vectors are `missing`, of these `studies`.
    """

    found: int
    set_aside: int
    missing: int
    studies: tuple[str, ...]
