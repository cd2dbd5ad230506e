"""Vectors like those of real encoders, for benchmarks of search, made from a seed."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]
DIMENSION, IMAGES_EACH = 1152, 10
_CLUSTERS = 200


@dataclass(frozen=True, slots=True)
class ClusteredVectors:
    """`rows` [n, 1152] in studies of ten images; `image_queries` are of the same studies, `text_queries` and
    `prompts` lie far from the images, as texts do. All float32, of unit length.
    """

    rows: Vectors
    image_queries: Vectors
    text_queries: Vectors
    prompts: Vectors


def clustered_vectors(count: int, queries: int, seed: int = 1) -> ClusteredVectors:
    """200 clusters whose sizes follow Zipf's law, a spectrum of (i + 10)^-1.2, and a mean off the origin."""
    draw = np.random.default_rng(seed)
    spectrum = (np.arange(DIMENSION) + 10.0) ** -1.2
    spectrum /= np.sqrt((spectrum**2).sum())
    basis = np.linalg.qr(draw.standard_normal((DIMENSION, DIMENSION)))[0].astype(np.float32)
    mean, texts = (_direction(draw) for _ in range(2))
    shares = 1.0 / np.arange(1, _CLUSTERS + 1)
    studies = count // IMAGES_EACH
    cluster = draw.choice(_CLUSTERS, studies, p=shares / shares.sum())
    centres = draw.standard_normal((_CLUSTERS, DIMENSION)) * spectrum
    centre = (centres[cluster] + 0.6 * draw.standard_normal((studies, DIMENSION)) * spectrum).astype(
        np.float32
    )

    def images(of: NDArray[np.int64]) -> Vectors:
        own = 0.4 * draw.standard_normal((len(of), DIMENSION), np.float32) * spectrum.astype(np.float32)
        return _unit((centre[of] + own) @ basis.T + 0.8 * mean)

    def sentences(number: int) -> Vectors:
        own = (draw.standard_normal((number, DIMENSION)) * spectrum).astype(np.float32)
        return _unit(0.8 * own @ basis.T + texts - 0.25 * mean)

    rows = images(np.repeat(np.arange(studies), IMAGES_EACH))
    asked = images(draw.choice(studies, queries))
    return ClusteredVectors(rows, asked, sentences(queries), sentences(200))


def _direction(draw: np.random.Generator) -> Vectors:
    one: Vectors = _unit(draw.standard_normal((1, DIMENSION)))[0]
    return one


def _unit(vectors: NDArray[np.floating]) -> Vectors:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)
