"""The pictures that the pages of a draft may show: whole, as stored previews, or none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class StoredPreview:
    """A reduced picture, uint8 [height, width, 3], that was stored while its file was there."""

    pixels: NDArray[np.uint8]


PagePicture = NDArray[np.uint8] | StoredPreview | None
"""Display values uint8 [height, width, 3], or a preview of them, or None where nothing is left."""


class PictureSource(Protocol):
    """Where pages get their pictures from; an `ImageSource` is one that has them all."""

    def pictures(self, image_ids: Sequence[int]) -> Sequence[PagePicture]:
        """What is left of each image, in the order of the ids."""
        ...
