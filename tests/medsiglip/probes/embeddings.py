"""Embeddings like real ones, and labels that depend on them."""

from __future__ import annotations

from typing import Any

import numpy as np


def embeddings(n: Any, d: Any, *, seed: Any = 0, signal: Any = 2.0, labels: Any = 1) -> Any:
    """Unit vectors with the decaying spectrum and offset of real ones, and labels that depend on them."""
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(n, d)) / np.arange(1, d + 1) ** 0.7 + 0.3 * rng.normal(size=d)
    logits = vectors @ rng.normal(size=(d, labels))
    logits = signal * (logits - logits.mean(axis=0)) / logits.std(axis=0) - 0.7
    truth = (rng.random((n, labels)) < 1 / (1 + np.exp(-logits))).astype(float)
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32), truth
