"""An encoder of exact arithmetic that nodes import by name."""

from __future__ import annotations

import os
from typing import Any

import numpy as np


class GridEncoder:
    """The mean of each cell of a 4 x 4 grid, per channel, as a unit vector: `tests/ingest/conftest.py`."""

    def encode_images(self, images: np.ndarray) -> np.ndarray:
        n, size = len(images), images.shape[1]
        cells = images.reshape(n, 4, size // 4, 4, size // 4, 3).astype(np.float64).mean(axis=(2, 4))
        vectors = cells.reshape(n, 48) + 1.0
        unit: np.ndarray = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        return unit.astype(np.float32)


class ExitingEncoder:
    """It ends its process, as one does that the system kills for its memory."""

    def encode_images(self, images: np.ndarray) -> np.ndarray:
        os._exit(1)


def make_grid_encoder() -> Any:
    return GridEncoder()


def make_exiting_encoder() -> Any:
    return ExitingEncoder()
