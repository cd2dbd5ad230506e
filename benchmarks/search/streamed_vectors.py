"""Vectors as those of `clustered_vectors`, of any dimension, made chunk by chunk.

They are not turned by a basis of their own, which would change no inner product and take most of the time.
"""

from dataclasses import dataclass, field

import numpy as np

from benchmarks.search.clustered_vectors import Vectors

_CLUSTERS, _IMAGES_EACH = 200, 10


@dataclass(slots=True)
class StreamedVectors:
    """`count` rows in studies of ten images, in chunks of `chunk`; all float32, of unit length."""

    count: int
    dimension: int
    seed: int = 1
    chunk: int = 50_000
    _spectrum: Vectors = field(init=False)
    _mean: Vectors = field(init=False)
    _texts: Vectors = field(init=False)
    _centres: Vectors = field(init=False)

    def __post_init__(self) -> None:
        draw = np.random.default_rng(self.seed)
        spectrum = (np.arange(self.dimension) + 10.0) ** -1.2
        self._spectrum = (spectrum / np.sqrt((spectrum**2).sum())).astype(np.float32)
        self._mean, self._texts = _unit(draw.standard_normal((2, self.dimension), np.float32))
        self._centres = draw.standard_normal((_CLUSTERS, self.dimension), np.float32) * self._spectrum

    def rows(self, start: int) -> Vectors:
        """The rows of the chunk that begins at `start`."""
        count = min(self.chunk, self.count - start)
        return self._images(start, np.repeat(np.arange(-(-count // _IMAGES_EACH)), _IMAGES_EACH)[:count], 0)

    def images(self, count: int) -> Vectors:
        """Further images of studies of the first chunk."""
        return self._images(0, np.arange(count) * 7 % (min(self.chunk, self.count) // _IMAGES_EACH), 1)

    def texts(self, count: int, seed: int = 8) -> Vectors:
        """Vectors that lie far from those of images, as texts' do."""
        own = np.random.default_rng([self.seed, seed]).standard_normal((count, self.dimension), np.float32)
        return _unit(0.8 * own * self._spectrum + self._texts - 0.25 * self._mean)

    def _images(self, start: int, studies: np.ndarray, seed: int) -> Vectors:
        draw = np.random.default_rng([self.seed, 2, start])
        number = self.chunk // _IMAGES_EACH
        shares = 1.0 / np.arange(1, _CLUSTERS + 1)
        centres = self._centres[draw.choice(_CLUSTERS, number, p=shares / shares.sum())]
        centres += 0.6 * draw.standard_normal(centres.shape, np.float32) * self._spectrum
        own = np.random.default_rng([self.seed, 3, start, seed])
        found = own.standard_normal((len(studies), self.dimension), np.float32)
        found *= 0.4 * self._spectrum
        found += centres[studies]
        found += 0.8 * self._mean
        return _unit(found)


def _unit(vectors: Vectors) -> Vectors:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)
