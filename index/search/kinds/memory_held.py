"""How many bytes an index holds, in memory or mapped from a file."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray


class HeldBytes(NamedTuple):
    """Bytes of short codes in memory, of vectors in memory, and of both that are mapped from a file, whose
    pages the system keeps in memory as long as there is room.
    """

    codes: int
    vectors: int
    mapped: int


def held_bytes(
    vectors: Iterable[NDArray[Any]], codes: Iterable[NDArray[Any]] = (), more: int = 0
) -> HeldBytes:
    """The bytes of these arrays, and of `more` bytes of codes that are no arrays."""
    counts = {"vectors": 0, "codes": more, "mapped": 0}
    for name, arrays in (("vectors", vectors), ("codes", codes)):
        for array in arrays:
            counts["mapped" if _is_mapped(array) else name] += array.nbytes
    return HeldBytes(**counts)


def _is_mapped(array: NDArray[Any]) -> bool:
    base: Any = array
    while base is not None:
        if isinstance(base, np.memmap):
            return True
        base = getattr(base, "base", None)
    return False
