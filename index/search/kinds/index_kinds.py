"""The kinds of vector index that a home can use, and which of them suits it.

To add one: write a class with the methods of `VectorSearch`, and `write` and `read` for its file, beside
`faiss_flat.py`; add a line to `KINDS`, and to `chosen_kind` when it is the one to use.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

from medsiglip.index.search.kinds.bounded import LEAST, BoundedIndex, read_bounded
from medsiglip.index.search.kinds.faiss_flat import FaissFlat
from medsiglip.index.search.kinds.gpu.choice import GPU_RECIPES, gpu_kind
from medsiglip.index.search.kinds.gpu.gpu_index import GpuIndex, new_gpu_index, read_gpu_index
from medsiglip.index.search.kinds.gpu.recipes import Recipe
from medsiglip.index.search.kinds.quick import QuickIndex, read_quick
from medsiglip.index.search.kinds.vector_search import VectorSearch
from medsiglip.index.vectors import Vectors

AUTO = "auto"


@dataclass(frozen=True, slots=True)
class IndexKind:
    """How indexes of a kind are made and kept in files; `spec` and `device` are what `index info` shows.

    `new` makes an empty index for a dimension and a sample of queries, float32 [m, d] or None. `write` writes
    an index of this kind to a stream, and `read` reads one of a dimension from a file, or returns None where
    the file is damaged or of another kind.
    """

    spec: str
    device: str
    new: Callable[..., VectorSearch]
    write: Callable[[Any, BinaryIO], None]
    read: Callable[[Path, int], VectorSearch | None]


@dataclass(frozen=True, slots=True)
class ChosenKind:
    """A kind by the name that it has in `KINDS`, and why it is the one to use."""

    name: str
    kind: IndexKind
    why: str


def _flat(dimension: int, _query_sample: Vectors | None = None) -> FaissFlat:
    return FaissFlat(dimension)


def _on_gpu(recipe: Recipe) -> IndexKind:
    new, read = partial(new_gpu_index, recipe), partial(read_gpu_index, recipe)
    return IndexKind(f"Gpu({recipe.name})", "cuda", new, GpuIndex.write, read)


KINDS: Mapping[str, IndexKind] = {
    "flat": IndexKind("Flat", "cpu", _flat, FaissFlat.write, FaissFlat.read),
    "bounded": IndexKind("Bounded", "cpu", BoundedIndex, BoundedIndex.write, read_bounded),
    "quick": IndexKind("Quick", "cpu", QuickIndex, QuickIndex.write, read_quick),
    **{name: _on_gpu(recipe) for name, recipe in GPU_RECIPES.items()},
}
DEFAULT = KINDS["quick"]
"""The kind for archives that are neither very large nor searched on a GPU."""
LEVEL_KIND = KINDS["bounded"]
"""The kind for means of series and studies: they are few beside images, and their codes are soon learnt."""


def chosen_kind(wanted: str, rows: int, dimension: int, recall: float | None = None) -> ChosenKind:
    """The kind `wanted`, or for `auto` the one that suits so many rows of so many values.

    `recall` is what approximate answers are to hold of the exact ones, where the kind can choose.
    """
    name, why = (wanted, "chosen by hand") if wanted in KINDS else _suited(rows, dimension)
    kind = KINDS[name]
    if recall is not None and name == "quick":
        kind = replace(kind, new=partial(QuickIndex, recall=recall))
    return ChosenKind(name, kind, why)


def device_of(index: VectorSearch) -> str:
    """Where an index is: `cpu`, or the name of a device for kinds that move to one."""
    return str(getattr(index, "device", "cpu"))


def learn_later(index: VectorSearch) -> None:
    """Let an index of a kind that learns from rows wait for all of them, until `learn_now`."""
    if isinstance(index, QuickIndex | BoundedIndex):
        index.learn_later()


def learn_now(index: VectorSearch) -> None:
    """Let an index learn what `learn_later` put off."""
    if isinstance(index, QuickIndex | BoundedIndex):
        index.learn_now()


def _suited(rows: int, dimension: int) -> tuple[str, str]:
    on_gpu = gpu_kind(rows, dimension)
    if on_gpu is not None:
        return on_gpu
    if rows < LEAST:
        return "quick", f"fewer than {LEAST:,} vectors are compared one by one; codes come with more"
    return "quick", "bounds prove exact answers, and codes of four bits give approximate ones"
