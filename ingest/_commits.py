"""Encoding in full batches and committing whole units: what a run has put into the index so far."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from index.records import FileRecord, SeriesBundle
from ingest.reasons import Rejected

if TYPE_CHECKING:
    from index.case_index import CaseIndex
    from ingest.drawn_unit import DrawnUnit
    from ingest.header import Header
    from ingest.interruption import Interruption
    from ingest.plan import Unit
    from medsiglip.checkpoint import Checkpoint

# A commit holds what the encoder does in about this time, and at most so many bytes of model inputs.
COMMIT_EVERY_S = 8.0
FIRST_COMMIT_IMAGES = 64
MAX_COMMIT_BYTES = 192 << 20


class ImageEncoder(Protocol):
    """What the run needs of `medsiglip.encoder.Encoder`."""

    def encode_images(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Model inputs uint8 [n, S, S, 3] -> unit vectors float32 [n, d]."""


class Commits:
    """`embedded` counts images; `files` are the paths in use, `rejections` those that gave no image.

    `enough` images make the next commit.
    """

    def __init__(
        self,
        index: CaseIndex,
        checkpoint: Checkpoint,
        make_encoder: Callable[[], ImageEncoder],
        interruption: Interruption,
    ) -> None:
        self.embedded = 0
        self.files: set[str] = set()
        self.rejections: list[Rejected] = []
        self.image_warnings: Counter[str] = Counter()
        self.enough = FIRST_COMMIT_IMAGES
        self._index = index
        self._checkpoint = checkpoint
        self._make_encoder = make_encoder
        self._encoder: ImageEncoder | None = None
        self._interruption = interruption

    def commit(
        self, pending: Sequence[tuple[Unit, DrawnUnit]], copies: Mapping[str, Sequence[Header]]
    ) -> tuple[int, int]:
        """Put drawn units into the index in one transaction; how many files and images that were."""
        from ingest.bundle import bundle_of

        bundles: list[SeriesBundle] = []
        refused: list[FileRecord] = []
        inputs: list[NDArray[np.uint8]] = []
        for unit, drawn in pending:
            bundle, rows, rejections = bundle_of(unit, drawn, copies)
            refused += rows
            self.rejections += rejections
            if bundle is not None:
                bundles.append(bundle)
                inputs.append(drawn.inputs)
        count = sum(map(len, inputs))
        vectors = self._encode(inputs) if count else np.zeros((0, self._checkpoint.dimension), np.float32)
        with self._interruption.held():
            self._add(bundles, vectors, refused)
        return sum(len(unit.headers) for unit, _ in pending), count

    def _add(
        self, bundles: Sequence[SeriesBundle], vectors: NDArray[np.float32], refused: Sequence[FileRecord]
    ) -> None:
        if bundles:
            self._index.add(bundles, vectors)
        if refused:
            self._index.record_files(refused)
        self.embedded += len(vectors)
        for bundle in bundles:
            self.files |= {file.path for file in bundle.files}
            self.image_warnings.update(code for image in bundle.images for code in image.warnings)

    def _encode(self, inputs: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        encoder = self._encoder = self._encoder or self._make_encoder()
        together = np.concatenate(inputs)
        begun = time.monotonic()
        vectors = encoder.encode_images(together)
        rate = len(together) / max(time.monotonic() - begun, 1e-6)
        most = max(MAX_COMMIT_BYTES // (3 * self._checkpoint.image_size**2), 1)
        self.enough = int(min(max(rate * COMMIT_EVERY_S, 1), most))
        return vectors
