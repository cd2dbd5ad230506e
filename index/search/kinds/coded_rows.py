"""Rows with short codes in float16 that bound their inner products with queries."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from medsiglip.index.search.kinds.projection import Projection
from medsiglip.index.search.kinds.row_blocks import RowBlocks
from medsiglip.index.search.kinds.vector_search import IdPlaces
from medsiglip.index.vectors import Ids, Vectors


class CodedRows:
    """Rows float32 [n, d] with ids; with a `projection` each has a code in `codes`, a scalar quantizer of
    FAISS. `error` is an upper bound of the length of the difference between a code and its float16 form.
    """

    def __init__(self, dimension: int) -> None:
        self.places = IdPlaces()
        self.rows = RowBlocks(dimension)
        self.projection: Projection | None = None
        self.codes: Any = None
        self.error = 0.0

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def ids(self) -> Ids:
        """The ids of the rows, int64 [n], in their order."""
        return self.places.ids

    def add(self, ids: Ids, vectors: Vectors) -> None:
        """Append rows, and their codes if there is a projection."""
        self.rows.append(vectors)
        self.places.add(ids)
        self._add_codes(vectors)

    def keep(self, mask: NDArray[np.bool_]) -> None:
        """Remove the rows where `mask`, bool [n], is false."""
        self.rows.keep(mask)
        self.places.keep(mask)
        if self.codes is not None:
            self.codes.remove_ids(np.flatnonzero(~mask))

    def encode(self, projection: Projection | None) -> None:
        """Make the codes of all rows by a projection; none without."""
        faiss = _faiss()
        self.projection, self.codes, self.error = projection, None, 0.0
        if projection is not None:
            self.codes = faiss.IndexScalarQuantizer(
                projection.width, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT
            )
            for _, block in self.rows.blocks():
                self._add_codes(block)

    def _add_codes(self, rows: Vectors) -> None:
        if self.projection is None:
            return
        codes = self.projection.codes(rows)
        rounded = codes.astype(np.float16)
        difference = codes - rounded
        self.error = max(self.error, float(np.sqrt(np.einsum("ij,ij->i", difference, difference).max())))
        self.codes.add(rounded.astype(np.float32))

    def half_codes(self) -> NDArray[np.float16]:
        """The codes, float16 [n, width]: FAISS's own memory, valid until the next change."""
        codes = self.codes.codes
        held: NDArray[np.uint8] = np.asarray(_faiss().rev_swig_ptr(codes.data(), codes.size()))
        return held.view(np.float16).reshape(len(self), self.codes.d)


def _faiss() -> Any:
    # FAISS's own type stubs lack half of its names.
    import faiss

    return faiss
