"""How many bytes an index holds, in memory or mapped from a file, and how many the system has left."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
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


def available_memory() -> int | None:
    """Bytes that this process may still take, of the machine and of its control group (version 2); None where
    the system does not tell.
    """
    found = [one for one in (_of_machine(), _of_control_group()) if one is not None]
    return min(found, default=None)


def _of_machine() -> int | None:
    for line in _text("/proc/meminfo").splitlines():
        name, _, value = line.partition(":")
        if name == "MemAvailable":
            return int(value.split()[0]) << 10
    return None


def _of_control_group() -> int | None:
    most, used = _text("/sys/fs/cgroup/memory.max").strip(), _text("/sys/fs/cgroup/memory.current").strip()
    return max(0, int(most) - int(used)) if most.isdigit() and used.isdigit() else None


def _text(path: str) -> str:
    try:
        return Path(path).read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError):
        return ""
