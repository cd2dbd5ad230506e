"""Codes of four bits a value, of which FAISS compares a query with dozens at once ("fast scan").

A code holds the coordinates of a vector on a few axes, each by one of 16 levels. The axes are those that hold
most of the length of rows and queries, rotated at random among themselves: then every coordinate varies as
much as the others, and 16 levels are as fine for each. Without the rotation the first few coordinates, which
vary most, would be as coarse as the last, and four times as many candidates would be needed.
"""

from __future__ import annotations

from typing import Any, BinaryIO, Self

import numpy as np
from numpy.typing import NDArray

from medsiglip.index.search.kinds.vector_search import Mask
from medsiglip.index.vectors import Ids, Vectors

BITS = 4
_SEED = 4
# Rows that 16 levels a coordinate are learnt on at most, and rounds of that.
_LEVEL_ROWS, _ROUNDS = 4096, 10


def rotated_axes(axes: NDArray[np.float64], width: int) -> Vectors:
    """The first `width` of orthonormal axes [d, p], rotated at random among themselves: [d, width]."""
    draw = np.random.default_rng(_SEED)
    rotation = np.linalg.qr(draw.standard_normal((width, width)))[0]
    return np.ascontiguousarray(axes[:, :width] @ rotation, np.float32)


class QuickCodes:
    """The codes of rows by place. One thread at a time may change them, while others read a `copy`."""

    def __init__(self, axes: Vectors, scan: Any) -> None:
        self.axes = axes
        self._scan = scan
        # Whether a copy reads the same codes, which are then cloned before a change.
        self._is_shared = False

    @classmethod
    def learnt(cls, axes: Vectors, sample: Vectors) -> Self:
        """No codes yet, with levels learnt from a sample of rows, float32 [m, d]; `axes` is [d, width]."""
        faiss = _faiss()
        width = axes.shape[1]
        scan = faiss.IndexPQFastScan(width, width, BITS, faiss.METRIC_INNER_PRODUCT)
        scan.pq.cp.niter = _ROUNDS
        scan.pq.cp.min_points_per_centroid = 1  # or FAISS warns of few
        # FAISS trains in thousands of short parallel loops, which wait for each other on a busy machine.
        threads = faiss.omp_get_max_threads()
        faiss.omp_set_num_threads(1)  # of this thread alone
        try:
            scan.train(np.ascontiguousarray(sample[:: -(-len(sample) // _LEVEL_ROWS)] @ axes))
        finally:
            faiss.omp_set_num_threads(threads)
        return cls(axes, scan)

    def __len__(self) -> int:
        return int(self._scan.ntotal)

    @property
    def width(self) -> int:
        """The number of values of a code."""
        return int(self.axes.shape[1])

    @property
    def spec(self) -> str:
        """FAISS's name for these codes."""
        return f"PQ{self.width}x{BITS}fs"

    @property
    def nbytes(self) -> int:
        """Bytes of all codes."""
        return int(self._scan.codes.size()) + self.axes.nbytes

    def copy(self) -> QuickCodes:
        """The same codes: a change of either is not seen in the other."""
        self._is_shared = True
        other = QuickCodes(self.axes, self._scan)
        other._is_shared = True
        return other

    def add(self, rows: Vectors) -> None:
        """Append the codes of rows [m, d]."""
        self._own().add(np.ascontiguousarray(rows @ self.axes))

    def keep(self, mask: Mask) -> None:
        """Remove the codes where `mask`, bool [n], is false; those after them move up, in their order."""
        scan = self._own()
        scan.remove_ids(np.flatnonzero(~mask))
        _clear_last_block(scan)

    def _own(self) -> Any:
        if self._is_shared:
            self._scan, self._is_shared = _faiss().clone_index(self._scan), False
        return self._scan

    def rounded(self, rows: Vectors) -> Vectors:
        """The coordinates of rows [m, d] as codes hold them, float32 [m, width]."""
        quantizer = self._scan.pq
        found: Vectors = quantizer.decode(quantizer.compute_codes(np.ascontiguousarray(rows @ self.axes)))
        return found

    def nearest(self, queries: Vectors, fetch: int) -> Ids:
        """The places of the `fetch` <= n rows whose codes have the greatest products, int64 [q, fetch], best
        first.
        """
        places: Ids = self._scan.search(np.ascontiguousarray(queries @ self.axes), fetch)[1]
        return places

    def write(self, stream: BinaryIO) -> None:
        """Write axes and codes to a stream."""
        np.lib.format.write_array(stream, self.axes)
        _faiss().write_index(self._scan, _faiss().PyCallbackIOWriter(stream.write))

    @classmethod
    def read(cls, stream: BinaryIO) -> Self | None:
        """What `write` wrote; None for another kind. Raises what numpy and FAISS raise for damage."""
        faiss = _faiss()
        axes = np.lib.format.read_array(stream, allow_pickle=False)
        scan = faiss.read_index(faiss.PyCallbackIOReader(stream.read))
        if not isinstance(scan, faiss.IndexPQFastScan) or (axes.ndim, axes.dtype.str) != (2, "<f4"):
            return None
        return cls(axes, scan) if scan.d == axes.shape[1] else None


def _clear_last_block(scan: Any) -> None:
    """Set the codes behind the last row to zero. `remove_ids` leaves those of rows that were moved up, and
    `add` ors its own into them (FAISS 1.15.1), so that rows that are added later would have wrong codes.
    """
    used = scan.ntotal % scan.bbs
    if used:
        packer = scan.get_CodePacker()
        held = _faiss().rev_swig_ptr(scan.codes.get(), scan.codes.size())
        start = scan.ntotal // scan.bbs * packer.block_size
        block = held[start : start + packer.block_size].reshape(1, -1)
        for place in range(used, scan.bbs):
            packer.pack_1(np.zeros(packer.code_size, np.uint8), place, block)


def _faiss() -> Any:
    # FAISS's own type stubs lack half of its names.
    import faiss

    return faiss
