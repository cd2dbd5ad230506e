"""Rows in a temporary file without a name, mapped: they are in memory only while there is room."""

from __future__ import annotations

import tempfile
import threading
import weakref
from typing import Any

import numpy as np
from numpy.typing import NDArray

_PAGE = 4096


class RowFile:
    """A file that the system deletes when its last reader is gone; safe for several threads."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile(prefix="vectors-")  # noqa: SIM115
        weakref.finalize(self, self._file.close)
        self._end = 0
        self._lock = threading.Lock()

    def mapped(self, rows: NDArray[Any]) -> NDArray[Any]:
        """The same rows, not to be changed, in the file; `OSError` where it has no room."""
        with self._lock:
            begin = self._end
            self._file.seek(begin)
            self._file.write(np.ascontiguousarray(rows).data)
            self._file.flush()
            self._end = begin + rows.nbytes + -rows.nbytes % _PAGE
        return np.memmap(self._file, rows.dtype, "r", begin, rows.shape)
