"""The kinds of vector index that a home can use.

To add one, such as HNSW or an index on a GPU: write a class with the methods of `VectorSearch`, `spec`, and
`write` and `read` for its file, beside `faiss_flat.py`, and add a line to `KINDS`. `DEFAULT` is the kind in
use.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from medsiglip.index.search.kinds.bounded import BoundedIndex, read_bounded
from medsiglip.index.search.kinds.faiss_flat import FaissFlat
from medsiglip.index.search.kinds.vector_search import VectorSearch
from medsiglip.index.vectors import Vectors


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


def _flat(dimension: int, _query_sample: Vectors | None = None) -> FaissFlat:
    return FaissFlat(dimension)


KINDS: Mapping[str, IndexKind] = {
    "flat": IndexKind("Flat", "cpu", _flat, FaissFlat.write, FaissFlat.read),
    "bounded": IndexKind("Bounded", "cpu", BoundedIndex, BoundedIndex.write, read_bounded),
}
DEFAULT = KINDS["bounded"]
