"""Committing whole units, and what a run has committed so far."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from medsiglip.index.records import FileRecord, SeriesBundle, Space
from medsiglip.ingest.reasons import Rejected
from medsiglip.ingest.run.shared_series import SharedSeries
from medsiglip.tracing.spans import span

if TYPE_CHECKING:
    from medsiglip.index.case_index import CaseIndex
    from medsiglip.ingest.engines.engine import EmbeddedUnit
    from medsiglip.ingest.header.header import Header
    from medsiglip.ingest.run.interruption import Interruption

# A commit holds what came in about COMMIT_EVERY_S; the first is immediate, so that something is kept early.
COMMIT_EVERY_S = 8.0
MAX_COMMIT_IMAGES = 4096


class Commits:
    """`embedded` counts images; `files` are the paths that gave images, `rejections` the other files,
    `shared` the series to which other runs may add.
    """

    def __init__(self, index: CaseIndex, space: Space, interruption: Interruption) -> None:
        self.embedded = 0
        self.files: set[str] = set()
        self.rejections: list[Rejected] = []
        self.image_warnings: Counter[str] = Counter()
        self.shared = SharedSeries()
        self._index = index
        self._space = space
        self._interruption = interruption
        self._bundles: list[SeriesBundle] = []
        self._refused: list[FileRecord] = []
        self._renewed: dict[str, str] = {}
        self._taken = 0
        self._vectors: list[NDArray[np.float32]] = []
        self._last = 0.0

    def add(self, embedded: EmbeddedUnit, copies: Mapping[str, Sequence[Header]]) -> None:
        """Add a unit and the copies of its files."""
        from medsiglip.ingest.run.bundle import bundle_of, renewed_hashes

        unit, rendered, vectors = embedded
        bundle, refused, rejections = bundle_of(unit, rendered, copies)
        self._renewed |= renewed_hashes(rendered)
        self._taken += len(unit.headers)
        self._refused += refused
        self.rejections += rejections
        if bundle is not None:
            self._bundles.append(bundle)
            self._vectors.append(vectors)

    @property
    def is_due(self) -> bool:
        """Whether what was added should be committed now."""
        if not self._taken:
            return False
        images = sum(map(len, self._vectors))
        return images >= MAX_COMMIT_IMAGES or time.monotonic() - self._last >= COMMIT_EVERY_S

    def commit(self) -> tuple[int, int]:
        """Commit what was added in one transaction; returns the numbers of files and images."""
        vectors = np.concatenate(
            [np.zeros((0, self._space.dimension), np.float32), *self._vectors], dtype=np.float32
        )
        bundles, refused, taken = self._bundles, self._refused, self._taken
        self._bundles, self._refused, self._taken, self._vectors = [], [], 0, []
        with self._interruption.held(), span("commit", files=taken, images=len(vectors)):
            self._add(bundles, vectors, refused)
        self._last = time.monotonic()
        return taken, len(vectors)

    def _add(
        self, bundles: Sequence[SeriesBundle], vectors: NDArray[np.float32], refused: Sequence[FileRecord]
    ) -> None:
        # Before the bundles that name the same pixels by the new hash; right even if the run ends here.
        self._index.pixel_hashes.renew(self._renewed)
        self._renewed = {}
        if bundles:
            self._index.add(bundles, vectors, self._space)
        if refused:
            self._index.files.put(refused)
        self.embedded += len(vectors)
        for bundle in bundles:
            self.shared.take(bundle)
            self.files |= {file.path for file in bundle.files}
            self.image_warnings.update(code for image in bundle.images for code in image.warnings)
