"""The command line with an encoder of another kind, which needs no torch: `python -m` this, then its words.

Vectors are made of the pictures' bytes, so that each picture has the same one in every process.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medsiglip.api.archive.opened import OpenedArchive
from medsiglip.api.cli.main import main


class QuickEncoder:
    """Unit vectors of the dimension of a checkpoint."""

    def __init__(self, dimension: int) -> None:
        self._dimension = dimension

    def encode_images(self, images: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        return np.stack([self._vector(np.asarray(one)) for one in images])

    def _vector(self, image: NDArray[np.uint8]) -> NDArray[np.float32]:
        seed = int.from_bytes(hashlib.sha256(image.tobytes()).digest()[:8], "big")
        vector = np.random.default_rng(seed).normal(size=self._dimension)
        return np.asarray(vector / np.linalg.norm(vector), dtype=np.float32)


def quick_encoder(_archive: OpenedArchive, checkpoint: Any, _profile: str) -> QuickEncoder:
    """In place of `OpenedArchive.encoder_of`."""
    return QuickEncoder(checkpoint.dimension)


if __name__ == "__main__":
    OpenedArchive.encoder_of = quick_encoder  # type: ignore[method-assign, assignment]
    sys.exit(main())
