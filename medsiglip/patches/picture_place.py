"""Where a picture lies in the square that the model is shown, by profile."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt

Value = TypeVar("Value", bound=np.generic)
# Profiles that squash the picture to the square instead of padding it: see `medsiglip.preprocess`.
_SQUASHING = frozenset({"hf-processor"})


@dataclass(frozen=True, slots=True)
class PicturePlace:
    """The picture's rectangle in the square model input, as fractions of its side."""

    top: float
    left: float
    height: float
    width: float

    def to_picture(self, y: float, x: float) -> tuple[float, float]:
        """A place of the square, as fractions of the picture's height and width."""
        return (y - self.top) / self.height, (x - self.left) / self.width

    def patches_inside(self, side: int) -> npt.NDArray[np.bool_]:
        """Which of `side` x `side` patches, flattened by rows, have their centre on the picture."""
        centre = (np.arange(side) + 0.5) / side
        rows = (centre >= self.top) & (centre < self.top + self.height)
        columns = (centre >= self.left) & (centre < self.left + self.width)
        return np.asarray((rows[:, None] & columns[None, :]).ravel())

    def cut(self, square: npt.NDArray[Value]) -> npt.NDArray[Value]:
        """The part of a map [S, S] that lies on the picture, at least one pixel of each axis."""
        size = len(square)
        top, left = round(self.top * size), round(self.left * size)
        bottom = max(round((self.top + self.height) * size), top + 1)
        right = max(round((self.left + self.width) * size), left + 1)
        return square[top:bottom, left:right]


def picture_place(height: int, width: int, profile: str) -> PicturePlace:
    """Where a picture of `height` x `width` pixels lies, centred in its padding or squashed to the square."""
    if profile in _SQUASHING:
        return PicturePlace(0.0, 0.0, 1.0, 1.0)
    side = max(height, width)
    top, left = (side - height) // 2, (side - width) // 2
    return PicturePlace(top / side, left / side, height / side, width / side)
