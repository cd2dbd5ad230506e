"""Embeddings like real ones with labels that depend on them, made from a seed."""

import numpy as np

from medsiglip.numerics import Floats

ROWS, DIMENSION, LABELS = 10_000, 1152, 14


def labelled_vectors(seed: int = 0) -> tuple[Floats, Floats]:
    """Unit vectors [10000, 1152], float64, with a decaying spectrum and a mean off the origin; and labels
    [10000, 14] of 0 and 1 with prevalences from 13 to 50 %, each a noisy linear function of the vectors.
    """
    draw = np.random.default_rng(seed)
    spectrum = np.arange(1, DIMENSION + 1) ** -0.7
    axes = draw.normal(size=(DIMENSION, DIMENSION)) / np.sqrt(DIMENSION)
    vectors = (draw.normal(size=(ROWS, DIMENSION)) * spectrum) @ axes
    vectors += 2.5 * draw.normal(size=DIMENSION) / np.sqrt(DIMENSION)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    logits = (vectors - vectors.mean(axis=0)) @ draw.normal(size=(DIMENSION, LABELS))
    logits = 2.0 * logits / logits.std(axis=0) + np.linspace(-3.0, 0.0, LABELS)
    labels = (draw.random((ROWS, LABELS)) < 1.0 / (1.0 + np.exp(-logits))).astype(np.float64)
    return vectors, labels
