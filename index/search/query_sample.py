"""Vectors of queries that an index is to suit, such as the texts of prompts, which are of no patient."""

from __future__ import annotations

import tokenize
from pathlib import Path

import numpy as np

from medsiglip.index.vectors import Vectors, atomic_file, make_folder

DAMAGED = (OSError, ValueError, EOFError, SyntaxError, tokenize.TokenError, MemoryError)
"""What numpy raises for a file of arrays that is damaged: it reads a header as Python."""


class QuerySample:
    """The sample of one space, `faiss/queries-<space>.npy` of the home."""

    def __init__(self, home: Path, space: str) -> None:
        self._file = home / "faiss" / f"queries-{space}.npy"

    def write(self, queries: Vectors) -> None:
        """Replace the sample by these vectors, float32 [m, d]."""
        make_folder(self._file.parent)
        with atomic_file(self._file) as stream:
            np.lib.format.write_array(stream, np.ascontiguousarray(queries, np.float32), allow_pickle=False)

    def read(self, dimension: int) -> Vectors | None:
        """The sample, float32 [m, d]; None where there is none that can be read."""
        try:
            found = np.load(self._file, allow_pickle=False)
        except DAMAGED:
            return None
        usable = found.dtype == np.float32 and found.ndim == 2 and found.shape[1] == dimension
        return found if usable and np.isfinite(found).all() else None
