"""Rows with short codes in float16 that bound their inner products with queries."""

from __future__ import annotations

import ctypes
import threading
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medsiglip.index.search.kinds.projection import Projection
from medsiglip.index.search.kinds.row_blocks import HEAD, RowBlocks
from medsiglip.index.search.kinds.vector_search import IdPlaces
from medsiglip.index.vectors import Ids, Vectors

_CHUNK = 4096


class CodedRows:
    """Rows float32 [n, d] with ids; with a `projection` each has a code, float16 [width], in `codes`.

    `error` is an upper bound of the length of the difference between a code and its float16 form, and
    `longest` of the length of a row, at least 1.
    """

    def __init__(self, dimension: int) -> None:
        self.places = IdPlaces()
        self.rows = RowBlocks(dimension)
        self.projection: Projection | None = None
        self.codes = RowBlocks(0, np.float16)
        self.error = 0.0
        self.longest = 1.0
        # The blocks of codes as indexes of FAISS, as they were before codes `_changed`.
        self._scanned: list[tuple[int, Any]] = []
        self._changed = False

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def ids(self) -> Ids:
        """The ids of the rows, int64 [n], in their order."""
        return self.places.ids

    def copy(self) -> CodedRows:
        """The same rows in the same memory; changes of one are never seen in the other."""
        other = CodedRows(self.rows.width)
        other.places, other.rows, other.codes = self.places.copy(), self.rows.copy(), self.codes.copy()
        other.projection, other.error, other.longest = self.projection, self.error, self.longest
        other._scanned, other._changed = self._scanned, self._changed
        return other

    def add(self, ids: Ids, vectors: Vectors) -> None:
        """Append rows, and their codes if there is a projection."""
        self.rows.append(vectors)
        self.places.add(ids)
        self._measure(vectors)
        self._add_codes(vectors)

    def keep(self, mask: NDArray[np.bool_]) -> None:
        """Remove the rows where `mask`, bool [n], is false."""
        self.rows.keep(mask)
        self.places.keep(mask)
        self._changed = True
        if self.projection is not None:
            self.codes.keep(mask)

    def encode(self, projection: Projection | None) -> None:
        """Make the codes of all rows by a projection; none without."""
        self._begin(projection)
        for _, block in self.rows.blocks():
            self._add_codes(block)

    def _begin(self, projection: Projection | None) -> None:
        self.projection, self.error, self._changed = projection, 0.0, True
        self.codes = RowBlocks(0 if projection is None else projection.width, np.float16)

    def _measure(self, rows: Vectors) -> None:
        for start in range(0, len(rows), _CHUNK):
            part = rows[start : start + _CHUNK]
            squares = np.einsum("ij,ij->i", part, part, dtype=np.float64)
            # NaN where a row has one, and then no bound holds.
            self.longest = float(np.maximum(self.longest, np.sqrt(squares.max()) * (1 + 1e-12)))

    def _add_codes(self, rows: Vectors) -> None:
        for start in range(0, len(rows), _CHUNK):
            if self.projection is None:
                return
            codes = self.projection.codes(rows[start : start + _CHUNK])
            with np.errstate(over="ignore", invalid="ignore"):
                rounded = codes.astype(np.float16)
                difference = codes - rounded
            error = float(np.sqrt(np.einsum("ij,ij->i", difference, difference).max()) * (1 + 1e-12))
            if not np.isfinite(error):
                # Values beyond float16's range have no codes: rows are compared one by one then.
                self._begin(None)
                return
            self.error = max(self.error, error)
            self.codes.append(rounded)
            self._changed = True

    def scanned(self) -> list[tuple[int, Any]]:
        """The codes of each block as an index of FAISS, a scalar quantizer, with the place of its first row;
        made once, and safe for several threads.
        """
        with _SCANNED:
            if self._changed or not self._scanned:
                former = {id(index.referenced_objects[0]): index for _, index in self._scanned}
                self._scanned = [
                    (start, former.get(id(block)) or _quantizer(block))
                    for start, block in self.codes.blocks()
                ]
                self._changed = False
            return self._scanned


_SCANNED = threading.Lock()


def _quantizer(block: NDArray[np.float16]) -> Any:
    """An index of FAISS whose codes are this memory, not a copy: it reads its own file format from memory,
    and the header is written into the bytes before the block.
    """
    faiss = _faiss()
    count, width = block.shape
    index = faiss.IndexScalarQuantizer(width, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT)
    # `faiss.serialize_index` needs FAISS's type of vectors of bytes, which is SimpleITK's once that is there.
    header = bytearray()
    faiss.write_index(index, faiss.PyCallbackIOWriter(header.extend))
    # Behind "IxSQ" and the dimension is the number of codes; at the end that of their bytes.
    header[8:16] = count.to_bytes(8, "little")
    header[-8:] = block.nbytes.to_bytes(8, "little")
    begin = block.ctypes.data - len(header)
    if len(header) > HEAD or not block.flags.c_contiguous:
        raise ValueError("no room for FAISS's header before the codes")
    # Copies share blocks, but hold the lock while they make such an index.
    ctypes.memmove(begin, bytes(header), len(header))
    view = np.ctypeslib.as_array((ctypes.c_uint8 * (len(header) + block.nbytes)).from_address(begin))
    found: Any = faiss.read_index(faiss.ZeroCopyIOReader(faiss.swig_ptr(view), view.size))
    found.referenced_objects = [block]  # FAISS has only a pointer to it
    return found


def _faiss() -> Any:
    # FAISS's own type stubs lack half of its names.
    import faiss

    return faiss
