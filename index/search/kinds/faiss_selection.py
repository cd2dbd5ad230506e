"""FAISS's form of the rows that may answer a search."""

from __future__ import annotations

from typing import Any

import numpy as np

from medsiglip.index.search.kinds.vector_search import Mask


def selection(allowed: Mask | None) -> Any:
    """FAISS's parameters of a search among these rows, bool [n]; None for all."""
    if allowed is None:
        return None
    faiss = _faiss()
    bits = np.packbits(allowed, bitorder="little")
    parameters: Any = faiss.SearchParameters(sel=faiss.IDSelectorBitmap(bits))
    parameters.bits = bits  # FAISS has only a pointer to them
    return parameters


def _faiss() -> Any:
    # FAISS's own type stubs lack half of its names.
    import faiss

    return faiss
