"""What an index on a device is made of: every row in float16, or inverted lists of rows or of their codes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from medsiglip.index.search.kinds.gpu.device import MOST_RESULTS, TEMPORARY
from medsiglip.index.search.kinds.gpu.device_memory import Need

SEGMENT = 1 << 20
"""Rows of one flat index: FAISS copies an index that grows, so that both are on the device for a moment."""
# Rows for each list that its centroid is learnt on; FAISS warns below 39.
_SAMPLED = 64
# Parts of a product quantizer that FAISS has on a GPU (`GpuIndexIVFPQ`); the codes have eight bits each.
_PARTS = (96, 64, 56, 48, 40, 32, 28, 24, 20, 16, 12, 8, 4, 3, 2, 1)
_CENTROIDS = 256


@dataclass(frozen=True, slots=True)
class Recipe:
    """`spec` is in the manner of FAISS's factory strings, of a dimension and a number of lists. `proves`
    says whether a bound holds for its scores. `spare` is how many candidates a search asks for beside k.
    `make`, of a dimension and a number of lists, is an untrained index of FAISS on the host; None for flat.
    """

    name: str
    proves: bool
    spare: int
    spec: Callable[[int, int], str]
    need: Callable[[int, int], Need]
    make: Callable[[int, int], Any] | None = None


def number_of_lists(rows: int) -> int:
    """The power of two next below 4 roots of the rows, with enough rows in each to learn it, 2,048 at most:
    so many can all be probed.
    """
    most = min(4 * int(rows**0.5), rows // _SAMPLED, MOST_RESULTS)
    return 1 << max(0, most.bit_length() - 1)


def sampled_rows(lists: int) -> int:
    """Rows that so many lists are learnt on."""
    return max(_SAMPLED * lists, 40 * _CENTROIDS)


def parts(dimension: int) -> int:
    """Bytes of a code: the most parts that FAISS has on a GPU, of two values or more each where possible."""
    return next(one for one in _PARTS if dimension % one == 0 and (one == 1 or dimension // one >= 2))


def _flat_need(rows: int, dimension: int) -> Need:
    row = 2 * dimension + 4  # float16, and a norm
    what = f"{rows:,} vectors of {dimension} values in float16"
    return Need(what, rows * row, min(rows, SEGMENT) * row, TEMPORARY)


def _ivf_flat_need(rows: int, dimension: int) -> Need:
    return _lists_need(rows, dimension, 4 * dimension, "in float32")


def _ivf_pq_need(rows: int, dimension: int) -> Need:
    return _lists_need(rows, dimension, parts(dimension), "of codes")


def _lists_need(rows: int, dimension: int, row: int, what: str) -> Need:
    words = f"{rows:,} vectors of {dimension} values in lists {what}"
    centroids = number_of_lists(rows) * dimension * 4
    # With an id for each row. Lists are not equally long, and each doubles when it is full.
    return Need(words, 2 * rows * (row + 8) + centroids, 0, TEMPORARY)


def _ivf_flat(dimension: int, lists: int) -> Any:
    faiss = _faiss()
    centroids = faiss.IndexFlatIP(dimension)
    return _prepared(faiss.IndexIVFFlat(centroids, dimension, lists, faiss.METRIC_INNER_PRODUCT))


def _ivf_pq(dimension: int, lists: int) -> Any:
    faiss = _faiss()
    centroids = faiss.IndexFlatIP(dimension)
    made = faiss.IndexIVFPQ(centroids, dimension, lists, parts(dimension), 8, faiss.METRIC_INNER_PRODUCT)
    return _prepared(made)


def _prepared(index: Any) -> Any:
    # Centroids of unit vectors, found by inner product, are to be of unit length themselves.
    index.cp.spherical = True
    index.cp.max_points_per_centroid = 2 * _SAMPLED
    return index


FLAT = Recipe("flat", True, 118, lambda dimension, lists: "SQfp16,RFlat", _flat_need)
IVF_FLAT = Recipe(
    "ivf-flat",
    False,
    32,
    lambda dimension, lists: f"IVF{lists},Flat",
    _ivf_flat_need,
    _ivf_flat,
)
IVF_PQ = Recipe(
    "ivf-pq",
    False,
    502,
    lambda dimension, lists: f"IVF{lists},PQ{parts(dimension)},RFlat",
    _ivf_pq_need,
    _ivf_pq,
)


def _faiss() -> Any:
    # FAISS's own type stubs lack half of its names.
    import faiss

    return faiss
