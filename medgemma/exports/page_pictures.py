"""The pictures that the pages of a draft may show: whole, as stored previews, withheld, or none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from medsiglip.medgemma.records import SimilarCase

MAX_PICTURES = 8
"""Pictures of the study on its pages, and as many of similar cases."""


@dataclass(frozen=True, slots=True)
class StoredPreview:
    """A reduced picture, uint8 [height, width, 3], that was stored while its file was there."""

    pixels: NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class WithheldPicture:
    """A picture that may name or show its patient."""


PagePicture = NDArray[np.uint8] | StoredPreview | None
"""Display values uint8 [height, width, 3], or a preview of them, or None where nothing is left."""


class PictureSource(Protocol):
    """Where pages get their pictures from; an `ImageSource` is one that has them all."""

    def pictures(self, image_ids: Sequence[int]) -> Sequence[PagePicture]:
        """What is left of each image, in the order of the ids."""
        ...


class SimilarPictureSource(Protocol):
    """Where pages get small pictures of similar cases from."""

    def similar(self, cases: Sequence[SimilarCase]) -> Sequence[PagePicture | WithheldPicture]:
        """A picture of each case, in their order."""
        ...


def pixels_of(picture: PagePicture | WithheldPicture) -> NDArray[np.uint8] | None:
    """What can be drawn of a picture, uint8 [height, width, 3]."""
    if isinstance(picture, WithheldPicture):
        return None
    return picture.pixels if isinstance(picture, StoredPreview) else picture
