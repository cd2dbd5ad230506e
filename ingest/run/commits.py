"""Encoding in full batches and committing whole units, and what a run has committed so far."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from medsiglip.index.records import FileRecord, SeriesBundle, Space
from medsiglip.ingest.reasons import Rejected

if TYPE_CHECKING:
    from medsiglip.index.case_index import CaseIndex
    from medsiglip.ingest.header.header import Header
    from medsiglip.ingest.run.interruption import Interruption
    from medsiglip.ingest.units.plan import Unit
    from medsiglip.ingest.workers.rendered_unit import RenderedUnit

# Images are encoded as they come, while the workers render the next ones: at most this many together, and no
# more than take about COMMIT_EVERY_S. A commit holds what came in about that time; the first is immediate, so
# that something is kept early even with a large model on a CPU.
ENCODED_TOGETHER = 64
FIRST_TOGETHER = 8
COMMIT_EVERY_S = 8.0
MAX_COMMIT_IMAGES = 4096


class ImageEncoder(Protocol):
    """The part of `medsiglip.encoder.Encoder` that a run uses."""

    def encode_images(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Model inputs uint8 [n, S, S, 3] -> unit vectors float32 [n, d]."""


class Commits:
    """`embedded` counts images; `files` are the paths that gave images, `rejections` the other files."""

    def __init__(
        self,
        index: CaseIndex,
        space: Space,
        make_encoder: Callable[[], ImageEncoder],
        interruption: Interruption,
    ) -> None:
        self.embedded = 0
        self.files: set[str] = set()
        self.rejections: list[Rejected] = []
        self.image_warnings: Counter[str] = Counter()
        self._index = index
        self._space = space
        self._make_encoder = make_encoder
        self._encoder: ImageEncoder | None = None
        self._interruption = interruption
        self._bundles: list[SeriesBundle] = []
        self._refused: list[FileRecord] = []
        self._renewed: dict[str, str] = {}
        self._taken = 0
        self._inputs: list[NDArray[np.uint8]] = []
        self._vectors: list[NDArray[np.float32]] = []
        self._together = min(FIRST_TOGETHER, ENCODED_TOGETHER)
        self._last = 0.0

    def add(self, unit: Unit, rendered: RenderedUnit, copies: Mapping[str, Sequence[Header]]) -> None:
        """Add a rendered unit and the copies of its files; model inputs are kept only until they are
        encoded.
        """
        from medsiglip.ingest.run.bundle import bundle_of, renewed_hashes

        bundle, refused, rejections = bundle_of(unit, rendered, copies)
        self._renewed |= renewed_hashes(rendered)
        self._taken += len(unit.headers)
        self._refused += refused
        self.rejections += rejections
        if bundle is None:
            return
        self._bundles.append(bundle)
        if len(rendered.inputs):
            self._inputs.append(rendered.inputs)
        if sum(map(len, self._inputs)) >= self._together:
            self._encode()

    @property
    def is_due(self) -> bool:
        """Whether what was added should be committed now."""
        if self._inputs or not self._taken:
            return False
        encoded = sum(map(len, self._vectors))
        return encoded >= MAX_COMMIT_IMAGES or time.monotonic() - self._last >= COMMIT_EVERY_S

    def commit(self) -> tuple[int, int]:
        """Commit what was added in one transaction; returns the numbers of files and images."""
        self._encode()
        vectors = np.concatenate(
            [np.zeros((0, self._space.dimension), np.float32), *self._vectors], dtype=np.float32
        )
        bundles, refused, taken = self._bundles, self._refused, self._taken
        self._bundles, self._refused, self._taken, self._vectors = [], [], 0, []
        with self._interruption.held():
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
            self.files |= {file.path for file in bundle.files}
            self.image_warnings.update(code for image in bundle.images for code in image.warnings)

    def _encode(self) -> None:
        if not self._inputs:
            return
        encoder = self._encoder = self._encoder or self._make_encoder()
        together, self._inputs = np.concatenate(self._inputs), []
        begun = time.monotonic()
        self._vectors.append(encoder.encode_images(together))
        rate = len(together) / max(time.monotonic() - begun, 1e-6)
        self._together = int(min(max(rate * COMMIT_EVERY_S, 1), ENCODED_TOGETHER))
